"""Refinement: some nodes of a placement at a time are filled anew by a small integer program over the pools.

By the prices of the relaxation every node has a loss, 0 or more: the price of a node of its kind less what
its column is worth beyond the price of its containers. The losses add up to the gap between bound and value.
So nodes of high loss are chosen, with others for company, and a column whose loss alone exceeds that of the
chosen nodes together cannot improve them: few columns are left.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.generation import Relaxation

COLUMNS = 300  # of one integer program, those of least loss
BRANCHES = 100  # nodes that its branch and bound may open
FEWEST, FIRST, MOST = 4, 12, 40  # nodes of the cluster that are filled anew together
PATIENCE = 12  # programs in a row that improve nothing
GAINS = 1e-9  # share of the value that counts as a gain
CLOSE = 1e-5  # gap, as a share of the bound, that is close enough


@dataclass(frozen=True)
class _Supply:
    """The columns that may serve, of all kinds, in the order of their losses."""

    kind: IntArray
    added: IntArray
    loss: FloatArray


def refine(
    problem: Problem,
    kind_of: IntArray,
    placement: IntArray,
    relaxed: Relaxation,
    programs: int,
    seed: int = 0,
) -> IntArray:
    """Improve a placement as long as it pays.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        placement: new containers, int [nodes, apps].
        relaxed: the relaxation, whose prices and pools are used.
        programs: integer programs solved at most.
        seed: of the choice of nodes.

    Returns:
        The placement, no worse.
    """
    rng = np.random.default_rng(seed)
    best = placement.copy()
    losses = _losses(problem, kind_of, best, relaxed)
    supply = _supply(relaxed, float(losses.sum()))
    small = GAINS * abs(relaxed.bound)
    size, idle = min(FIRST, len(best)), 0
    for _ in range(programs):
        if losses.sum() <= CLOSE * abs(relaxed.bound) or idle >= PATIENCE:
            break
        weight = losses + losses.mean() / 2 + 1e-300
        chosen = rng.choice(len(best), size=min(size, len(best)), replace=False, p=weight / weight.sum())
        filled, finished = _fill_anew(problem, kind_of[chosen], best[chosen], losses[chosen], supply)
        gain = 0.0
        if filled is not None:
            trial = _losses(problem, kind_of[chosen], filled, relaxed)
            gain = float(losses[chosen].sum() - trial.sum())
        if filled is not None and gain > small:
            best[chosen], losses[chosen], idle = filled, trial, 0
        else:
            idle += 1
            size = min(size + 2, MOST) if finished else max(size - 2, FEWEST)
    return best


def _losses(problem: Problem, kind_of: IntArray, placement: IntArray, relaxed: Relaxation) -> FloatArray:
    """Return the loss of each node, float64 [nodes]."""
    found = np.empty(len(placement))
    for kind in range(problem.kinds):
        rows = placement[kind_of == kind]
        reduced = problem.worth_of(kind, rows) - rows @ relaxed.solution.prices
        found[kind_of == kind] = relaxed.solution.kinds[kind] - reduced
    return np.maximum(found, 0.0)


def _supply(relaxed: Relaxation, most: float) -> _Supply:
    """Return the pools' columns whose loss is below `most`."""
    kinds, rows, losses = [], [], []
    for pool in relaxed.pools:
        price = float(relaxed.solution.kinds[pool.kind])
        columns, reduced = pool.best(relaxed.solution.prices, price - most, len(pool))
        kinds.append(np.full(len(reduced), pool.kind, dtype=np.int64))
        rows.append(columns.added.astype(np.int64))
        losses.append(np.maximum(price - reduced, 0.0))
    order = np.argsort(np.concatenate(losses), kind="stable")
    return _Supply(np.concatenate(kinds)[order], np.concatenate(rows)[order], np.concatenate(losses)[order])


def _fill_anew(
    problem: Problem, kind_of: IntArray, held: IntArray, losses: FloatArray, supply: _Supply
) -> tuple[IntArray | None, bool]:
    """Return other columns for some nodes, int [nodes, apps], or None; and whether all was solved."""
    import highspy

    demand, most = held.sum(axis=0), float(losses.sum())
    among = np.searchsorted(supply.loss, most)
    fits = np.flatnonzero((supply.added[:among] <= demand).all(axis=1))
    finished = len(fits) <= COLUMNS
    fits = fits[:COLUMNS]
    own, first, count = np.unique(
        np.column_stack([kind_of, held]), axis=0, return_index=True, return_counts=True
    )
    kind = np.concatenate([own[:, 0], supply.kind[fits]])
    added = np.concatenate([own[:, 1:], supply.added[fits]])
    loss = np.concatenate([losses[first], supply.loss[fits]]) / max(most, 1e-300)
    nodes = np.bincount(kind_of, minlength=problem.kinds)
    right = np.concatenate([demand, nodes]).astype(np.float64)
    matrix = np.zeros((len(kind), len(right)))
    matrix[:, : len(demand)] = added
    matrix[np.arange(len(kind)), len(demand) + kind] = 1.0
    make: Any = highspy.Highs  # whose constructor has no types
    highs = make()
    highs.silent()
    for option, value in (("threads", 1), ("parallel", "off"), ("mip_max_nodes", BRANCHES)):
        highs.setOptionValue(option, value)
    starts, index = np.zeros(len(right), dtype=np.int32), np.zeros(0, dtype=np.int32)
    highs.addRows(len(right), right, right, 0, starts, index, np.zeros(0))
    column, row = np.nonzero(matrix)
    starts = np.searchsorted(column, np.arange(len(kind))).astype(np.int32)
    upper = np.minimum(nodes[kind], 1e9).astype(np.float64)
    highs.addCols(
        len(kind),
        loss,
        np.zeros(len(kind)),
        upper,
        len(row),
        starts,
        row.astype(np.int32),
        matrix[column, row],
    )
    every = np.arange(len(kind), dtype=np.int32)
    highs.changeColsIntegrality(len(kind), every, np.full(len(kind), highspy.HighsVarType.kInteger))
    known = highspy.HighsSolution()
    known.col_value = [*count.astype(float).tolist(), *[0.0] * len(fits)]
    highs.setSolution(known)
    highs.run()
    finished = finished and highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    values = np.round(np.array(highs.getSolution().col_value)).astype(np.int64)
    if len(values) != len(kind) or (values < 0).any() or (values @ matrix != right).any():
        return None, bool(finished)
    filled = np.empty_like(held)
    for one in range(problem.kinds):
        rows = np.repeat(added[kind == one], values[kind == one], axis=0)
        filled[kind_of == one] = rows
    return filled, bool(finished)
