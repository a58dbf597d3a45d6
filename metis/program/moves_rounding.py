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
from metis.program.moves_columns import NO_LIMIT, add_program, highs
from metis.program.moves_master import PRICED_OUT, Master, Relaxed

SMALLEST_MARGIN = 1e-5  # share of the bound that the first columns may be worse by
WIDER = 4.0  # how much larger the next margin is
FEW_KINDS = 24  # kinds beside those split by the linear program that a first integer program decides about
GROWTH = 4  # how much larger the next one is
NODES = 400  # of a branch-and-bound tree over some of the kinds
WHOLE = 1e-6  # what is closer to a whole number is one
MOST_COLUMNS = 6_000  # of an integer program: more take too long to be of use


@dataclass(frozen=True)
class Whole:
    """A plan in whole nodes.

    Attributes:
        rows: kind of each node of the plan, int [nodes].
        reached: its co-location, as a position among the reachable ones, int [nodes].
        value: worth of all of them less the cost of their moves.
        bound: no plan is worth more.
    """

    rows: IntArray
    reached: IntArray
    value: float
    bound: float


class _Pool(NamedTuple):
    """Columns of a reduced cost up to `margin`, with `x` of the linear program."""

    rows: IntArray
    reached: IntArray
    net: FloatArray
    moves: IntArray
    x: FloatArray
    margin: float


class _Part(NamedTuple):
    """The columns of the free kinds, and what the others leave to them."""

    net: FloatArray
    counts: IntArray
    rows: IntArray
    moves: IntArray
    reached: IntArray
    demand: IntArray
    kinds: IntArray
    most: float | None
    weighed: bool  # whether moves have a limit, and differ in cost besides


class _Solved(NamedTuple):
    """Nodes on each column, None where none was found; no plan of these columns exceeds `bound`."""

    x: IntArray | None
    bound: float


def round_to_whole(
    master: Master,
    relaxed: Relaxed,
    budget: float | None,
    gap: float,
    left: Callable[[], float],
    ceiling: float = np.inf,
) -> Whole | None:
    """Return a plan within `gap` of the bound, or the best found when time or columns run out.

    Args:
        master: the linear program, solved.
        relaxed: its solution.
        budget: moves at most; None for any number.
        gap: share of the bound that may be missed.
        left: seconds left.
        ceiling: another bound, as that of a placement from nothing.

    Returns:
        The plan; None where there is none, or none was found in time.
    """
    bound, best = min(relaxed.bound, ceiling), None
    margin = max(gap, SMALLEST_MARGIN) * abs(relaxed.bound)
    while True:
        pool = _pool(master, relaxed, margin)
        for free in _freed(master, pool):
            allowed = max(gap * abs(bound), PRICED_OUT)
            solved = _decide(master, pool, budget, free, bound - allowed, left())
            if solved.x is not None and (best is None or pool.net @ solved.x > best.value):
                nodes = np.repeat(np.arange(len(pool.rows)), solved.x)
                best = Whole(pool.rows[nodes], pool.reached[nodes], float(pool.net @ solved.x), bound)
            if free.all():
                # a plan with a column that was left out is worse by the margin than the linear program
                proven = max(solved.bound, relaxed.bound - pool.margin)
                bound = min(bound, max(proven, best.value if best else -np.inf))
            if best is not None and best.value >= bound - allowed:
                return replace(best, bound=max(bound, best.value))
        if len(pool.rows) == master.pricing.count or pool.margin < margin or left() <= 0:
            return None if best is None else replace(best, bound=max(bound, best.value))
        margin *= WIDER


def _freed(master: Master, pool: _Pool) -> Iterator[NDArray[np.bool_]]:
    """Yield which kinds to decide about, more and more: split ones first, then those of most choices."""
    kinds = len(master.kinds.held)
    split = np.bincount(pool.rows, np.abs(pool.x - np.round(pool.x)) > WHOLE, kinds) > 0
    choices = np.bincount(pool.rows, minlength=kinds)
    order = np.lexsort((-choices, ~split))
    count = int(split.sum()) + FEW_KINDS if split.any() else 0
    while True:
        free = np.zeros(kinds, dtype=bool)
        free[order[:count]] = True
        yield free
        if free.all():
            return
        count = min(kinds, max(FEW_KINDS, GROWTH * count))


def _pool(master: Master, relaxed: Relaxed, margin: float) -> _Pool:
    """The columns of a reduced cost up to `margin`, and those that the linear program uses."""
    prices, kinds, size = relaxed.prices, master.kinds, len(master.kinds.ids)
    near = master.pricing.within(prices.container, prices.move, prices.node, margin)
    found = near.row * size + near.reached
    if len(found) > MOST_COLUMNS:
        cut = np.argsort(near.cost, kind="stable")[: MOST_COLUMNS + 1]
        found, margin = found[cut[:-1]], float(near.cost[cut[-1]])
    used = np.flatnonzero(relaxed.x > WHOLE)
    there = master.columns.rows[used] * size + master.columns.reached[used]
    own = np.arange(len(kinds.held)) * size + kinds.own
    keys = np.unique(np.concatenate([found, there, own]))
    rows, reached = keys // size, keys % size
    x = np.zeros(len(keys))
    x[np.searchsorted(keys, there)] = relaxed.x[used]
    moved = kinds.moved(rows, reached)
    net = master.worth[reached] - moved @ master.cost
    return _Pool(rows, reached, net, moved.sum(axis=1), x, margin)


def _decide(
    master: Master,
    pool: _Pool,
    budget: float | None,
    free: NDArray[np.bool_],
    target: float,
    seconds: float,
) -> _Solved:
    """Decide about the free kinds, all others as the linear program has them."""
    some = np.flatnonzero(free[pool.rows])
    fixed = np.where(free[pool.rows], 0, np.round(pool.x)).astype(np.int64)
    kinds = master.kinds
    demand = master.demand - fixed @ kinds.counts[pool.reached]
    moves = None if budget is None else budget - float(fixed @ pool.moves)
    if (demand < 0).any() or (moves is not None and moves < 0):
        return _Solved(None, -np.inf)
    if not len(some):
        return _Solved(None if demand.any() else fixed, np.inf)
    rows = (np.cumsum(free) - 1)[pool.rows[some]]  # numbers of the free kinds
    part = _Part(
        pool.net[some], kinds.counts[pool.reached[some]], rows, pool.moves[some], pool.reached[some],
        demand, kinds.nodes[free], moves, moves is not None and not master.pricing.alike,
    )  # fmt: skip
    already = float(pool.net @ fixed)
    solved = _integer_program(part, target - already, seconds)
    if solved.x is None:
        return solved
    fixed[some] = solved.x
    return _Solved(fixed, solved.bound + already)


def _integer_program(part: "_Part", target: float, seconds: float) -> _Solved:
    """Maximise the worth of nodes less the cost of their moves, until a plan reaches `target`.

    It branches on how many nodes hold each co-location in the end. With these numbers whole, which node
    becomes which is a transport of least moves, whose corners are whole by themselves.
    """
    if seconds <= 0:
        return _Solved(None, np.inf)
    reached, at = np.unique(part.reached, return_inverse=True)
    at = at.ravel()
    first = np.unique(at, return_index=True)[1]
    count, ends = len(part.rows), len(reached)
    model: Any = highs(integer=True)
    add_program(model, _rows(part, at, first, ends), np.append(-part.net, np.zeros(ends)))
    every = np.arange(count + ends, dtype=np.int32)
    # bounded, because the presolve of HiGHS 1.15 does not end on some of these programs otherwise
    most = np.append(part.kinds[part.rows], np.full(ends, part.kinds.sum())).astype(np.float64)
    model.changeColsBounds(len(every), every, np.zeros(len(every)), most)
    # where moves are counted and cost by application besides, a corner need not be whole
    whole = every if part.weighed else every[count:]
    model.changeColsIntegrality(len(whole), whole, np.ones(len(whole), dtype=np.uint8))
    model.setOptionValue("time_limit", float(seconds))
    model.setOptionValue("objective_target", -float(target))
    model.setOptionValue("mip_rel_gap", 1e-9)
    model.setOptionValue("mip_max_nodes", NODES)
    model.run()
    status = model.modelStatusToString(model.getModelStatus())
    if status == "Infeasible":
        return _Solved(None, -np.inf)
    bound = -float(model.getInfo().mip_dual_bound)
    x = np.round(np.asarray(model.getSolution().col_value))
    if len(x) != count + ends:
        return _Solved(None, bound)
    if not _feasible(x[:count], part):
        x = _transport(model, part, x[count:])
    return _Solved(x[:count].astype(np.int64) if _feasible(x[:count], part) else None, bound)


def _rows(part: "_Part", at: IntArray, first: IntArray, ends: int) -> tuple[Any, FloatArray, FloatArray]:
    """The program of a part: columns of nodes, then of co-locations in the end; matrix and bounds of rows."""
    from scipy import sparse

    count, kinds, apps = len(part.rows), len(part.kinds), part.counts.shape[1]
    columns = np.arange(count)
    of_kind = sparse.csr_array((np.ones(count), (part.rows, columns)), (kinds, count))
    of_end = sparse.csr_array((np.ones(count), (at, columns)), (ends, count))
    moves = sparse.csr_array(part.moves[None, :].astype(np.float64))
    containers = sparse.csr_array(part.counts[first].T.astype(np.float64))
    matrix = sparse.block_array(
        [
            [sparse.csr_array((apps, count)), containers],
            [of_kind, None],
            [of_end, -sparse.eye_array(ends)],
            [moves, None],
        ],
        format="csc",
    )
    equal = np.concatenate([part.demand, part.kinds, np.zeros(ends)]).astype(np.float64)
    most = NO_LIMIT if part.most is None else part.most
    return matrix, np.append(equal, -NO_LIMIT), np.append(equal, most)


def _transport(model: Any, part: "_Part", ends: FloatArray) -> FloatArray:
    """Nodes on each column with fewest moves where so many hold each co-location in the end.

    A transport: its corners are in whole numbers.
    """
    count, total = len(part.rows), len(part.rows) + len(ends)
    model.changeColsIntegrality(total, np.arange(total, dtype=np.int32), np.zeros(total, dtype=np.uint8))
    model.changeColsBounds(len(ends), np.arange(count, total, dtype=np.int32), ends, ends)
    cost = np.append(part.moves, np.zeros(len(ends))).astype(np.float64)
    model.changeColsCost(total, np.arange(total, dtype=np.int32), cost)
    model.changeRowBounds(model.getNumRow() - 1, -NO_LIMIT, NO_LIMIT)
    model.setOptionValue("solver", "simplex")
    model.run()
    return np.round(np.asarray(model.getSolution().col_value))


def _feasible(x: FloatArray, part: "_Part") -> bool:
    """Whether a plan holds in whole numbers: at a limit HiGHS may return one that does not."""
    return bool(
        len(x) == len(part.rows)
        and (x >= 0).all()
        and (x @ part.counts == part.demand).all()
        and (np.bincount(part.rows, x, len(part.kinds)) == part.kinds).all()
        and (part.most is None or x @ part.moves <= part.most)
    )
