"""Greedy: applications in order, each container to the node of best marginal gain."""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.contract import Entry
from baselines.stepwise import place_stepwise
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of
from metis.problem.scheduler import Placed
from metis.problem.worth import Worth


def place_greedy(group: IntArray, cluster: Cluster, worth: FloatArray) -> tuple[IntArray, Mapping[str, Any]]:
    """Place `group` [apps] greedily on `worth` [space.size]; ties go to the first node."""
    space = cluster.space
    gain = np.where(space.plus >= 0, worth[space.plus] - worth[:, None], -np.inf)
    last = _Gains()

    def choose(app: int, ids: IntArray, admitted: NDArray[np.bool_]) -> int:
        return last.best(app, ids, admitted, gain)

    return place_stepwise(group, cluster, choose), {}


class _Gains:
    """Every node's gain for the application at hand, best first; one container changes one node's only."""

    def __init__(self) -> None:
        self._app = -1
        self._node = -1
        self._best: list[tuple[float, int]] = []  # a heap of (-gain, node)

    def best(self, app: int, ids: IntArray, admitted: NDArray[np.bool_], gain: FloatArray) -> int:
        if app != self._app:
            self._app = app
            nodes = np.flatnonzero(admitted)
            self._best = list(zip((-gain[ids[nodes], app]).tolist(), nodes.tolist(), strict=True))
            heapify(self._best)
        elif admitted[self._node]:
            heappush(self._best, (-float(gain[ids[self._node], app]), self._node))
        self._node = heappop(self._best)[1]
        return self._node


def place_greedy_by_oracle(group: IntArray, cluster: Cluster, worth: Worth) -> Placed:
    """Place `group` [apps] as `place_greedy` does, asking an oracle what one more container brings."""
    from metis.program.filling import fill

    problem, kind_of = problem_of(group, cluster, worth)
    return fill(problem, kind_of, np.zeros_like(cluster.existing), problem.demand), {}


SCHEDULER = Entry(lambda materials: place_greedy, wide=lambda materials: place_greedy_by_oracle)
