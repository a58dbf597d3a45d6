"""The master of column generation: a linear program in HiGHS that keeps its basis as columns join it."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.errors import SolverError
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.pool import Columns
from metis.program.sparse_rows import SparseRows

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
        tolls: price of a container under each limit, float64 [limits].
        overrun: moves beyond their limit.
    """

    nodes: FloatArray
    value: float
    prices: FloatArray
    kinds: FloatArray
    unplaced: FloatArray
    tolls: FloatArray = np.zeros(0)
    overrun: float = 0.0

    @property
    def duals(self) -> FloatArray:
        """The prices of containers, then those of the limits; see `Problem.prices_in`."""
        return np.concatenate([self.prices, self.tolls])


class Master:
    """Nodes per column, fractions allowed, so that all is placed and the sum of worths is largest.

    Args:
        problem: demand and kinds, the rows of the program.
        scale: the largest worth; what HiGHS sees is divided by it, so that its tolerances fit.
    """

    def __init__(self, problem: Problem, scale: float) -> None:
        import highspy  # a quarter of a second that commands without a program should not pay

        self.scale = scale
        self._problem = problem
        self._apps, self._kinds = len(problem.apps), problem.kinds
        make: Any = highspy.Highs  # whose constructor has no types
        self._highs = make()
        self._highs.silent()
        # a column of the program never seems to improve it: duals are exacter than what counts as improving
        options = {"threads": 1, "presolve": "off", "parallel": "off", "dual_feasibility_tolerance": EXACT}
        for option, value in options.items():
            self._highs.setOptionValue(option, value)
        right = np.concatenate([problem.demand, problem.nodes, problem.limit_most]).astype(np.float64)
        least = np.concatenate([problem.demand, problem.nodes, np.full(len(problem.limits), -np.inf)])
        nothing, no_index = np.zeros(0), np.zeros(0, dtype=np.int32)
        starts = np.zeros(len(right), dtype=np.int32)
        self._highs.addRows(len(right), least, right, 0, starts, no_index, nothing)
        index, ones = np.arange(self._apps, dtype=np.int32), np.ones(self._apps)
        costs, zeros, no_limit = UNPLACED * ones, 0 * ones, np.inf * ones
        self._highs.addCols(self._apps, costs, zeros, no_limit, self._apps, index, index, ones)
        self._before = self._apps  # columns that are no nodes' columns
        for r in np.flatnonzero(np.isfinite(problem.limit_penalty)).tolist():
            row, cost = np.array([self._apps + self._kinds + r]), float(problem.limit_penalty[r])
            self._highs.addCol(cost / self.scale, 0.0, np.inf, 1, row.astype(np.int32), np.array([-1.0]))
            self._before += 1
        self._soft = self._before - self._apps
        if problem.origin is not None:  # beyond their limit moves cost as much as containers left out
            row = np.array([len(right) - 1], dtype=np.int32)
            self._highs.addCol(UNPLACED, 0.0, np.inf, 1, row, np.array([-1.0]))
            self._before += 1
        self._rows = SparseRows.of(np.zeros((0, self._apps), dtype=np.int64))
        self._use: IntArray = np.zeros((0, len(problem.limits)), dtype=np.int64)
        self.worth: FloatArray = np.zeros(0)
        self.kind: IntArray = np.zeros(0, dtype=np.int64)
        self.usable: NDArray[np.bool_] = np.zeros(0, dtype=bool)

    def add(self, kind: int | IntArray, columns: Columns) -> None:
        """Let `columns` join the program: of a kind, or each of its own kind, int [n]."""
        count = len(columns.worth)
        if not count:
            return
        added = columns.added.astype(np.int64)
        if isinstance(kind, np.ndarray):
            under = np.arange(len(self._problem.limits))
        else:
            under = np.flatnonzero(self._problem.under_limits(kind))
        of_limits = self._problem.limit_use(kind, added)
        use = of_limits[:, under]
        # the rows of the program that a column meets: its applications, its kind, its limits
        entries = np.hstack([added, np.ones((count, 1), dtype=np.int64), use])
        rows = np.concatenate([np.arange(self._apps), [self._apps], self._apps + self._kinds + under])
        column, at = np.nonzero(entries)
        starts = np.searchsorted(column, np.arange(count))
        kinds = np.full(count, kind, dtype=np.int64)
        index = np.where(at == self._apps, self._apps + kinds[column], rows[at]).astype(np.int32)
        value = entries[column, at].astype(np.float64)
        costs, zeros, no_limit = -columns.worth / self.scale, np.zeros(count), np.full(count, np.inf)
        self._highs.addCols(count, costs, zeros, no_limit, len(index), starts.astype(np.int32), index, value)
        self._rows = self._rows.joined(SparseRows.of(added))
        self._use = np.concatenate([self._use, of_limits])
        self.worth = np.concatenate([self.worth, columns.worth])
        self.kind = np.concatenate([self.kind, kinds])
        self.usable = np.concatenate([self.usable, np.ones(count, dtype=bool)])

    def rows(self, numbers: IntArray) -> IntArray:
        """Return the containers of several columns, int [n, apps]."""
        found: IntArray = self._rows.dense(numbers)
        return found

    def column(self, number: int) -> IntArray:
        """Return the containers of a column, int [apps]."""
        return np.asarray(self._rows.dense(np.array([number]))[0])

    def restrict(self, demand: IntArray, nodes: IntArray, left: IntArray | None = None) -> None:
        """Place only what is left, [apps], on the nodes of each kind that are left, [kinds].

        Columns that hold more than is left are not used until more is left.

        Args:
            demand: containers that are left, int [apps].
            nodes: that are left of each kind, int [kinds].
            left: of each limit, int [limits]; None: all of it.
        """
        left = self._problem.limit_most if left is None else left
        exact = np.concatenate([demand, nodes]).astype(np.float64)
        least, right = np.append(exact, np.full(len(left), -np.inf)), np.append(exact, left)
        self._highs.changeRowsBounds(len(right), np.arange(len(right), dtype=np.int32), least, right)
        problem = self._problem
        most = np.tile(demand, (self._kinds, 1))
        if problem.most is not None:
            most = np.minimum(most, problem.most)
        usable = self._rows.within(most, self.kind)
        usable &= ~((self._use > left) & np.isinf(problem.limit_penalty)).any(axis=1)
        changed = np.flatnonzero(self.usable != usable)
        if len(changed):
            self.usable = usable
            index, zeros = (changed + self._before).astype(np.int32), np.zeros(len(changed))
            upper = np.where(usable[changed], np.inf, 0.0)
            self._highs.changeColsBounds(len(index), index, zeros, upper)

    def limit(self, row: int, most: float) -> None:
        """Change what a limit leaves."""
        self._highs.changeRowBounds(self._apps + self._kinds + row, -np.inf, float(most))

    def solve(self) -> Solution:
        """Solve the program, from the last basis on.

        Raises:
            SolverError: HiGHS did not reach the optimum.
        """
        import highspy

        self._highs.run()
        for presolve in ("off", "on"):
            if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                self._highs.clearSolver()  # once more, from nothing
                self._highs.setOptionValue("presolve", presolve)
                self._highs.run()
        self._highs.setOptionValue("presolve", "off")
        status = self._highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            named = self._highs.modelStatusToString(status)
            raise SolverError(f"the linear program over columns was not solved: {named}")
        found: Any = self._highs.getSolution()
        values, duals = np.array(found.col_value), -np.array(found.row_dual) * self.scale
        nodes, beyond = np.maximum(values[self._before :], 0.0), values[self._apps : self._apps + self._soft]
        penalty = self._problem.limit_penalty
        value = float(nodes @ self.worth) - float(beyond @ penalty[np.isfinite(penalty)])
        prices, kinds, tolls = np.split(duals, [self._apps, self._apps + self._kinds])
        overrun = float(values[self._apps + self._soft : self._before].sum())
        return Solution(nodes, value, prices, kinds, values[: self._apps], np.maximum(tolls, 0.0), overrun)
