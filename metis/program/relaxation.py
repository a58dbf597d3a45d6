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
from metis.program.solver import add_columns, add_program, silent_highs

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
    matrix = sparse.csr_array(matrix)
    model = silent_highs()
    add_program(model, (sparse.eye_array(rows, format="csc"), right, right), np.full(rows, UNPLACED))
    kept: IntArray = np.zeros(0, dtype=np.int64)
    better = np.argsort(cost / np.asarray(matrix.sum(axis=1)), kind="stable")[:COLUMNS]
    while True:
        # the last solution goes on: only what is new has to be priced in
        add_columns(model, matrix[better].T, cost[better])
        kept = np.concatenate([kept, better])
        solved = _optimum(model)
        if solved is None:
            break
        used, prices = solved
        reduced = cost - matrix @ prices
        reduced[kept] = 0.0
        better = np.argsort(reduced, kind="stable")[:COLUMNS]
        better = better[reduced[better] < -PRICED_OUT]
        if not len(better):
            break
    if solved is not None and used[:rows].max() <= FEASIBLE:
        x = np.zeros(size)
        x[kept] = used[rows:]
        return x, prices
    # not all is placed, or the solver is at a loss: all columns decide
    model = silent_highs()
    add_program(model, (matrix.T, right, right), cost)
    solved = _optimum(model)
    if solved is None:
        raise InputError("no placement satisfies the rules: this group cannot be placed on this cluster")
    return solved


def _optimum(model: Any) -> tuple[FloatArray, FloatArray] | None:
    """Return the optimum's columns and the prices of its rows; None where HiGHS finds none."""
    import highspy

    model.run()
    if model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    solution = model.getSolution()
    return np.array(solution.col_value), np.array(solution.row_dual)
