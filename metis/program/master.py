"""The master of column generation: a linear program in HiGHS that keeps its basis as columns join it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.errors import SolverError
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.pool import Columns

EXACT = 1e-9  # of duals
UNPLACED = 100.0  # cost of leaving a container out; worths are scaled to at most 1


class Solution(NamedTuple):
    """A solution of the master.

    Attributes:
        nodes: nodes that receive each column, float64 [columns].
        value: of the objective, without what left containers cost.
        prices: of a container of each application, float64 [apps].
        kinds: price of a node of each kind, float64 [kinds].
        unplaced: containers left out, float64 [apps].
    """

    nodes: FloatArray
    value: float
    prices: FloatArray
    kinds: FloatArray
    unplaced: FloatArray


class Master:
    """Nodes per column, fractions allowed, so that all is placed and the sum of worths is largest.

    Args:
        problem: demand and kinds, the rows of the program.
        scale: the largest worth; what HiGHS sees is divided by it, so that its tolerances fit.
    """

    def __init__(self, problem: Problem, scale: float) -> None:
        import highspy  # a quarter of a second that commands without a program should not pay

        self.scale = scale
        self._apps = len(problem.apps)
        make: Any = highspy.Highs  # whose constructor has no types
        self._highs = make()
        self._highs.silent()
        # a column of the program never seems to improve it: duals are exacter than what counts as improving
        options = {"threads": 1, "presolve": "off", "parallel": "off", "dual_feasibility_tolerance": EXACT}
        for option, value in options.items():
            self._highs.setOptionValue(option, value)
        right = np.concatenate([problem.demand, problem.nodes]).astype(np.float64)
        nothing, no_index = np.zeros(0), np.zeros(0, dtype=np.int32)
        starts = np.zeros(len(right), dtype=np.int32)
        self._highs.addRows(len(right), right, right, 0, starts, no_index, nothing)
        index, ones = np.arange(self._apps, dtype=np.int32), np.ones(self._apps)
        costs, zeros, no_limit = UNPLACED * ones, 0 * ones, np.inf * ones
        self._highs.addCols(self._apps, costs, zeros, no_limit, self._apps, index, index, ones)
        self.added: IntArray = np.zeros((0, self._apps), dtype=np.int64)
        self.worth: FloatArray = np.zeros(0)
        self.kind: IntArray = np.zeros(0, dtype=np.int64)
        self.usable: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def add(self, kind: int, columns: Columns) -> None:
        """Let `columns` of a kind join the program."""
        count = len(columns.worth)
        if not count:
            return
        added = columns.added.astype(np.int64)
        row, app = np.nonzero(added)
        width = (added > 0).sum(axis=1) + 1  # its applications, then its kind
        starts = np.cumsum(width) - width
        at = np.arange(len(row)) + row
        index = np.full(int(width.sum()), self._apps + kind, dtype=np.int32)
        value = np.ones(len(index))
        index[at], value[at] = app, added[row, app]
        costs, zeros, no_limit = -columns.worth / self.scale, np.zeros(count), np.full(count, np.inf)
        self._highs.addCols(count, costs, zeros, no_limit, len(index), starts.astype(np.int32), index, value)
        self.added = np.concatenate([self.added, added])
        self.worth = np.concatenate([self.worth, columns.worth])
        self.kind = np.concatenate([self.kind, np.full(count, kind, dtype=np.int64)])
        self.usable = np.concatenate([self.usable, np.ones(count, dtype=bool)])

    def restrict(self, demand: IntArray, nodes: IntArray) -> None:
        """Place only what is left, [apps], on the nodes of each kind that are left, [kinds].

        Columns that hold more than is left are not used until more is left.
        """
        for row, value in enumerate(np.concatenate([demand, nodes]).tolist()):
            self._highs.changeRowBounds(row, float(value), float(value))
        usable = np.asarray((self.added <= demand).all(axis=1))
        changed = np.flatnonzero(self.usable != usable)
        if len(changed):
            self.usable = usable
            index, zeros = (changed + self._apps).astype(np.int32), np.zeros(len(changed))
            upper = np.where(usable[changed], np.inf, 0.0)
            self._highs.changeColsBounds(len(index), index, zeros, upper)

    def solve(self) -> Solution:
        """Solve the program, from the last basis on.

        Raises:
            SolverError: HiGHS did not reach the optimum.
        """
        import highspy

        self._highs.run()
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            self._highs.clearSolver()  # once more, from nothing
            self._highs.run()
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            named = self._highs.modelStatusToString(status)
            raise SolverError(f"the linear program over columns was not solved: {named}")
        found: Any = self._highs.getSolution()
        values, duals = np.array(found.col_value), -np.array(found.row_dual) * self.scale
        nodes = np.maximum(values[self._apps :], 0.0)
        value = float(nodes @ self.worth)
        return Solution(nodes, value, duals[: self._apps], duals[self._apps :], values[: self._apps])
