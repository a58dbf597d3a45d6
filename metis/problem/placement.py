"""The check of a placement, int [nodes, apps], against the group, the nodes and the rules."""

import numpy as np

from metis.errors import PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray, describe_colocation


def check_placement(placement: IntArray, group: IntArray, cluster: Cluster, scheduler: str) -> None:
    """Check that a placement holds all of the group, within capacity and rules.

    Args:
        placement: new containers, int [nodes, apps].
        group: containers to place, int [apps].
        cluster: nodes, existing containers and allowed co-locations.
        scheduler: whose placement it is, for the message.

    Raises:
        PlacementError: a node is overfull, a container is lost, or a rule is broken; names it.
    """
    apps, slots = cluster.space.apps, cluster.space.slots
    if placement.shape != cluster.existing.shape or (placement.size and placement.min() < 0):
        raise PlacementError(f"{scheduler}: placement of shape {placement.shape} is not [nodes, apps] counts")
    total = placement + cluster.existing
    over = np.flatnonzero(total.sum(axis=1) > slots)
    if over.size:
        raise PlacementError(
            f"{scheduler}: node {over[0]} got {total[over[0]].sum()} containers, has {slots} slots"
        )
    lost = np.flatnonzero(placement.sum(axis=0) != group)
    if lost.size:
        a = lost[0]
        placed = placement[:, a].sum()
        raise PlacementError(f"{scheduler}: placed {placed} of {group[a]} containers of {apps[a]}")
    forbidden = np.flatnonzero(~cluster.admits(total) & placement.any(axis=1))
    if forbidden.size:
        held = describe_colocation(total[forbidden[0]], apps)
        raise PlacementError(f"{scheduler}: node {forbidden[0]} holds {held}, which a rule forbids")
