"""The check of a placement, int [nodes, apps], against the group, the nodes and the rules."""

import numpy as np

from metis.errors import PlacementError
from metis.problem.cluster import FULL, Cluster
from metis.problem.counts import IntArray, describe_colocation
from metis.problem.limits import limits_of, most_on_one
from metis.wording import amount


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
            f"{scheduler}: node {over[0]} got {amount(total[over[0]].sum(), 'container')}, "
            f"has {amount(slots, 'slot')}"
        )
    lost = np.flatnonzero(placement.sum(axis=0) != group)
    if lost.size:
        a = lost[0]
        placed = placement[:, a].sum()
        raise PlacementError(f"{scheduler}: placed {placed} of {group[a]} containers of {apps[a]}")
    if cluster.stated is not None:
        _check_stated(placement, cluster, scheduler)
    forbidden = np.flatnonzero(~cluster.admits(total) & placement.any(axis=1))
    if forbidden.size:
        held = describe_colocation(total[forbidden[0]], apps)
        raise PlacementError(f"{scheduler}: node {forbidden[0]} holds {held}, which a rule forbids")


def _check_stated(placement: IntArray, cluster: Cluster, scheduler: str) -> None:
    """Check what nodes that differ have, which of them may be used, and the limits on several of them."""
    stated, existing = cluster.stated, cluster.existing
    assert stated is not None
    over = np.argwhere((placement + existing) @ stated.requests > stated.capacity + FULL)
    if len(over):
        node, resource = (int(i) for i in over[0])
        raise PlacementError(
            f"{scheduler}: node {stated.nodes[node]} has too little {stated.dimensions[resource]} for what "
            "it holds"
        )
    total = (placement + existing).sum(axis=0)
    excess = np.argwhere(placement > np.maximum(most_on_one(stated, total) - existing, 0))
    if len(excess):
        node, app = (int(i) for i in excess[0])
        raise PlacementError(
            f"{scheduler}: node {stated.nodes[node]} got {placement[node, app]} of {stated.apps[app]}, which "
            "a rule forbids"
        )
    for limit in limits_of(stated, total):
        before = limit.used(existing)
        found = before + limit.used(placement)
        if limit.hard and found > max(limit.most, before):
            raise PlacementError(f"{scheduler}: {limit.words} is a rule, and there are {found}")
