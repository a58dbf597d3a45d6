"""Rounding: a fractional solution over columns becomes a placement, by a dive and by exchanges."""

import numpy as np

from metis.problem.counts import IntArray
from metis.problem.kinds import Problem
from metis.program.generation import IMPROVES, Relaxation
from metis.program.pool import Columns

WHOLE = 1e-6  # slack granted to a whole number
LEAST = 1e-7  # fraction of a node that counts as one
JOINING = 100  # columns of a kind that join the master at once


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
    left = [(pool.columns.added, pool.columns.worth) for pool in relaxed.pools]
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
        for kind, (rows, worth) in enumerate(left):
            usable = problem.fits(kind, rows, demand, limits)
            left[kind] = rows[usable], worth[usable]
        while True:
            solution = master.solve()
            joined = 0
            for kind, (rows, worth) in enumerate(left):
                if nodes[kind]:
                    prices = problem.prices_in(kind, solution.duals)
                    reduced = worth - rows @ prices - solution.kinds[kind]
                    better = np.flatnonzero(reduced > IMPROVES * master.scale)
                    better = better[np.argsort(-reduced[better], kind="stable")[:JOINING]]
                    master.add(kind, Columns(rows[better], worth[better]))
                    joined += len(better)
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
