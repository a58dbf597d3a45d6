"""Whole plans of moves near the linear program's: small integer programs over the columns that may matter.

A plan that uses a column of reduced cost r is worth at least r less than the linear program says. So a plan
within a gap of the bound uses columns of small reduced cost only, and these are few. Most kinds come out
whole of the linear program; they stay as they are at first, and an integer program decides about the others.
The more of them are free, the better the plan; with all of them free its bound is a bound for every plan.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.families import as_columns
from metis.program.moves_relaxation import PRICED_OUT, MoveRelaxation, Relaxed
from metis.program.solver import NO_LIMIT, add_program, begin_with, silent_highs

SMALLEST_MARGIN = 1e-5  # share of the bound that the first columns may be worse by
WIDER = 4.0  # how much larger the next margin is
FEW_KINDS = 24  # kinds beside those split by the linear program that a first integer program decides about
GROWTH = 4  # how much larger the next one is
NODES = 400  # of a branch-and-bound tree over some of the kinds
WHOLE = 1e-6  # what is closer to a whole number is one
MOST_COLUMNS = 6_000  # of an integer program: more take too long to be of use
ESTIMATED = 1e-3  # gap to a bound that is only estimated, which is not known better than that
EXACT = 1e-9  # the gap at which HiGHS ends an integer program otherwise
LONGEST = 30.0  # seconds of one integer program where the bound is estimated


@dataclass(frozen=True)
class Whole:
    """A plan in whole nodes.

    Attributes:
        kind: of each node of the plan, int [nodes].
        added: what it ends up with, beside what stays, int [nodes, apps].
        value: worth of all of them less the cost of their moves.
        bound: no plan is worth more.
    """

    kind: IntArray
    added: IntArray
    value: float
    bound: float

    @classmethod
    def unmoved(cls, relaxation: MoveRelaxation) -> "Whole | None":
        """Return what runs as a plan, if it is one: with nothing that arrives or leaves."""
        problem = relaxation.problem
        assert problem.origin is not None
        kind = np.repeat(np.arange(problem.kinds), problem.nodes)
        if (problem.origin[kind].sum(axis=0) != problem.demand).any():
            return None
        return cls(kind, problem.origin[kind], float(relaxation.own_worth[kind].sum()), np.inf)


class _Pool(NamedTuple):
    """Columns of a reduced cost up to `margin`, `x` of the linear program, and whether there are others."""

    kind: IntArray
    added: IntArray
    end: IntArray
    net: FloatArray
    use: IntArray
    x: FloatArray
    margin: float
    others: bool


class _Part(NamedTuple):
    """The columns of the free kinds, and what the others leave to them."""

    net: FloatArray
    added: IntArray
    kind: IntArray
    use: IntArray
    end: IntArray
    demand: IntArray
    nodes: IntArray
    left: IntArray
    weighed: bool  # whether limits other than on moves alike in cost keep corners from being whole


class _Solved(NamedTuple):
    """Nodes on each column, None where none was found; no plan of these columns exceeds `bound`."""

    x: IntArray | None
    bound: float


def round_to_whole(
    relaxation: MoveRelaxation,
    relaxed: Relaxed,
    moves: int,
    gap: float,
    left: Callable[[], float],
    ceiling: float = np.inf,
    known: Whole | None = None,
) -> Whole | None:
    """Return a plan within `gap` of the bound, or the best found when time or columns run out.

    Args:
        relaxation: the linear program, solved; all its limits are hard.
        relaxed: its solution.
        moves: containers that may leave their node.
        gap: share of the bound that may be missed.
        left: seconds left.
        ceiling: another bound, as that of a placement from nothing.
        known: a plan of so many moves that is known.

    Returns:
        The plan; None where there is none, or none was found in time.
    """
    problem, bound, best = relaxation.problem, min(relaxed.bound, ceiling), known
    gap = gap if relaxation.whole else max(gap, ESTIMATED)
    limits = problem.limit_most.copy()
    limits[-1] = moves
    margin = max(gap, SMALLEST_MARGIN) * abs(relaxed.bound)
    small = PRICED_OUT * relaxation.master.scale
    while True:
        pool = _pool(relaxation, relaxed, margin, known)
        for free in _freed(problem, pool):
            allowed = max(gap * abs(bound), small)
            at = _positions(pool, best) if best is not None and free.all() else None
            solved = _decide(relaxation, pool, limits, free, bound - allowed, left(), at)
            if solved.x is not None and (best is None or pool.net @ solved.x > best.value):
                nodes = np.repeat(np.arange(len(pool.kind)), solved.x)
                best = Whole(pool.kind[nodes], pool.added[nodes], float(pool.net @ solved.x), bound)
            if free.all():
                # a plan with a column that was left out is worse by the margin than the linear program
                proven = max(solved.bound, relaxed.bound - pool.margin)
                bound = min(bound, max(proven, best.value if best else -np.inf))
            if best is not None and best.value >= bound - allowed:
                break
        close = best is not None and (best.value >= bound - allowed or not relaxation.whole)
        if close or not pool.others or pool.margin < margin or left() <= 0:
            # what is not known of all columns proves nothing of whole plans
            shown = bound if relaxation.whole else relaxed.bound
            return None if best is None else replace(best, bound=max(shown, best.value))
        margin *= WIDER


def _freed(problem: Problem, pool: _Pool) -> Iterator[NDArray[np.bool_]]:
    """Yield which kinds to decide about, more and more: split ones first, then those of most choices."""
    kinds = problem.kinds
    split = np.bincount(pool.kind, np.abs(pool.x - np.round(pool.x)) > WHOLE, kinds) > 0
    choices = np.bincount(pool.kind, minlength=kinds)
    order = np.lexsort((-choices, ~split))
    count = int(split.sum()) + FEW_KINDS if split.any() else 0
    while True:
        free = np.zeros(kinds, dtype=bool)
        free[order[:count]] = True
        yield free
        if free.all():
            return
        count = min(kinds, max(FEW_KINDS, GROWTH * count))


def _positions(pool: _Pool, plan: Whole) -> IntArray | None:
    """Return how many nodes of a plan are on each column, int [columns]; None where one is missing."""
    found: IntArray = np.zeros(len(pool.kind), dtype=np.int64)
    by_row = {
        (int(k), row.tobytes()): i for i, (k, row) in enumerate(zip(pool.kind, pool.added, strict=True))
    }
    for kind, row in zip(plan.kind.tolist(), plan.added.astype(np.int64), strict=True):
        at = by_row.get((kind, row.tobytes()))
        if at is None:
            return None
        found[at] += 1
    return found


def _pool(relaxation: MoveRelaxation, relaxed: Relaxed, margin: float, known: Whole | None) -> _Pool:
    """The columns of a reduced cost up to `margin`, those that are in use, and what nodes had."""
    problem, solution, master = relaxation.problem, relaxed.solution, relaxation.master
    assert problem.origin is not None
    kinds, rows, nets, costs, others = [], [], [], [], False
    for family in relaxation.families:
        found = family.within(solution, solution.kinds[family.kinds] - margin, MOST_COLUMNS)
        columns = as_columns(problem, family, found)
        kinds.append(found.kind)
        rows.append(columns.added.astype(np.int64))
        nets.append(columns.worth)
        costs.append(solution.kinds[found.kind] - found.reduced)
        others = others or len(found.kind) < len(family.kinds) * len(family.pool)
    kind, added = np.concatenate(kinds), np.concatenate(rows)
    net, cost = np.concatenate(nets), np.concatenate(costs)
    if len(kind) > MOST_COLUMNS:
        cut = np.argsort(cost, kind="stable")[: MOST_COLUMNS + 1]
        margin, cut = float(cost[cut[-1]]), cut[:-1]
        kind, added, net = kind[cut], added[cut], net[cut]
    used = np.flatnonzero(solution.nodes > WHOLE)
    own = np.arange(problem.kinds)
    kind = np.concatenate([master.kind[used], own, kind])
    added = np.concatenate([master.rows(used), problem.origin, added])
    net = np.concatenate([master.worth[used], relaxation.own_worth, net])
    if known is not None:
        kind, added = np.concatenate([kind, known.kind]), np.concatenate([added, known.added])
        net = np.concatenate([net, relaxation.net_worth(known.kind, known.added)])
    x = np.concatenate([solution.nodes[used], np.zeros(len(kind) - len(used))])
    # of a column that is there several times the first stays, which is the one in use
    keys = relaxation.pools[0].keys
    family_of = np.zeros(problem.kinds, dtype=np.int64)
    for number, family in enumerate(relaxation.families):
        family_of[family.kinds] = number
    ends = np.column_stack([family_of[kind], added @ keys])
    first = np.sort(np.unique(np.column_stack([kind, ends]), axis=0, return_index=True)[1])
    end = np.unique(ends[first], axis=0, return_inverse=True)[1].ravel()
    kind, added = kind[first], added[first]
    return _Pool(kind, added, end, net[first], problem.limit_use(kind, added), x[first], margin, others)


def _decide(
    relaxation: MoveRelaxation,
    pool: _Pool,
    limits: IntArray,
    free: NDArray[np.bool_],
    target: float,
    seconds: float,
    at: IntArray | None = None,
) -> _Solved:
    """Decide about the free kinds, all others as the linear program has them."""
    problem = relaxation.problem
    some = np.flatnonzero(free[pool.kind])
    fixed = np.where(free[pool.kind], 0, np.round(pool.x)).astype(np.int64)
    demand = problem.demand - fixed @ pool.added
    left = limits - fixed @ pool.use
    if (demand < 0).any() or (left < 0).any():
        return _Solved(None, -np.inf)
    if not len(some):
        return _Solved(None if demand.any() else fixed, np.inf)
    kind = (np.cumsum(free) - 1)[pool.kind[some]]  # numbers of the free kinds
    part = _Part(
        pool.net[some], pool.added[some], kind, pool.use[some], pool.end[some],
        demand, problem.nodes[free], left,
        len(limits) > 1 or (not relaxation.alike and limits[-1] < problem.limit_most[-1]),
    )  # fmt: skip
    already = float(pool.net @ fixed)
    exact = (EXACT, seconds) if relaxation.whole else (ESTIMATED / 2, min(seconds, LONGEST))
    solved = _integer_program(part, target - already, *exact, at)
    if solved.x is None:
        return solved
    fixed[some] = solved.x
    return _Solved(fixed, solved.bound + already)


def _integer_program(
    part: "_Part", target: float, gap: float, seconds: float, known: IntArray | None
) -> _Solved:
    """Maximise the worth of nodes less the cost of their moves, until a plan reaches `target`.

    It begins with a plan that is `known`, if there is one.

    It branches on how many nodes hold each co-location in the end. With these numbers whole, which node
    becomes which is a transport of least moves, whose corners are whole by themselves.
    """
    if seconds <= 0:
        return _Solved(None, np.inf)
    _, first, at = np.unique(part.end, return_index=True, return_inverse=True)
    at = at.ravel()
    count, ends = len(part.kind), len(first)
    scale = float(np.abs(part.net).max(initial=0.0)) or 1.0
    model: Any = silent_highs(integer=True)
    add_program(model, _rows(part, at, first, ends), np.append(-part.net / scale, np.zeros(ends)))
    every = np.arange(count + ends, dtype=np.int32)
    # bounded, because the presolve of HiGHS 1.15 does not end on some of these programs otherwise
    most = np.append(part.nodes[part.kind], np.full(ends, part.nodes.sum())).astype(np.float64)
    model.changeColsBounds(len(every), every, np.zeros(len(every)), most)
    # where moves are counted and cost by application besides, a corner need not be whole
    whole = every if part.weighed else every[count:]
    model.changeColsIntegrality(len(whole), whole, np.ones(len(whole), dtype=np.uint8))
    model.setOptionValue("time_limit", float(seconds))
    model.setOptionValue("objective_target", -float(target) / scale)
    model.setOptionValue("mip_rel_gap", gap)
    model.setOptionValue("mip_max_nodes", NODES)
    if known is not None:
        begin_with(model, np.append(known, np.bincount(at, known, ends)).astype(np.float64))
    model.run()
    status = model.modelStatusToString(model.getModelStatus())
    if status == "Infeasible":
        return _Solved(None, -np.inf)
    bound = -float(model.getInfo().mip_dual_bound) * scale
    x = np.round(np.asarray(model.getSolution().col_value))
    if len(x) != count + ends:
        return _Solved(None, bound)
    if not _feasible(x[:count], part) and not part.weighed:
        x = _transport(model, part, x[count:])
    return _Solved(x[:count].astype(np.int64) if _feasible(x[:count], part) else None, bound)


def _rows(part: "_Part", at: IntArray, first: IntArray, ends: int) -> tuple[Any, FloatArray, FloatArray]:
    """The program of a part: columns of nodes, then of co-locations in the end; matrix and bounds of rows."""
    from scipy import sparse

    count, kinds, apps = len(part.kind), len(part.nodes), part.added.shape[1]
    columns = np.arange(count)
    of_kind = sparse.csr_array((np.ones(count), (part.kind, columns)), (kinds, count))
    of_end = sparse.csr_array((np.ones(count), (at, columns)), (ends, count))
    limits = sparse.csr_array(part.use.T.astype(np.float64))
    containers = sparse.csr_array(part.added[first].T.astype(np.float64))
    matrix = sparse.block_array(
        [
            [sparse.csr_array((apps, count)), containers],
            [of_kind, None],
            [of_end, -sparse.eye_array(ends)],
            [limits, None],
        ],
        format="csc",
    )
    equal = np.concatenate([part.demand, part.nodes, np.zeros(ends)]).astype(np.float64)
    no_least = np.full(len(part.left), -NO_LIMIT)
    return matrix, np.append(equal, no_least), np.append(equal, part.left.astype(np.float64))


def _transport(model: Any, part: "_Part", ends: FloatArray) -> FloatArray:
    """Nodes on each column with fewest moves where so many hold each co-location in the end.

    A transport: its corners are in whole numbers.
    """
    count, total = len(part.kind), len(part.kind) + len(ends)
    model.changeColsIntegrality(total, np.arange(total, dtype=np.int32), np.zeros(total, dtype=np.uint8))
    model.changeColsBounds(len(ends), np.arange(count, total, dtype=np.int32), ends, ends)
    cost = np.append(part.use[:, -1], np.zeros(len(ends))).astype(np.float64)
    model.changeColsCost(total, np.arange(total, dtype=np.int32), cost)
    model.changeRowBounds(model.getNumRow() - 1, -NO_LIMIT, NO_LIMIT)
    model.setOptionValue("solver", "simplex")
    model.run()
    return np.round(np.asarray(model.getSolution().col_value))


def _feasible(x: FloatArray, part: "_Part") -> bool:
    """Whether a plan holds in whole numbers: at a limit HiGHS may return one that does not."""
    return bool(
        len(x) == len(part.kind)
        and (x >= 0).all()
        and (x @ part.added == part.demand).all()
        and (np.bincount(part.kind, x, len(part.nodes)) == part.nodes).all()
        and (x @ part.use <= part.left).all()
    )
