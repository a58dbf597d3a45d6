"""The integer program over co-location counts, on which the optimum and Medea rest.

A node's worth depends on its co-location alone. So it is enough to decide how many nodes hold which
co-location: x_p nodes hold p; every container of the group is placed, every node holds one co-location,
the sum of x_p worth_p is optimised. That has one column per co-location, and nodes do not matter any more.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.groups import check_group
from metis.problem.space import ColocationSpace
from metis.program.solver import add_program, silent_highs

FEASIBLE = 1e-6  # slack granted to a constraint of real numbers
ROUNDING = 1e-9  # difference of two sums (of terms up to 1) that is rounding
FIRST_COLUMNS = 400  # columns of the first integer program; more only where the proof needs them
MORE_COLUMNS = 8  # growth of that number while the columns kept admit no solution
NO_PLACEMENT = "no placement satisfies the rules: this group cannot be placed on this cluster as they stand"
Completion = Callable[[IntArray], IntArray | None]
NOT_IN_TIME = "the solver reached its time limit before it found any placement: raise time_limit"


@dataclass(frozen=True)
class ProgramResult:
    """The result of an integer program, with its bound.

    Attributes:
        placement: the new containers, int [nodes, apps].
        value: sum of the objective over all nodes (existing containers included).
        bound: no placement is better than this.
        gap: |bound - value| as a share of the larger of the two; 0 where they are equal.
        proven: whether the gap is within the required one.
        seconds: wall time.
        lp_bound: bound of the linear relaxation, before any branching.
    """

    placement: IntArray
    value: float
    bound: float
    gap: float
    proven: bool
    seconds: float
    lp_bound: float


class Solved(NamedTuple):
    """The result of one call to HiGHS; `x` is None without a feasible incumbent."""

    x: FloatArray | None
    bound: float
    duals: list[FloatArray]
    infeasible: bool


class _Columns(NamedTuple):
    """One column per row of existing containers and co-location that may come of it."""

    row: IntArray  # [columns] which of the distinct existing rows
    added: IntArray  # [columns, apps] new containers
    held: IntArray  # [columns] id of the co-location reached


def solve_colocation_program(
    objective: FloatArray,
    group: IntArray,
    cluster: Cluster,
    *,
    minimise: bool = False,
    time_limit: float = 60.0,
    mip_rel_gap: float = 1e-6,
    extra: tuple[FloatArray, float] | None = None,
    complete: Completion | None = None,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> ProgramResult:
    """Place `group` so that the sum of `objective` over nodes is as large (or small) as can be.

    The linear relaxation prices every co-location. A solution that uses a co-location of reduced cost r is
    at least r worse than the relaxation, so the integer program needs only co-locations of small reduced
    cost: should its optimum be within that margin of the relaxation, no dropped co-location could beat it.
    Otherwise the margin grows, which keeps the proof exact.

    Args:
        objective: what one node adds, float [space.size], for the co-location of new and existing containers.
        group: containers to place, int [apps].
        cluster: nodes, existing containers, allowed co-locations. A node that receives nothing may keep a
            co-location that is not allowed.
        minimise: whether the smallest sum is wanted.
        time_limit: seconds of wall time.
        mip_rel_gap: gap at which a result counts as proven.
        extra: (row [space.size], upper): the sum of `row` over nodes may not exceed `upper`.
        complete: makes a placement of the whole group from a part of it, both int [nodes, apps]. Completed
            from nothing and from the relaxation rounded down, the better one is returned where the solver
            finds none as good within the time limit.
        progress: called with the `value` of that placement and the `bound` of the relaxation, before what may
            take until the time limit.

    Raises:
        InputError: the group does not fit, or no placement satisfies the rules.
        SolverError: no placement was found within the time limit, by `complete` neither.
    """
    start = perf_counter()
    check_group(group, cluster)
    if objective.shape != (cluster.space.size,) or not np.isfinite(objective).all():
        raise InputError(f"objective of shape {objective.shape}: give {cluster.space.size} finite numbers")
    if not time_limit > 0 or not 0 <= mip_rel_gap < 1:
        raise InputError(f"time_limit {time_limit:g} s, mip_rel_gap {mip_rel_gap:g}: give > 0 s and 0 to 1")
    held, node_row, nodes_with = np.unique(cluster.existing, axis=0, return_inverse=True, return_counts=True)
    columns = _columns(held, group, cluster)
    matrix = _matrix(columns, len(held))
    right = np.concatenate([group, nodes_with]).astype(np.float64)
    scale = _scale(objective)
    cost = (objective if minimise else -objective)[columns.held] / scale
    limit = None if extra is None else (extra[0][columns.held], float(extra[1]))

    def left() -> float:
        return time_limit - (perf_counter() - start)

    sign = 1.0 if minimise else -1.0
    known, least = np.zeros_like(cluster.existing), np.inf

    def heuristic(fractional: FloatArray, lp: float) -> float:
        """Keep the better completion; return what it costs."""
        nonlocal known, least
        whole = _placement(np.floor(fractional + FEASIBLE), columns, node_row.ravel(), cluster)
        for part in (np.zeros_like(whole), whole):
            placement = complete(part) if complete else None
            if placement is not None:
                costs = sign * float(objective[cluster.space.index(placement + cluster.existing)].sum())
                known, least = min((known, least), (placement, costs / scale), key=lambda found: found[1])
        if progress and np.isfinite(least):
            progress({"value": least * scale * sign, "bound": lp * scale * sign})
        return least

    x, lp, bound = _optimise(cost, matrix, right, limit, mip_rel_gap, left, heuristic)
    reached = least if x is None else float(cost @ x)
    gap = relative_gap(reached, bound)
    value, bound, lp = (v * scale * sign for v in (reached, bound, lp))
    return ProgramResult(
        placement=known if x is None else _placement(x, columns, node_row.ravel(), cluster),
        value=value,
        bound=bound,
        gap=gap,
        proven=gap <= mip_rel_gap + 1e-9,
        seconds=perf_counter() - start,
        lp_bound=lp,
    )


def relative_gap(value: float, bound: float) -> float:
    """|bound - value| as a share of the larger magnitude; 0 where they differ by a rounding error only."""
    apart = abs(bound - value)
    return apart / max(abs(bound), abs(value)) if apart > ROUNDING else 0.0


def _optimise(
    cost: FloatArray,
    matrix: Any,
    right: FloatArray,
    limit: tuple[FloatArray, float] | None,
    mip_rel_gap: float,
    left: Callable[[], float],
    heuristic: Callable[[FloatArray, float], float],
) -> tuple[FloatArray | None, float, float]:
    """Least cost: (x, bound of the relaxation, bound); no x where the heuristic's cost is not reached."""
    if limit is None:
        from metis.program.relaxation import solve_relaxation  # scipy: half a second that few commands need

        x, prices = solve_relaxation(cost, matrix.T.tocsr(), right)
        relaxed = Solved(x, float(cost @ x), [-prices], False)
    else:
        relaxed = run_highs(cost, matrix, right, limit, integer=False, time_limit=left())
    if relaxed.infeasible:
        raise InputError(NO_PLACEMENT)
    if relaxed.x is None:
        raise SolverError(NOT_IN_TIME)
    reduced, lp = _reduced_costs(cost, matrix, right, limit, relaxed)
    known = heuristic(relaxed.x, lp)
    whole_costs = bool((cost == np.round(cost)).all())
    by_cost = np.append(np.sort(reduced), np.inf)
    wanted = min(FIRST_COLUMNS + len(right), len(cost))
    margin = float(by_cost[wanted - 1])
    while True:
        kept = np.flatnonzero(reduced <= margin)
        some = None if limit is None else (limit[0][kept], limit[1])
        found = run_highs(cost[kept], matrix[:, kept], right, some, True, left(), mip_rel_gap)
        if found.x is None:
            if not found.infeasible and np.isfinite(known):
                return None, lp, min(known, lp)
            if not found.infeasible:
                raise SolverError(NOT_IN_TIME)
            if len(kept) == len(cost):
                raise InputError(NO_PLACEMENT)
            wanted = min(wanted * MORE_COLUMNS, len(cost))
            margin = max(margin, float(by_cost[wanted - 1]))
            continue
        value = float(cost[kept] @ found.x)
        dropped = lp + float(by_cost[len(kept)])  # nothing with a dropped column is cheaper than this
        bound = max(lp, min(found.bound, dropped))
        if whole_costs:
            bound = float(np.ceil(bound - FEASIBLE))
        # beyond `found.bound` the columns kept decide alone, and more columns cannot help
        if relative_gap(value, min(bound, value)) <= mip_rel_gap or dropped >= value or left() <= 0.05:
            if value > known + ROUNDING:
                return None, lp, min(known, bound)
            x = np.zeros(len(cost))
            x[kept] = found.x
            return x, lp, min(value, bound)
        margin = value - lp


def _reduced_costs(
    cost: FloatArray,
    matrix: Any,
    right: FloatArray,
    limit: tuple[FloatArray, float] | None,
    relaxed: Solved,
) -> tuple[FloatArray, float]:
    """Reduced cost per column, 0 or more, and the bound that these duals prove.

    Computed from the duals alone, so that a solver's tolerance can weaken the bound but not falsify it.
    """
    reduced = np.asarray(cost + matrix.T @ relaxed.duals[0])
    bound = -float(right @ relaxed.duals[0])
    if limit is not None:
        price = max(float(relaxed.duals[1]), 0.0)
        reduced = reduced + price * limit[0]
        bound -= price * limit[1]
    nodes = float(np.round(np.sum(relaxed.x if relaxed.x is not None else 0.0)))
    below = min(float(reduced.min()), 0.0)  # each node pays one column, so raising them all costs this much
    return reduced - below, bound + below * nodes


def run_highs(
    cost: FloatArray,
    matrix: Any,
    right: FloatArray,
    limit: tuple[FloatArray, float] | None,
    integer: bool,
    time_limit: float,
    mip_rel_gap: float = 1e-6,
) -> Solved:
    """Minimise cost @ x with matrix @ x = right, limit[0] @ x <= limit[1], x >= 0.

    HiGHS is called without a modelling layer, which took longer than a program this small does.

    Raises:
        SolverError: HiGHS gave up.
    """
    import highspy
    from scipy import sparse

    if time_limit <= 0:
        return Solved(None, -np.inf, [], False)
    lower = upper = right
    if limit is not None:
        matrix = sparse.vstack([matrix, sparse.csr_array(limit[0][None])])
        lower = np.append(right, -np.inf)
        upper = np.append(right, limit[1] + FEASIBLE * max(1.0, abs(limit[1])) / 2)
    model = silent_highs(integer=True)
    add_program(model, (sparse.csc_array(matrix), lower, upper), cost)
    model.setOptionValue("time_limit", time_limit)
    if integer:
        model.setOptionValue("mip_rel_gap", mip_rel_gap)
        count = len(cost)
        every = np.full(count, highspy.HighsVarType.kInteger)
        model.changeColsIntegrality(count, np.arange(count, dtype=np.int32), every)
    model.run()
    status, known = model.getModelStatus(), highspy.HighsModelStatus
    if status in (known.kInfeasible, known.kUnboundedOrInfeasible):
        return Solved(None, np.inf, [], True)
    if status not in (known.kOptimal, known.kTimeLimit, known.kIterationLimit, known.kSolutionLimit):
        raise SolverError(f"the solver gave up: {model.modelStatusToString(status)}")
    solution, info = model.getSolution(), model.getInfo()
    values = np.array(solution.col_value)
    if len(values) < len(cost):
        return Solved(None, -np.inf, [], False)
    if not integer:
        duals = -np.array(solution.row_dual)
        each = [duals[: len(right)], *duals[len(right) :]]
        done = status == known.kOptimal
        return Solved(values if done else None, float(info.objective_function_value), each, False)
    whole = _whole(values, matrix[: len(right)], right, limit)
    return Solved(whole, float(info.mip_dual_bound), [], False)


def solve_quietly(problem: Any, time_limit: float, mip_rel_gap: float | None = None) -> None:
    """Solve a cvxpy problem with HiGHS on one core; the outcome is in its status.

    Raises:
        SolverError: HiGHS gave up without a status.
    """
    import cvxpy as cp

    options: dict[str, Any] = {"time_limit": time_limit, "parallel": "off"}
    if mip_rel_gap is not None:
        options["mip_rel_gap"] = mip_rel_gap
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # at a limit: callers check the incumbent themselves
            problem.solve(solver=cp.HIGHS, **options)
    except cp.error.SolverError as error:
        raise SolverError(f"the solver gave up: {error}") from None


def _whole(
    values: FloatArray, matrix: Any, right: FloatArray, limit: tuple[FloatArray, float] | None
) -> FloatArray | None:
    """The incumbent in whole numbers; None where it is infeasible, as HiGHS may return at a time limit."""
    x = np.round(values)
    if (x < 0).any() or (np.round(matrix @ x) != right).any():
        return None
    if limit is not None and limit[0] @ x > limit[1] + FEASIBLE * max(1.0, abs(limit[1])):
        return None
    return np.asarray(x)


def _scale(objective: FloatArray) -> float:
    """What to divide by so that the solver's absolute tolerances fit; whole numbers stay whole."""
    if (objective == np.round(objective)).all():
        return 1.0
    return float(np.abs(objective).max())


def _columns(held: IntArray, group: IntArray, cluster: Cluster) -> _Columns:
    space = cluster.space
    wanted = np.flatnonzero((space.counts <= group).all(axis=1))
    additions, sizes = space.counts[wanted], space.totals[wanted]
    parts = [_additions(row, additions, sizes, space, cluster.allowed) for row in held]
    rows = np.repeat(np.arange(len(held)), [len(ids) for _, ids in parts])
    return _Columns(
        rows,
        np.concatenate([added for added, _ in parts]),
        np.concatenate([ids for _, ids in parts]),
    )


def _additions(
    row: IntArray,
    additions: IntArray,
    sizes: IntArray,
    space: ColocationSpace,
    allowed: NDArray[np.bool_],
) -> tuple[IntArray, IntArray]:
    """What a node that holds `row` may receive, [n, apps], and the co-locations reached, [n]."""
    fits = additions[sizes <= space.slots - row.sum()]
    ids = space.index(fits + row)
    admitted = allowed[ids] | ~fits.any(axis=1)
    return fits[admitted], ids[admitted]


def _matrix(columns: _Columns, rows: int) -> Any:
    """Containers per application and nodes per existing row, sparse [apps + rows, columns]."""
    from scipy import sparse  # half a second that commands without a program should not pay

    nodes = np.ones(len(columns.row))
    one = sparse.csc_array((nodes, columns.row, np.arange(len(nodes) + 1)), shape=(rows, len(nodes)))
    return sparse.csc_array(sparse.vstack([sparse.csc_array(columns.added.T.astype(np.float64)), one]))


def _placement(x: FloatArray, columns: _Columns, node_row: IntArray, cluster: Cluster) -> IntArray:
    """The solution spread over nodes in order, int [nodes, apps]; nodes that it leaves out get nothing."""
    used = np.flatnonzero(x)
    chosen = np.repeat(used, x[used].astype(np.int64))  # one column per node, by existing row
    row = columns.row[chosen]
    nodes_with = np.bincount(node_row)
    starts, filled = np.cumsum(nodes_with) - nodes_with, np.bincount(row, minlength=len(nodes_with))
    turn = np.arange(len(row)) - np.repeat(np.cumsum(filled) - filled, filled)
    placement = np.zeros((cluster.nodes, len(cluster.space.apps)), dtype=np.int64)
    placement[np.argsort(node_row, kind="stable")[starts[row] + turn]] = columns.added[chosen]
    return placement
