"""Spread: what Docker Swarm does by itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.contract import Entry
from baselines.stepwise import place_by_counts, place_stepwise
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import Placed
from metis.problem.worth import Worth


def place_spread(group: IntArray, cluster: Cluster, worth: FloatArray) -> tuple[IntArray, Mapping[str, Any]]:
    """Place `group` [apps] as Swarm spreads services; blind to `worth`.

    A container goes to the node with the fewest of its own application, then with the fewest containers
    in all, then to the first (Docker's documentation, "Swarm mode: how nodes are chosen").
    """
    del worth
    counts, totals = cluster.space.counts, cluster.space.totals
    weight = cluster.space.slots + 1

    def choose(app: int, ids: IntArray, admitted: NDArray[np.bool_]) -> int:
        load = counts[ids, app] * weight + totals[ids]
        return int(np.where(admitted, load, np.iinfo(np.int64).max).argmin())

    return place_stepwise(group, cluster, choose), {}


def place_spread_by_counts(group: IntArray, cluster: Cluster, worth: Worth) -> Placed:
    """Place `group` [apps] as `place_spread` does, without ids of co-locations."""
    del worth
    weight = cluster.space.slots + 1

    def choose(app: int, counts: IntArray, admitted: NDArray[np.bool_]) -> int:
        load = counts[:, app] * weight + counts.sum(axis=1)
        return int(np.where(admitted, load, np.iinfo(np.int64).max).argmin())

    return place_by_counts(group, cluster, choose), {}


SCHEDULER = Entry(lambda materials: place_spread, wide=lambda materials: place_spread_by_counts)
