"""Placing one container at a time: in which order, and on which nodes."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from metis.errors import PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.rules import placing_order

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
