"""Rounding: a fractional solution over columns becomes a placement, by a dive and by exchanges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.generation import IMPROVES, Relaxation
from metis.program.pool import Columns, Pool

WHOLE = 1e-6  # slack granted to a whole number
LEAST = 1e-7  # fraction of a node that counts as one
JOINING = 100  # columns of a kind that join the master at once
NEAR = 30_000  # columns of a kind that may join, those of highest reduced worth


@dataclass(frozen=True)
class _Left:
    """Columns that still may join."""

    added: IntArray
    single: NDArray[np.float32]  # the same, whose products with prices are quick
    worth: FloatArray

    @classmethod
    def of(cls, pool: Pool, prices: FloatArray) -> "_Left":
        columns, _ = pool.best(prices, -np.inf, NEAR)
        return cls(columns.added.astype(np.int64), columns.added.astype(np.float32), columns.worth)

    def chosen(self, rows: NDArray[np.bool_]) -> "_Left":
        """Return some of them."""
        return _Left(self.added[rows], self.single[rows], self.worth[rows])

    def above(self, least: float, prices: FloatArray) -> Columns:
        """Return the `JOINING` columns of highest reduced worth, those above `least`."""
        reduced = self.worth - self.single @ prices.astype(np.float32)
        found = np.flatnonzero(reduced > least)
        found = found[np.argsort(-reduced[found], kind="stable")[:JOINING]]
        columns = Columns(self.added[found].astype(np.int16), self.worth[found])
        better = columns.worth - columns.added @ prices > least  # in double precision
        return Columns(columns.added[better], columns.worth[better])


def dive(problem: Problem, relaxed: Relaxation, share: float = 1.0) -> tuple[list[IntArray], IntArray]:
    """Fix columns one after another and solve the rest anew, with all columns of the pools.

    Whole nodes are fixed at once, then the column with the largest fraction of a node.

    Args:
        problem: what is placed where.
        relaxed: its relaxation; the master's columns grow, its rows are as before in the end.
        share: of the nodes that receive a column, by which whole ones are counted: other shares lead to
            other placements.

    Returns:
        For each kind the containers that its nodes receive, int [nodes, apps]; and those left over, [apps],
        for which no column was found.
    """
    master = relaxed.master
    solution = master.solve()
    demand, nodes = problem.demand.copy(), problem.nodes.copy()
    limits = problem.limit_most.copy()
    fixed: list[list[IntArray]] = [[] for _ in range(problem.kinds)]
    left = [
        _Left.of(pool, problem.prices_in(kind, solution.duals)) for kind, pool in enumerate(relaxed.pools)
    ]
    while nodes.any():
        take = np.where(master.usable, np.floor(share * solution.nodes + WHOLE), 0).astype(np.int64)
        if not take.any():
            largest = int(np.where(master.usable, solution.nodes, 0.0).argmax())
            if solution.nodes[largest] <= LEAST or not master.usable[largest]:
                break
            take[largest] = 1
        for column in np.flatnonzero(take).tolist():
            added, kind = master.added[column], int(master.kind[column])
            count = min(int(take[column]), _fitting(problem, kind, added, demand, limits), int(nodes[kind]))
            fixed[kind] += [added] * count
            demand -= count * added
            nodes[kind] -= count
            limits -= count * problem.limit_use(kind, added[None])[0]
        master.restrict(demand, nodes, limits)
        for kind, some in enumerate(left):
            left[kind] = some.chosen(problem.fits(kind, some.added, demand, limits))
        while True:
            solution = master.solve()
            joined = 0
            for kind in np.flatnonzero(nodes).tolist():
                least = float(solution.kinds[kind]) + IMPROVES * master.scale
                better = left[kind].above(least, problem.prices_in(kind, solution.duals))
                master.add(kind, better)
                joined += len(better.worth)
            if not joined:
                break
    master.restrict(problem.demand, problem.nodes)
    received = []
    for kind, taken in enumerate(fixed):
        nothing = [np.zeros(len(problem.apps), dtype=np.int64)] * int(nodes[kind])
        received.append(np.array([*taken, *nothing], dtype=np.int64).reshape(-1, len(problem.apps)))
    return received, demand


def _fitting(problem: Problem, kind: int, added: IntArray, demand: IntArray, limits: IntArray) -> int:
    """Return how many nodes of a kind may receive `added` [apps] of what demand and limits leave."""
    held = added > 0
    fits = int((demand[held] // added[held]).min()) if held.any() else int(problem.nodes[kind])
    used = problem.limit_use(kind, added[None])[0]
    for r in np.flatnonzero(np.isinf(problem.limit_penalty) & (used > 0)).tolist():
        fits = min(fits, int(limits[r]) // int(used[r]))
    return max(fits, 0)
