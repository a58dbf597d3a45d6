"""Of plans of moves that are worth the same, one of few moves."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from metis.problem.counts import FloatArray
from metis.program.moves_relaxation import FEASIBLE, PRICED_OUT, MoveRelaxation, Relaxed
from metis.program.moves_rounding import Whole, round_to_whole

SAME = 1e-9  # share of the value that is no gain
FEW = 64  # moves up to which another plan is sought: it takes a dozen small programs
MOST_NODES = 3_000  # that change places at once: of more, the costs of all pairs take too much memory
LAST_DIGIT = 1e-6  # what a move counts beside its cost, as a share of the smallest


def needed_moves(
    relaxation: MoveRelaxation,
    relaxed: Relaxed,
    plan: Whole,
    least: int,
    left: Callable[[], float],
) -> Whole:
    """Return a plan that is worth as much as a given one, of fewer moves where one is found.

    Args:
        relaxation: the linear program.
        relaxed: its solution for the moves that were allowed.
        plan: for these moves.
        least: containers that leave their node in any case.
        left: seconds left.
    """
    plan = _places_changed(relaxation, plan)
    made = relaxation.leavers(plan.kind, plan.added)
    scarce = relaxed.solution.tolls[-1] > PRICED_OUT * relaxation.master.scale
    missed = plan.bound - plan.value > SAME * abs(plan.value)
    if (scarce and missed) or made - least > FEW:
        return plan  # moves all gain, but for what is within the gap
    return _of_fewer(relaxation, plan, least, made, left)


def _places_changed(relaxation: MoveRelaxation, plan: Whole) -> Whole:
    """Return the same co-locations on nodes that are alike, which becomes which by the fewest moves.

    A node that changes nothing need not take part: a move by way of it is never shorter.
    """
    problem, kind = relaxation.problem, plan.kind
    if problem.origin is None or len(problem.limits) > 1:
        return plan  # also where a node stands counts
    origin, added = problem.origin[kind], plan.added.copy()
    weights = _weights(problem.move_cost, len(problem.apps))
    changed = (origin != added).any(axis=1)
    pool_of = np.array([id(relaxation.pools[one]) for one in kind.tolist()])
    for pool in np.unique(pool_of[changed]):
        rows = np.flatnonzero(changed & (pool_of == pool))
        if len(rows) <= MOST_NODES:
            from scipy.optimize import linear_sum_assignment

            leaving = np.zeros((len(rows), len(rows)))
            for app in np.flatnonzero(origin[rows].any(axis=0)):
                leaving += weights[app] * np.maximum(origin[rows, app][:, None] - added[rows, app], 0)
            to, end = linear_sum_assignment(leaving)
            added[rows[to]] = plan.added[rows[end]]
    value = float(relaxation.net_worth(kind, added).sum())
    worse = value < plan.value - SAME * abs(plan.value)
    if worse or relaxation.leavers(kind, added) > relaxation.leavers(kind, plan.added):
        return plan
    return replace(plan, added=added, value=max(value, plan.value))


def _weights(cost: FloatArray | None, apps: int) -> FloatArray:
    """What the move of a container counts by application: its cost first, then that it is a move."""
    if cost is None or not cost.any():
        return np.ones(apps)
    return np.asarray(cost + LAST_DIGIT * cost[cost > 0].min())


def _of_fewer(
    relaxation: MoveRelaxation, plan: Whole, least: int, made: int, left: Callable[[], float]
) -> Whole:
    """Return a plan of other co-locations with fewer moves, or the given one.

    The linear program names the fewest with which it reaches the value; a plan is sought from there up.
    """
    # where co-locations are searched, those that are known must do
    search = left if relaxation.whole else lambda: 0.0
    enough = plan.value - SAME * abs(plan.value)
    few, many, middle = least, made, made - 1
    while few < many:
        fewer = relaxation.solve(middle, search)
        reached = fewer.short <= FEASIBLE and fewer.bound >= enough
        few, many = (few, middle) if reached else (middle + 1, many)
        middle = (few + many) // 2
    budget, step = many, 1
    while budget < made and left() > 0:
        fewer = relaxation.solve(budget, search)
        gap = max(0.0, fewer.bound - enough) / max(abs(fewer.bound), PRICED_OUT)
        found = round_to_whole(relaxation, fewer, budget, gap, left)
        if found is not None and found.value >= enough:
            return replace(found, bound=plan.bound)
        budget, step = budget + step, 2 * step
    return plan
