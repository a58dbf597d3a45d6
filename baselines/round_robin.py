"""Round robin: the next container goes to the next node that admits it."""

import numpy as np
from numpy.typing import NDArray

from baselines.contract import Entry
from baselines.stepwise import place_by_counts, place_stepwise
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import Placed
from metis.problem.worth import Worth


def place_round_robin(group: IntArray, cluster: Cluster, worth: FloatArray | Worth) -> Placed:
    """Deal `group` [apps] to the nodes in turn; blind to `worth`."""
    del worth
    following = 0

    def choose(app: int, held: IntArray, admitted: NDArray[np.bool_]) -> int:
        del app, held
        nonlocal following
        nodes = np.flatnonzero(admitted)
        node = int(nodes[np.searchsorted(nodes, following) % len(nodes)])
        following = (node + 1) % cluster.nodes
        return node

    by_ids = cluster.space.tabulated and cluster.stated is None
    place = place_stepwise if by_ids else place_by_counts
    return place(group, cluster, choose), {}


SCHEDULER = Entry(lambda materials: place_round_robin, wide=lambda materials: place_round_robin)
