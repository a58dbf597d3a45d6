"""Rounding: a fractional solution over columns becomes a placement, by a dive and by exchanges."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.generation import IMPROVES, Relaxation
from metis.program.pool import Columns, Pool
from metis.program.sparse_rows import SparseRows

WHOLE = 1e-6  # slack granted to a whole number
LEAST = 1e-7  # fraction of a node that counts as one
AT_ONCE = 50  # nodes that are left for each that is fixed at once
JOINING = 100  # columns of a kind that join the master at once
NEAR = 30_000  # columns of a kind that may join, those of highest reduced worth


@dataclass(frozen=True)
class _Left:
    """Columns of a kind that still may join."""

    rows: SparseRows
    worth: FloatArray
    use: IntArray  # of the limits, [n, limits]

    @classmethod
    def of(cls, pool: Pool, kind: int, prices: FloatArray) -> "_Left":
        added, worth = pool.best(prices, -np.inf, NEAR)[0]
        return cls(SparseRows.of(added), worth, pool.problem.limit_use(kind, added.astype(np.int64)))

    def fitting(self, problem: Problem, kind: int, demand: IntArray, left: IntArray) -> "_Left":
        """Return those that a node of a kind may receive of what is left of demand and limits."""
        most = demand if problem.most is None else np.minimum(demand, problem.most[kind])
        fits = self.rows.within(most[None], np.zeros(len(self.worth), dtype=np.int64))
        fits &= ~((self.use > left) & np.isinf(problem.limit_penalty)).any(axis=1)
        return _Left(self.rows.chosen(fits), self.worth[fits], self.use[fits])

    def above(self, least: float, prices: FloatArray) -> Columns:
        """Return the `JOINING` columns of highest reduced worth, those above `least`."""
        reduced = self.worth - self.rows.times(prices)
        found = np.flatnonzero(reduced > least)
        found = found[np.argsort(-reduced[found], kind="stable")[:JOINING]]
        return Columns(self.rows.dense(found).astype(np.int16), self.worth[found])


def dive(
    problem: Problem, relaxed: Relaxation, share: float = 1.0, until: float = np.inf
) -> tuple[list[IntArray], IntArray]:
    """Fix columns one after another and solve the rest anew, with all columns of the pools.

    Whole nodes are fixed at once, then the column with the largest fraction of a node; of hundreds of nodes
    that are left several.

    Args:
        problem: what is placed where.
        relaxed: its relaxation; the master's columns grow, its rows are as before in the end.
        share: of the nodes that receive a column, by which whole ones are counted: other shares lead to
            other placements.
        until: time by `perf_counter` after which what is left is left over.

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
        _Left.of(pool, kind, problem.prices_in(kind, solution.duals))
        for kind, pool in enumerate(relaxed.pools)
    ]
    while nodes.any() and perf_counter() <= until:
        take = np.where(master.usable, np.floor(share * solution.nodes + WHOLE), 0).astype(np.int64)
        if not take.any():
            fractions = np.where(master.usable, solution.nodes, 0.0)
            largest = np.argsort(-fractions, kind="stable")[: max(1, int(nodes.sum()) // AT_ONCE)]
            largest = largest[fractions[largest] > LEAST]
            if not len(largest):
                break
            take[largest] = 1
        for column in np.flatnonzero(take).tolist():
            added, kind = master.column(column), int(master.kind[column])
            count = min(int(take[column]), _fitting(problem, kind, added, demand, limits), int(nodes[kind]))
            fixed[kind] += [added] * count
            demand -= count * added
            nodes[kind] -= count
            limits -= count * problem.limit_use(kind, added[None])[0]
        master.restrict(demand, nodes, limits)
        for kind, some in enumerate(left):
            left[kind] = some.fitting(problem, kind, demand, limits)
        while perf_counter() <= until:
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
