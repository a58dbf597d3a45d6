"""Medea's two formulations per node: a binary per container and node, and unary counts per application.

Both share one model: binaries X [rows, nodes], each row standing for containers of one application, so that
the counts on the nodes are linear in X. A soft constraint "one s wants at most t of c" has, for every
binary of s and every node, an extent of at least count(c) - t, unless that binary is 0 (a big M).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from baselines.constraints import Constraints
from metis.errors import InputError, PlacementError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.placement import check_placement
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import NO_PLACEMENT, NOT_IN_TIME, solve_quietly


class ModelResult(NamedTuple):
    """A placement, int [nodes, apps], and the least weighted extent that the solver could prove."""

    placement: IntArray
    bound: float


def solve_container_model(
    group: IntArray, cluster: Cluster, constraints: Constraints, time_limit: float, mip_rel_gap: float
) -> ModelResult:
    """Solve Medea as published (paper; Garefalakis et al., EuroSys 2018): x[i, n] for container i.

    Raises:
        InputError: no placement satisfies the rules.
        SolverError: none was found within the time limit.
    """
    import cvxpy as cp

    app_of = np.repeat(np.arange(len(group)), group)
    x = cp.Variable((len(app_of), cluster.nodes), boolean=True)
    return _solve(x, app_of, [cp.sum(x, axis=1) == 1], group, cluster, constraints, time_limit, mip_rel_gap)


def solve_aggregate_model(
    group: IntArray, cluster: Cluster, constraints: Constraints, time_limit: float, mip_rel_gap: float
) -> ModelResult:
    """Solve Medea with unary counts per node and application: u[(a, k), n] is 1 where n gets k or more of a.

    Containers of an application are alike, so are nodes with the same existing containers: these are kept
    in falling order of what they receive.

    Raises:
        InputError: no placement satisfies the rules.
        SolverError: none was found within the time limit.
    """
    import cvxpy as cp

    depth = np.minimum(group, cluster.space.slots)
    app_of = np.repeat(np.arange(len(group)), depth)
    u = cp.Variable((len(app_of), cluster.nodes), boolean=True)
    limits = [_per_app(app_of, len(group)) @ cp.sum(u, axis=1) == group]
    same = np.flatnonzero(app_of[1:] == app_of[:-1])
    if same.size:
        limits.append(u[same] >= u[same + 1])
    first, second = _alike(cluster)
    if first.size:
        received = (1.0 + app_of) @ u  # any sum would do; distinct weights leave fewer ties
        limits.append(received[first] >= received[second])
    return _solve(u, app_of, limits, group, cluster, constraints, time_limit, mip_rel_gap)


def _solve(
    x: Any,
    app_of: IntArray,
    limits: list[Any],
    group: IntArray,
    cluster: Cluster,
    constraints: Constraints,
    time_limit: float,
    mip_rel_gap: float,
) -> ModelResult:
    """Minimise the weighted extent over binaries `x` [rows, nodes] of applications `app_of` [rows]."""
    import cvxpy as cp

    new = _per_app(app_of, len(group)) @ x
    counts = new + cluster.existing.T
    soft, cost = _soft(x, app_of, counts, cluster, constraints)
    hard = _hard(new, counts, cluster, cluster.allowed & constraints.mask(cluster.space))
    capacity = [cp.sum(counts, axis=0) <= cluster.space.slots]
    problem = cp.Problem(cp.Minimize(cost), [*limits, *capacity, *soft, *hard])
    solve_quietly(problem, time_limit, mip_rel_gap)
    if problem.status.startswith("infeasible"):
        raise InputError(NO_PLACEMENT)
    if new.value is None:
        raise SolverError(NOT_IN_TIME)
    placement = np.round(np.asarray(new.value)).astype(np.int64).T
    try:
        check_placement(placement, group, cluster, "Medea")
    except PlacementError:  # at a time limit HiGHS may return zeros
        raise SolverError(NOT_IN_TIME) from None
    return ModelResult(placement, float(problem.solver_stats.extra_stats.mip_dual_bound))


def _soft(
    x: Any, app_of: IntArray, counts: Any, cluster: Cluster, constraints: Constraints
) -> tuple[list[Any], Any]:
    """Return the extents of the soft constraints, and their weighted sum."""
    import cvxpy as cp

    soft = [i for i, item in enumerate(constraints.items) if not item.hard]
    first, second = (columns[soft] for columns in constraints.columns)
    sign = np.array([-1.0 if constraints.items[i].at_least else 1.0 for i in soft])
    threshold = np.array([float(constraints.items[i].threshold) for i in soft])
    weight = constraints.weights[soft]
    slots = cluster.space.slots
    # one row per constraint and binary of its application
    which, binary = np.nonzero(first[:, None] == app_of[None, :])
    most = np.where(sign > 0, slots - threshold, threshold)
    limits, cost = [], cp.Constant(0.0)
    if which.size:
        extent = cp.Variable((len(which), cluster.nodes), nonneg=True)
        over = _scaled_rows(second[which], sign[which], len(cluster.space.apps)) @ counts
        big = most[which]
        switched = _scaled_rows(binary, big, len(app_of)) @ x
        fixed = _column(sign[which] * threshold[which] + big, cluster.nodes)
        limits.append(extent >= over - fixed + switched)
        cost = cost + cp.sum(weight[which] @ extent)
    held = cluster.existing[:, first].T  # containers of s already there, [soft, nodes]
    some = np.flatnonzero(held.any(axis=1))
    if some.size:
        extent = cp.Variable((len(some), cluster.nodes), nonneg=True)
        over = _scaled_rows(second[some], sign[some], len(cluster.space.apps)) @ counts
        limits.append(extent >= over - _column(sign[some] * threshold[some], cluster.nodes))
        cost = cost + cp.sum(cp.multiply(weight[some, None] * held[some], extent))
    return limits, cost


def _hard(new: Any, counts: Any, cluster: Cluster, allowed: NDArray[np.bool_]) -> list[Any]:
    """Return constraints that keep every node that receives something within `allowed`."""
    import cvxpy as cp

    boxes = forbidden_boxes(cluster.space, allowed)
    if not boxes:
        return []
    slots, nodes = cluster.space.slots, cluster.nodes
    steps = sorted({step for low, high in boxes for step in _steps(low, high, slots)[0].tolist()})
    app, least = np.divmod(np.array(steps), slots + 2)
    reached = cp.Variable((len(steps), nodes), boolean=True)  # whether a node holds `least` or more of `app`
    held = counts[app]
    limits = [
        held >= sparse.diags_array(least.astype(float)) @ reached,
        held <= slots * reached + _column(least - 1.0, nodes),
    ]
    receives = np.ones(nodes)
    broken = ~allowed[cluster.space.index(cluster.existing)]
    if broken.any():  # such a node may stay as it is
        receives = cp.Variable(nodes, boolean=True)
        limits += [cp.sum(new, axis=0) <= slots * receives, receives[np.flatnonzero(~broken)] == 1]
    position = {step: i for i, step in enumerate(steps)}
    for low, high in boxes:
        chosen, kept = _steps(low, high, slots)
        rows = [position[step] for step in chosen.tolist()]
        inside = cp.sum(cp.multiply(_column(np.where(kept, 1.0, -1.0), nodes), reached[rows]), axis=0)
        limits.append(inside + receives <= int(kept.sum()))
    return limits


def _steps(low: IntArray, high: IntArray, slots: int) -> tuple[IntArray, NDArray[np.bool_]]:
    """Return thresholds that bound a box, as app * (slots + 2) + count, and whether to be reached."""
    base = np.arange(len(low)) * (slots + 2)
    above, below = np.flatnonzero(low > 0), np.flatnonzero(high < slots)
    steps = np.concatenate([(base + low)[above], (base + high + 1)[below]])
    return steps, np.arange(len(steps)) < len(above)


def forbidden_boxes(space: ColocationSpace, allowed: NDArray[np.bool_]) -> list[tuple[IntArray, IntArray]]:
    """Cover all that is not allowed, and nothing else, by boxes (lowest and highest counts, [apps] each).

    A rule such as "never together" is one box; any other mask takes as many as it needs.
    """
    counts, slots = space.counts, space.slots
    admitted = counts[allowed]
    left = counts[~allowed]
    left = left[np.argsort(left.sum(axis=1), kind="stable")]
    boxes = []
    while len(left):
        low, high = left[0].copy(), left[0].copy()
        for bound, extreme, step in ((high, slots, -1), (low, 0, 1)):
            for a in range(len(low)):
                for value in range(extreme, int(bound[a]) + step, step):  # the last leaves it as it is
                    bound[a] = value
                    if not ((admitted >= low) & (admitted <= high)).all(axis=1).any():
                        break
        boxes.append((low, high))
        left = left[~((left >= low) & (left <= high)).all(axis=1)]
    return boxes


def _alike(cluster: Cluster) -> tuple[IntArray, IntArray]:
    """Return successive nodes with the same existing containers, as two arrays of nodes."""
    row = np.unique(cluster.existing, axis=0, return_inverse=True)[1].ravel()
    order = np.argsort(row, kind="stable")
    same = row[order][1:] == row[order][:-1]
    return order[:-1][same], order[1:][same]


def _per_app(app_of: IntArray, apps: int) -> Any:
    """Return a sparse [apps, rows] that sums rows by application."""
    ones = np.ones(len(app_of))
    return sparse.csr_array((ones, (app_of, np.arange(len(app_of)))), shape=(apps, len(app_of)))


def _scaled_rows(chosen: IntArray, factor: FloatArray, width: int) -> Any:
    """Return a sparse [len(chosen), width] that picks a row each and multiplies it."""
    return sparse.csr_array((factor, (np.arange(len(chosen)), chosen)), shape=(len(chosen), width))


def _column(values: FloatArray, nodes: int) -> FloatArray:
    return np.repeat(np.asarray(values, dtype=np.float64)[:, None], nodes, axis=1)
