"""Placing one container at a time: in which order, and on which nodes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metis.errors import PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.kinds import ROUNDING, problem_of
from metis.problem.rules import placing_order
from metis.program.filling import scarcest_first

Choose = Callable[[int, IntArray, NDArray[np.bool_]], int]


def place_stepwise(group: IntArray, cluster: Cluster, choose: Choose) -> IntArray:
    """Place the containers of `group` one at a time, applications in order; int [nodes, apps].

    Args:
        group: counts per application, [apps].
        cluster: where to.
        choose: called as `choose(app, ids, admitted)` with the co-location ids of the nodes [nodes] and
            the nodes that have a slot and break no rule, bool [nodes]; returns the node.

    Raises:
        PlacementError: no node admits a container; names its application.
    """
    space = cluster.space
    ids = space.index(cluster.existing)
    placement = np.zeros_like(cluster.existing)
    admits = np.zeros((space.size, len(space.apps)), dtype=bool)
    possible = space.plus >= 0
    admits[possible] = cluster.allowed[space.plus[possible]]
    for app in placing_order(space, cluster.allowed):
        admitted = admits[ids, app]
        for _ in range(int(group[app])):
            if not admitted.any():
                raise PlacementError(f"no node admits another container of {space.apps[app]} under the rules")
            node = choose(app, ids, admitted)
            ids[node] = space.plus[ids[node], app]
            placement[node, app] += 1
            admitted[node] = admits[ids[node], app]
    return placement


def place_by_counts(group: IntArray, cluster: Cluster, choose: Choose) -> IntArray:
    """Place as `place_stepwise` does where co-locations have no ids, because they are too many to tabulate.

    Args:
        group: counts per application, [apps].
        cluster: where to.
        choose: called as `choose(app, counts, admitted)` with what the nodes hold, [nodes, apps], and the
            nodes that have a slot and break no rule, bool [nodes]; returns the node.

    Raises:
        PlacementError: no node admits a container; names its application.
    """
    counts, room = cluster.existing.copy(), _Room(group, cluster)
    waiting = room.order
    left = group.copy()
    while waiting:
        before = left.sum()
        for app in waiting:
            takes = _admitted(cluster, counts, app)
            admitted = takes & room.admits(app, counts)
            while left[app] and admitted.any():
                node = choose(app, counts, admitted)
                counts[node, app] += 1
                left[app] -= 1
                takes[node] = _admitted(cluster, counts[[node]], app)[0]
                admitted = takes & room.admits(app, counts)
        # what may only stand beside others waits until they are placed
        waiting = [app for app in waiting if left[app]]
        if waiting and left.sum() == before:
            name = cluster.space.apps[waiting[0]]
            raise PlacementError(f"no node admits another container of {name} under the rules")
    return counts - cluster.existing


class _Room:
    """What nodes that differ have room for; all of it where they are alike, whose slots count alone."""

    def __init__(self, group: IntArray, cluster: Cluster) -> None:
        self._existing, self._problem = cluster.existing, None
        self.order = list(range(len(group)))
        if cluster.stated is None:
            return
        nothing = np.zeros(0)  # the worth of co-locations, which is not asked for here
        self._problem, self._kind_of = problem_of(group, cluster, nothing)
        self._capacity = cluster.stated.capacity + ROUNDING
        self.order = scarcest_first(self._problem)

    def admits(self, app: int, counts: IntArray) -> NDArray[np.bool_]:
        """Whether nodes that hold `counts` [nodes, apps] have room for one more of `app`, bool [nodes]."""
        problem = self._problem
        if problem is None:
            return np.ones(len(counts), dtype=bool)
        after = counts @ problem.requests + problem.requests[app]
        new = counts - self._existing
        fits = (after <= self._capacity).all(axis=1)
        if problem.most is not None:
            fits &= new[:, app] < problem.most[self._kind_of, app]
        left = problem.limit_most - problem.used(self._kind_of, new)
        full = np.flatnonzero(np.isinf(problem.limit_penalty) & (left < 1))
        closed = np.asarray(problem.limit_where[full][:, :, app].any(axis=0))
        return np.asarray(fits & ~closed[self._kind_of])


def _admitted(cluster: Cluster, counts: IntArray, app: int) -> NDArray[np.bool_]:
    """Whether nodes that hold `counts` [nodes, apps] take one more container of `app`, bool [nodes]."""
    after = counts.copy()
    after[:, app] += 1
    found = after.sum(axis=1) <= cluster.space.slots
    found[found] = cluster.admits(after[found])
    return np.asarray(found)
