"""Round robin: the next container goes to the next node that admits it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.contract import Entry
from baselines.stepwise import place_stepwise
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray


def place_round_robin(
    group: IntArray, cluster: Cluster, worth: FloatArray
) -> tuple[IntArray, Mapping[str, Any]]:
    """Deal `group` [apps] to the nodes in turn; blind to `worth`."""
    del worth
    following = 0

    def choose(app: int, ids: IntArray, admitted: NDArray[np.bool_]) -> int:
        del app, ids
        nonlocal following
        nodes = np.flatnonzero(admitted)
        node = int(nodes[np.searchsorted(nodes, following) % len(nodes)])
        following = (node + 1) % cluster.nodes
        return node

    return place_stepwise(group, cluster, choose), {}


SCHEDULER = Entry(lambda materials: place_round_robin)
