"""The linear program over the columns priced in so far: its prices, its solution and the bound they prove."""

from typing import Any, NamedTuple

import numpy as np

from metis.errors import SolverError
from metis.problem.counts import FloatArray, IntArray
from metis.program.moves_columns import (
    NO_LIMIT,
    Columns,
    Kinds,
    Pricing,
    add_columns,
    add_program,
    highs,
)

UNPLACED = 1e3  # cost of leaving out a container; worths are scaled to at most 1
PRICED_OUT = 1e-9  # a column better by less improves nothing
FEASIBLE = 1e-6  # containers that may be left out by rounding
ROUNDS = 400  # pricings at most: the bound holds whenever it stops


class Prices(NamedTuple):
    """The prices of a linear program of moves.

    Attributes:
        container: of placing one container, float64 [apps]: what a slot is worth that holds it.
        move: what one move more would gain, 0 or more.
        node: what a node of each kind adds beyond its containers' prices, float64 [kinds].
    """

    container: FloatArray
    move: float
    node: FloatArray


class Relaxed(NamedTuple):
    """The solution of the linear program.

    Attributes:
        x: nodes on each column, float64 [columns].
        prices: of this solution.
        bound: no plan is worth more; proven by the prices alone, over all columns.
        short: containers that could not be placed; 0 but for rounding where a plan exists.
    """

    x: FloatArray
    prices: Prices
    bound: float
    short: float


class Master:
    """The linear program of moves, kept between calls so that each starts where the last one ended.

    Args:
        kinds: of nodes.
        net: worth of a column less the cost of its moves, as a function of kinds and co-locations reached.
        demand: containers that nodes end up holding, int [apps].
        pricing: finds better columns.
    """

    def __init__(self, kinds: Kinds, worth: FloatArray, cost: FloatArray, demand: IntArray) -> None:
        self.kinds, self.demand = kinds, demand
        self.worth, self.cost = worth, cost
        self.columns = Columns(kinds)
        self.pricing = Pricing(kinds, worth, cost)
        self._apps = len(demand)
        self._model = highs()
        self._build()
        self.add(np.arange(len(kinds.held)), kinds.own)

    def _build(self) -> None:
        """Rows of containers, kinds and moves; columns that place a container too few or too many."""
        from scipy import sparse

        equal = np.concatenate([self.demand, self.kinds.nodes]).astype(np.float64)
        one = sparse.eye_array(len(equal) + 1, self._apps, format="csc")
        rows = (
            sparse.hstack([one, -one], format="csc"),
            np.append(equal, -NO_LIMIT),
            np.append(equal, NO_LIMIT),
        )
        add_program(self._model, rows, np.full(2 * self._apps, UNPLACED))

    def add(self, rows: IntArray, reached: IntArray) -> int:
        """Add columns; return how many are new."""
        from scipy import sparse

        new = self.columns.add(rows, reached)
        rows, reached = self.columns.rows[new], self.columns.reached[new]
        count = len(rows)
        if not count:
            return 0
        moved = self.kinds.moved(rows, reached)
        net = self.worth[reached] - moved @ self.cost
        one = sparse.csc_array((np.ones(count), rows, np.arange(count + 1)), (len(self.kinds.held), count))
        counts = sparse.csc_array(self.kinds.counts[reached].T.astype(np.float64))
        moves = sparse.csc_array(moved.sum(axis=1)[None, :].astype(np.float64))
        add_columns(self._model, sparse.vstack([counts, one, moves], format="csc"), -net)
        return count

    def solve(self, budget: float | None) -> Relaxed:
        """Return the optimum over all columns, with at most `budget` moves; None for any number.

        Raises:
            SolverError: HiGHS found no optimum.
        """
        last = self._apps + len(self.kinds.held)
        self._model.changeRowBounds(last, -NO_LIMIT, NO_LIMIT if budget is None else float(budget))
        best_bound = np.inf
        for _ in range(ROUNDS):
            x, prices = self._optimum()
            priced = self.pricing.better(prices.container, prices.move, prices.node + PRICED_OUT)
            bound = self.bound(prices, priced.best, budget)
            best_bound = min(best_bound, bound)
            if not self.add(priced.row, priced.reached):
                break
        return Relaxed(x[2 * self._apps :], prices, best_bound, float(x[: 2 * self._apps].sum()))

    def bound(self, prices: Prices, best: FloatArray, budget: float | None) -> float:
        """The bound that prices prove, given the best reduced worth of every kind over all its columns."""
        moves = 0.0 if budget is None else prices.move * budget
        return float(prices.container @ self.demand + moves + best @ self.kinds.nodes)

    def _optimum(self) -> tuple[FloatArray, Prices]:
        self._model.run()
        status = self._model.modelStatusToString(self._model.getModelStatus())
        if status != "Optimal":
            raise SolverError(f"the linear program of moves: HiGHS says {status!r}")
        solution: Any = self._model.getSolution()
        duals = -np.asarray(solution.row_dual)
        apps = self._apps
        prices = Prices(duals[:apps], max(float(duals[-1]), 0.0), duals[apps:-1])
        return np.asarray(solution.col_value), prices
