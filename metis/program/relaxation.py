"""The linear relaxation of placing a group: nodes per co-location, fractions allowed.

A node's worth depends on its co-location alone, so the relaxation has one column per co-location. It takes
hundredths of a second, and its value, tight to about 0.1 %, bounds every placement.

Few of the columns matter: the program is solved on some, and the prices of that solution show which others
would improve it (column generation), until none would.
"""

from typing import Any, NamedTuple

import numpy as np

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray

COLUMNS = 300  # columns of the first program, and at most added to each next one
UNPLACED = 1e3  # cost of leaving a container or a node out; costs are scaled to at most 1
PRICED_OUT = 1e-10  # reduced costs above minus this improve nothing
FEASIBLE = 1e-6  # containers or nodes that may be left out by rounding


class Relaxed(NamedTuple):
    """A fractional placement.

    Attributes:
        nodes: nodes that hold each co-location, float64 [size].
        bound: the sum of worths that no placement exceeds.
    """

    nodes: FloatArray
    bound: float


def relax(worth: FloatArray, group: IntArray, cluster: Cluster) -> Relaxed:
    """Place a group in fractions, so that the sum of worths over the nodes is largest.

    Args:
        worth: of every co-location, float64 [size].
        group: containers to place, int [apps].
        cluster: nodes, existing containers and allowed co-locations.

    Raises:
        InputError: no placement satisfies the rules.
    """
    from scipy import sparse

    space = cluster.space
    held, nodes_with = np.unique(cluster.existing, axis=0, return_counts=True)
    added, reached, row = [], [], []
    for number, existing in enumerate(held):
        fits = space.counts[
            (space.counts <= group).all(axis=1) & (space.totals + existing.sum() <= space.slots)
        ]
        ids = space.index(fits + existing)
        admitted = cluster.allowed[ids] | ~fits.any(axis=1)
        added.append(fits[admitted])
        reached.append(ids[admitted])
        row.append(np.full(int(admitted.sum()), number))
    columns, ids, rows = np.concatenate(added), np.concatenate(reached), np.concatenate(row)
    per_row = sparse.csr_array((np.ones(len(rows)), (np.arange(len(rows)), rows)), (len(rows), len(held)))
    matrix = sparse.csr_array(sparse.hstack([sparse.csr_array(columns.astype(np.float64)), per_row]))
    right = np.concatenate([group, nodes_with]).astype(np.float64)
    # worths are shares of a mean over many containers: scaled, so that tolerances fit
    scale = max(float(np.abs(worth).max()), 1e-300)
    cost = -worth[ids] / scale
    x, prices = solve_relaxation(cost, matrix, right)
    nodes = np.bincount(ids, weights=x, minlength=space.size)
    # from the prices alone, so that the solver's tolerance can loosen the bound but not falsify it
    short = min(float((cost - matrix @ prices).min()), 0.0) * cluster.nodes
    return Relaxed(np.asarray(nodes), -(float(right @ prices) + short) * scale)


def solve_relaxation(cost: FloatArray, matrix: Any, right: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return x and prices of the least cost @ x with matrix.T @ x = right and x >= 0, by column generation.

    What the kept columns cannot place goes into columns of no use, at a cost that makes them a last resort.
    """
    from scipy import sparse

    size, rows = matrix.shape
    kept = np.zeros(size, dtype=bool)
    kept[np.argsort(cost / np.asarray(matrix.sum(axis=1)), kind="stable")[:COLUMNS]] = True
    last_resort, unplaced = sparse.eye_array(rows), np.full(rows, UNPLACED)
    while True:
        some = np.flatnonzero(kept)
        solved = _linear_program(
            np.concatenate([cost[some], unplaced]), sparse.vstack([matrix[some], last_resort]), right
        )
        if not solved.success:
            break
        prices = np.asarray(solved.eqlin.marginals)
        reduced = np.where(kept, 0.0, cost - matrix @ prices)
        better = np.argsort(reduced, kind="stable")[:COLUMNS]
        better = better[reduced[better] < -PRICED_OUT]
        if not len(better):
            break
        kept[better] = True
    if solved.success and solved.x[len(some) :].max() <= FEASIBLE:
        x = np.zeros(size)
        x[some] = solved.x[: len(some)]
        return x, prices
    # not all is placed, or the solver is at a loss: all columns decide
    solved = _linear_program(cost, matrix, right)
    if not solved.success:
        raise InputError("no placement satisfies the rules: this group cannot be placed on this cluster")
    return np.asarray(solved.x), np.asarray(solved.eqlin.marginals)


def _linear_program(cost: FloatArray, matrix: Any, right: FloatArray) -> Any:
    from scipy.optimize import linprog  # half a second, which commands that solve nothing need not spend

    # programs this small are solved sooner than simplified
    return linprog(cost, A_eq=matrix.T, b_eq=right, method="highs-ds", options={"presolve": False})
