"""The integer program over all columns of all kinds of nodes: the exact optimum where nodes differ.

Every co-location that a node of a kind may end up with is a column. The prices of the relaxation say what a
placement loses by a column: the price of a node less what the column is worth beyond the prices of its
containers. The losses of a placement add up to the gap between the relaxation's bound and its value. So
whatever beats a placement that is known uses only columns whose own loss is below its gap: those few make an
integer program, whose optimum is that of all columns.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from metis.errors import InputError, PlacementError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem, problem_of
from metis.problem.worth import TableWorth
from metis.program.colocation_program import NOT_IN_TIME, ROUNDING, ProgramResult, relative_gap
from metis.program.column_program import bound_by_columns
from metis.program.exchange import exchange
from metis.program.filling import fill
from metis.program.generation import NO_PLACEMENT, Relaxation
from metis.program.pricing import count_columns
from metis.program.rounding import dive
from metis.program.solver import add_program, silent_highs

MOST_COLUMNS = 300_000  # of a kind that are enumerated
FIRST, GROWTH = 600, 8  # columns of the first integer program, beside its rows; and how it grows
WIDTH = 1  # of searches, of which there are none where all columns are known

Progress = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class _Columns:
    """Columns in the order of their losses.

    Attributes:
        kind: of each, int [n].
        added: what a node receives, int [n, apps].
        worth: of the node, float64 [n].
        loss: 0 or more, float64 [n].
        use: of the limits, int [n, limits].
    """

    kind: IntArray
    added: IntArray
    worth: FloatArray
    loss: FloatArray
    use: IntArray


def check_enumerable(group: IntArray, cluster: Cluster) -> None:
    """Refuse a group whose columns are too many to enumerate, before anything is made for it.

    Raises:
        InputError: names how many are too many, and what does without.
    """
    unknown = np.zeros(cluster.space.size) if cluster.space.tabulated else np.zeros(0)
    problem, _ = problem_of(group, cluster, TableWorth(cluster.space, unknown))
    _check_columns(problem)


def _check_columns(problem: Problem) -> None:
    for kind in range(problem.kinds):
        if count_columns(problem, kind, MOST_COLUMNS) is None:
            name = problem.types[int(problem.type_of[kind])].name
            raise InputError(
                f"scheduler 'optimum': a node of type {name} can receive over {MOST_COLUMNS:,} different "
                "co-locations, too many for an exact optimum; use columns, which gives a bound"
            )


def solve_kinds_program(
    problem: Problem,
    kind_of: IntArray,
    *,
    time_limit: float = 60.0,
    mip_rel_gap: float = 1e-6,
    progress: Progress | None = None,
) -> tuple[ProgramResult, Relaxation]:
    """Place a group on nodes of several kinds as well as can be.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        time_limit: seconds of wall time, after the relaxation.
        mip_rel_gap: gap at which a result counts as proven.
        progress: receives `best` and `bound` before what may take until the time limit.

    Returns:
        The placement with its bound, which is proven to be one in any case; and the relaxation.

    Raises:
        InputError: no placement satisfies the rules, or columns are too many.
        SolverError: none was found within the time limit.
    """
    begun = perf_counter()
    _check_columns(problem)
    relaxed = bound_by_columns(problem, kind_of, width=WIDTH, seconds=np.inf, every=MOST_COLUMNS)
    prices, tolls = relaxed.solution.prices, np.minimum(relaxed.solution.tolls, problem.limit_penalty)
    duals = np.concatenate([prices, tolls])
    nodes = _prices_of_nodes(problem, relaxed, duals)
    lp = float(prices @ problem.demand + tolls @ problem.limit_most + nodes @ problem.nodes)
    best = _begun(problem, kind_of, relaxed)
    value = -np.inf if best is None else problem.value(kind_of, best)
    if progress and best is not None:
        progress({"best": value, "bound": max(lp, value)})
    columns = _columns(problem, relaxed, duals, nodes, lp - value + ROUNDING * abs(lp))
    bound, found = _Search(problem, columns, tolls, lp, mip_rel_gap, begun + time_limit).run(value)
    if found is not None:
        placed = _placement(problem, kind_of, columns, found)
        reached = problem.value(kind_of, placed)
        if best is None or reached > value:
            best, value = placed, reached
    if best is None:
        raise SolverError(NOT_IN_TIME)
    bound = max(bound, value)
    gap = relative_gap(value, bound)
    proven = gap <= mip_rel_gap + ROUNDING
    return ProgramResult(best, value, bound, gap, proven, perf_counter() - begun, max(lp, value)), relaxed


def _prices_of_nodes(problem: Problem, relaxed: Relaxation, duals: FloatArray) -> FloatArray:
    """Return the highest worth of a node of each kind less the prices of its containers, float64 [kinds]."""
    return np.array([_reduced(problem, relaxed, kind, duals)[1].max() for kind in range(problem.kinds)])


def _reduced(
    problem: Problem, relaxed: Relaxation, kind: int, duals: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return which of a pool's columns a kind may have, [n], and their worth less prices, float64 [n].

    Kinds that only limits distinguish share a pool, with what any of them may have.
    """
    columns = relaxed.pools[kind].columns
    may = np.flatnonzero(problem.admitted(kind, columns.added.astype(np.int64)))
    prices = problem.prices_in(kind, duals)
    return may, columns.worth[may] - columns.added[may] @ prices


def _columns(
    problem: Problem, relaxed: Relaxation, duals: FloatArray, nodes: FloatArray, most: float
) -> _Columns:
    """Return the columns of all kinds whose loss is `most` at most, in the order of their losses."""
    kinds, rows, worths, losses = [], [], [], []
    for kind, pool in enumerate(relaxed.pools):
        may, reduced = _reduced(problem, relaxed, kind, duals)
        loss = nodes[kind] - reduced
        kept = loss <= most
        kinds.append(np.full(int(kept.sum()), kind, dtype=np.int64))
        rows.append(pool.columns.added[may[kept]].astype(np.int64))
        worths.append(pool.columns.worth[may[kept]])
        losses.append(loss[kept])
    order = np.argsort(np.concatenate(losses), kind="stable")
    kind_of, added, worth, loss = (np.concatenate(part)[order] for part in (kinds, rows, worths, losses))
    if not problem.limits:
        return _Columns(kind_of, added, worth, loss, np.zeros((len(kind_of), 0), dtype=np.int64))
    return _Columns(kind_of, added, worth, loss, problem.limit_use(kind_of, added))


def _begun(problem: Problem, kind_of: IntArray, relaxed: Relaxation) -> IntArray | None:
    """Return the better placement of greedy and a dive, both improved; None where rules led both astray."""
    found = [] if relaxed.start is None else [relaxed.start]
    received, left = dive(problem, relaxed)
    dived = np.zeros((len(kind_of), len(problem.apps)), dtype=np.int64)
    for kind, rows in enumerate(received):
        dived[kind_of == kind] = rows
    with suppress(PlacementError):
        found.append(fill(problem, kind_of, dived, left))
    found = [exchange(problem, kind_of, one)[0] for one in found]
    return max(found, key=lambda one: problem.value(kind_of, one), default=None)


class _Search:
    """Integer programs over the columns of small loss, of more and more as the proof needs them."""

    def __init__(
        self,
        problem: Problem,
        columns: _Columns,
        tolls: FloatArray,
        lp: float,
        mip_rel_gap: float,
        until: float,
    ) -> None:
        self._problem, self._columns, self._lp = problem, columns, lp
        self._gap, self._until = mip_rel_gap, until
        self._tolls = tolls
        self._scale = max(float(np.abs(columns.worth).max()), 1e-300)

    def run(self, value: float) -> tuple[float, IntArray | None]:
        """Return a bound and how many nodes receive each column; None where `value` is not improved."""
        columns, best = self._columns, None
        rows = len(self._problem.demand) + self._problem.kinds + len(self._problem.limits)
        wanted = FIRST + rows
        while True:
            if relative_gap(value, self._lp) <= self._gap or self._lp <= value:
                return self._lp, best
            most = self._lp - value + ROUNDING * abs(self._lp)
            enough = int(np.searchsorted(columns.loss, most, side="right"))
            count = min(wanted, enough, len(columns.loss))
            x, bound, infeasible = self._solve(count, value)
            # nothing with a column that was left out is better than this
            left_out = self._lp - float(columns.loss[count]) if count < len(columns.loss) else -np.inf
            if x is not None:
                reached = self._value(x)
                if reached > value:
                    best, value = x, reached
            bound = min(self._lp, max(value, bound, left_out))
            timed_out = perf_counter() > self._until
            if relative_gap(value, bound) <= self._gap or left_out <= value or timed_out:
                if infeasible and not np.isfinite(value) and not timed_out:
                    raise InputError(NO_PLACEMENT)
                return bound, best
            wanted *= GROWTH

    def _value(self, x: IntArray) -> float:
        used = np.flatnonzero(x)
        beyond = np.maximum(x[used] @ self._columns.use[used] - self._problem.limit_most, 0)
        soft = np.isfinite(self._problem.limit_penalty)
        taken = float(beyond[soft] @ self._problem.limit_penalty[soft])
        return float(x[used] @ self._columns.worth[used]) - taken

    def _solve(self, count: int, value: float) -> tuple[IntArray | None, float, bool]:
        """Solve over the first `count` columns: how often each is used, a bound, whether nothing is feasible.

        Columns cost their loss, so that what is minimised is the gap to the relaxation's bound.
        """
        import highspy
        from scipy import sparse  # half a second that commands without a program should not pay

        problem, columns, scale = self._problem, self._columns, self._scale
        left = self._until - perf_counter()
        if left <= 0:
            return None, self._lp, False
        kind, added, use = columns.kind[:count], columns.added[:count], columns.use[:count]
        every = np.arange(count)
        of_kind = sparse.csc_array((np.ones(count), (kind, every)), shape=(problem.kinds, count))
        rows = [sparse.csc_array(added.T.astype(float)), of_kind, sparse.csc_array(use.T.astype(float))]
        soft = np.flatnonzero(np.isfinite(problem.limit_penalty))
        exact = len(problem.demand) + problem.kinds
        beyond = sparse.csc_array(
            (-np.ones(len(soft)), (exact + soft, np.arange(len(soft)))),
            shape=(exact + len(problem.limits), len(soft)),
        )
        matrix = sparse.csc_array(sparse.hstack([sparse.vstack(rows), beyond]))
        right = np.concatenate([problem.demand, problem.nodes]).astype(float)
        lower = np.concatenate([right, np.full(len(problem.limits), -np.inf)])
        upper = np.concatenate([right, problem.limit_most]).astype(float)
        cost = np.concatenate([columns.loss[:count] - use @ self._tolls, problem.limit_penalty[soft]]) / scale
        model = silent_highs(integer=True)
        add_program(model, (matrix, lower, upper), cost)
        least = self._lp - float(self._tolls @ problem.limit_most)  # what a cost of 0 is worth
        enough = self._gap * abs(value) / scale / 2 if np.isfinite(value) else 0.0
        options = {"time_limit": left, "mip_rel_gap": 0.0, "mip_abs_gap": max(enough, ROUNDING)}
        for name, setting in options.items():
            model.setOptionValue(name, setting)
        index = every.astype(np.int32)
        if np.isfinite(value):  # what beats it uses no column oftener than it can lose
            often = np.floor((self._lp - value) / np.maximum(columns.loss[:count], 1e-300) + ROUNDING)
            often = np.minimum(often, problem.nodes[kind])
            model.changeColsBounds(count, index, np.zeros(count), often)
        model.changeColsIntegrality(count, index, np.full(count, highspy.HighsVarType.kInteger))
        model.run()
        status = model.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            return None, -np.inf, True
        limit = least - float(model.getInfo().mip_dual_bound) * scale
        found = np.array(model.getSolution().col_value)
        if len(found) < count:
            return None, limit, False
        x = np.maximum(np.round(found[:count]), 0).astype(np.int64)
        sums = matrix[:, :count] @ x
        hard = exact + np.flatnonzero(np.isinf(problem.limit_penalty))
        kept = (sums[:exact] == right).all() and (sums[hard] <= upper[hard]).all()
        return (x if kept else None), limit, False


def _placement(problem: Problem, kind_of: IntArray, columns: _Columns, x: IntArray) -> IntArray:
    """Return the nodes with the columns that they receive, int [nodes, apps]."""
    placement = np.zeros((len(kind_of), len(problem.apps)), dtype=np.int64)
    used = np.flatnonzero(x)
    for kind in range(problem.kinds):
        own = used[columns.kind[used] == kind]
        placement[kind_of == kind] = np.repeat(columns.added[own], x[own], axis=0)
    return placement
