"""The relaxation of the program of moves: kinds of nodes by what they have, one row for moves.

The master, the pools and the worth are those of placing a group (`metis.program.generation`); what differs is
that every kind has its own price for a column, by the moves that it takes. Kinds of a family share what a
pricing costs, and the program is kept between numbers of moves, so that each starts where the last ended.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.families import as_columns, families_of
from metis.program.generation import BoundKind, pools_of
from metis.program.master import Master, Solution
from metis.program.pool import MOST, Columns
from metis.program.pricing import enumerate_columns

PRICED_OUT = 1e-9  # of the scale: a column better by less improves nothing
IMPROVES = 1e-7  # the same where reduced worths are in single precision
FEASIBLE = 1e-6  # containers that may be left out by rounding
ROUNDS = 400  # pricings at most: the bound holds whenever it stops
CLOSE = 2e-4  # share of the value that columns may still add when searching ends
LAST = 2  # of the ways to search, each broader than the one before
WIDTH = 128  # columns of equally many containers that a search for a type pursues
BREADTH = 8  # columns of equally many containers that a search in breadth pursues for each kind


@dataclass(frozen=True)
class Relaxed:
    """The solution of the linear program.

    Attributes:
        solution: nodes on each column of the master, and prices; the last toll is the price of a move.
        bound: no plan is worth more, the cost of its moves subtracted.
        bound_kind: `proven`, or `estimated` where a search may have overlooked columns.
        short: containers that could not be placed and moves too many; 0 but for rounding where a plan exists.
        ended: whether the search of columns ended; else the bound is too low.
    """

    solution: Solution
    bound: float
    bound_kind: BoundKind
    short: float
    ended: bool = True


class MoveRelaxation:
    """The linear program of moves, kept between calls.

    Args:
        problem: with `origin`.
    """

    def __init__(self, problem: Problem) -> None:
        assert problem.origin is not None
        self.problem, self._origin = problem, problem.origin
        self.pools = pools_of(problem)
        shared = {id(pool): pool for pool in self.pools}
        whole = {key: enumerate_columns(pool, MOST) for key, pool in shared.items()}
        self.whole = all(whole.values())
        cost = problem.move_cost
        self.alike = cost is None or bool((cost == cost[0]).all())
        self.families = families_of(problem, self.pools, whole)
        self.own_worth: FloatArray = np.zeros(problem.kinds)
        for family in self.families:
            self.own_worth[family.kinds] = family.pool.look_up(self._origin[family.kinds])
        pooled = max(float(np.abs(pool.columns.worth).max()) for pool in self.pools)
        scale = max(pooled, float(np.abs(self.own_worth).max()))
        self.master = Master(problem, scale or 1.0)
        self._moves = problem.limits[-1].most
        every = np.arange(problem.kinds)
        self.master.add(every, Columns(self._origin.astype(np.int16), self.own_worth))
        every = np.flatnonzero(self._origin.any(axis=1))
        empty = np.zeros((len(every), len(problem.apps)), dtype=np.int16)
        worth = np.array([float(self.pools[kind].look_up(empty[:1].astype(np.int64))[0]) for kind in every])
        paid = problem.cost_of_moves(every, empty.astype(np.int64))
        self.master.add(every, Columns(empty, worth - paid))

    def solve(self, moves: int, left: Callable[[], float] = lambda: np.inf) -> Relaxed:
        """Return the optimum over all columns with at most so many containers that leave their node.

        Args:
            moves: containers that leave.
            left: seconds left, after which no more columns are searched.
        """
        self._moves = moves
        self.master.limit(len(self.problem.limits) - 1, moves)
        best, stage, ended = np.inf, 0, self.whole
        for _ in range(ROUNDS):
            solution = self.master.solve()
            joined, excess = self._join(solution)
            value = self._dual_value(solution)
            if self.whole:
                best = min(best, value + excess)
            if joined and (self.whole or left() > 0):
                continue
            if self.whole or left() <= 0:
                break
            self._search(solution, stage)
            joined, excess = self._join(solution)
            if stage == LAST:
                best = min(best, value + excess)
            if joined and excess > CLOSE * abs(value):
                stage = 0
            elif stage < LAST:
                stage += 1
            else:
                solution, ended = self.master.solve(), True
                break
        bound = best if np.isfinite(best) else value + excess
        short = float(solution.unplaced.sum()) + solution.overrun
        kind: BoundKind = "proven" if self.whole else "estimated"
        return Relaxed(solution, max(bound, solution.value), kind, short, ended)

    def _search(self, solution: Solution, stage: int) -> None:
        """Search near the best columns, or for each type as if nothing ran, or for each kind."""
        for family in self.families:
            if family.whole:
                continue
            if stage == 0:
                family.look_around(solution)
            elif stage == 1:
                family.search_type(solution, WIDTH)
            else:
                family.search(solution, BREADTH)

    def net_worth(self, kind: IntArray, added: IntArray) -> FloatArray:
        """Return the worth of nodes that end up with `added` [n, apps] less their moves, float64 [n]."""
        worth = np.zeros(len(kind))
        for one in np.unique(kind).tolist():
            worth[kind == one] = self.pools[one].look_up(added[kind == one])
        return worth - self.problem.cost_of_moves(kind, added)

    def leavers(self, kind: IntArray, added: IntArray) -> int:
        """Return how many containers leave their node where nodes end up with `added` [n, apps]."""
        return int(np.maximum(self._origin[kind] - added, 0).sum())

    def reduced_own(self, solution: Solution) -> FloatArray:
        """Return the reduced worth of leaving a node as it is, of every kind, float64 [kinds]."""
        duals, problem = solution.duals, self.problem
        prices = np.stack([problem.prices_in(kind, duals) for kind in range(problem.kinds)])
        return np.asarray(self.own_worth - (self._origin * prices).sum(axis=1))

    def _dual_value(self, solution: Solution) -> float:
        """The value of the linear program by its prices, what is left out or too much included."""
        problem = self.problem
        most = problem.limit_most.astype(np.float64)
        most[-1] = self._moves
        return float(solution.duals @ np.concatenate([problem.demand, most]) + solution.kinds @ problem.nodes)

    def _join(self, solution: Solution) -> tuple[int, float]:
        """Let better columns join; return how many did, and what they could add to the value at most."""
        node = solution.kinds
        least = node + (PRICED_OUT if self.whole else IMPROVES) * self.master.scale
        best = self.reduced_own(solution)
        joined = 0
        for family in self.families:
            found, highest = family.better(solution, least[family.kinds])
            best[family.kinds] = np.maximum(best[family.kinds], highest)
            self.master.add(found.kind, as_columns(self.problem, family, found))
            joined += len(found.kind)
        return joined, float(np.maximum(best - node, 0.0) @ self.problem.nodes)
