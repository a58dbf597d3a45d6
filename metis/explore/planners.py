"""Planners of an exploration: quick plans that propose what to measure, the best one, and a bound."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.kinds import problem_of
from metis.problem.worth import Worth

PLANNING_GAP = 1e-4  # plans that only propose what to measure need no proof beyond


class Planner(Protocol):
    """Places a group by the worth of co-locations, a table [size] or an oracle."""

    def quick(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> IntArray:
        """Return a placement [nodes, apps] that is good enough to propose what to measure."""
        ...

    def best(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> IntArray:
        """Return a placement [nodes, apps] that is as good as can be."""
        ...

    def bound(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> float:
        """Return what no placement exceeds."""
        ...


@dataclass(frozen=True)
class TablePlanner:
    """Plans where co-locations are tabulated: the exact optimum."""

    gap: float = PLANNING_GAP

    def quick(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> IntArray:
        """See `Planner.quick`."""
        return self.best(worth, group, cluster)

    def best(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> IntArray:
        """See `Planner.best`."""
        from metis.program.colocation_program import solve_colocation_program

        assert isinstance(worth, np.ndarray)  # a tabulated space has tables
        return solve_colocation_program(worth, group, cluster, mip_rel_gap=self.gap).placement

    def bound(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> float:
        """See `Planner.bound`."""
        return value(self.best(worth, group, cluster), cluster, worth)


@dataclass(frozen=True)
class ColumnPlanner:
    """Plans where co-locations are too many to tabulate: greedy and exchanges, and columns at the end.

    Attributes:
        width: of a search for columns, see `baselines.columns.ColumnsSettings`.
        seconds: for a group, after which no more columns are searched.
    """

    width: int = 1024
    seconds: float = 120.0

    def quick(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> IntArray:
        """See `Planner.quick`."""
        from metis.program.exchange import exchange
        from metis.program.filling import fill

        problem, kind_of = problem_of(group, cluster, worth)
        filled = fill(problem, kind_of, np.zeros_like(cluster.existing), problem.demand)
        return exchange(problem, kind_of, filled)[0]

    def best(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> IntArray:
        """See `Planner.best`."""
        from metis.program.column_program import solve_column_program

        problem, kind_of = problem_of(group, cluster, worth)
        return solve_column_program(problem, kind_of, width=self.width, seconds=self.seconds).placement

    def bound(self, worth: FloatArray | Worth, group: IntArray, cluster: Cluster) -> float:
        """See `Planner.bound`."""
        from metis.program.column_program import bound_by_columns

        problem, kind_of = problem_of(group, cluster, worth)
        return bound_by_columns(problem, kind_of, width=self.width, seconds=self.seconds).bound
