"""What a node costs by how much of one resource its containers use: the fuller, the dearer."""

from typing import Annotated

import numpy as np
from annotated_types import Ge, Lt

from metis.problem.counts import FloatArray, IntArray
from metis.problem.statement import NODES_AT_ONCE, Statement
from metis.settings import settings


@settings("load_cost")
class LoadCost:
    """The mean over the times of 1 + slope (exp(max(0, u - threshold)) - 1), u the share in use; empty: 0.

    Source: the 2018 competition on the placement of long-running applications by Alibaba.

    Attributes:
        resource: whose use counts.
        threshold: share of it up to which a node costs 1.
        slope: of the cost above it.
    """

    resource: str = "cpu"
    threshold: Annotated[float, Ge(0), Lt(1)] = 0.5
    slope: Annotated[float, Ge(0)] = 10.0

    def of(self, used: FloatArray, capacity: FloatArray) -> FloatArray:
        """Return the cost of nodes that hold something, float64 [nodes].

        Args:
            used: of the resource, float64 [nodes, times].
            capacity: of the resource, float64 [nodes, times].
        """
        over = np.maximum(0.0, used / capacity - self.threshold)
        return np.asarray((1 + self.slope * np.expm1(over)).mean(axis=1))

    def total(self, statement: Statement, rows: IntArray) -> float:
        """Return the cost of a placement: the sum over nodes that hold a container."""
        times = statement.resource(self.resource)
        total = 0.0
        holding = np.unique(rows[rows[:, 2] > 0, 0])
        for first in range(0, len(holding), NODES_AT_ONCE):
            some = holding[first : first + NODES_AT_ONCE]
            used = statement.used(rows, some)[:, times]
            total += float(self.of(used, statement.capacity[some][:, times]).sum())
        return total
