"""Refinement: some nodes of a placement at a time are filled anew by a small integer program over the pools.

By the prices of the relaxation every node has a loss, 0 or more: the price of a node of its kind less what
its column is worth beyond the price of its containers. The losses add up to the gap between bound and value.
So nodes of high loss are chosen, with others for company, and a column whose loss alone exceeds that of the
chosen nodes together cannot improve them: few columns are left.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.generation import Relaxation

COLUMNS = 300  # of one integer program, those of least loss
BRANCHES = 100  # nodes that its branch and bound may open
FEWEST, FIRST, MOST = 4, 12, 40  # nodes of the cluster that are filled anew together
PATIENCE = 20  # programs in a row that improve nothing
GAINS = 1e-9  # share of the value that counts as a gain
CLOSE = 1e-5  # gap, as a share of the bound, that is close enough


@dataclass(frozen=True)
class _Supply:
    """The columns that may serve, of all kinds, in the order of their losses."""

    kind: IntArray
    added: IntArray
    loss: FloatArray
    tolls: FloatArray  # what the limits' prices take of each, a part of its loss


def refine(
    problem: Problem,
    kind_of: IntArray,
    placement: IntArray,
    relaxed: Relaxation,
    programs: int,
    seed: int = 0,
    until: float = np.inf,
    close: float = CLOSE,
) -> IntArray:
    """Improve a placement as long as it pays.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        placement: new containers, int [nodes, apps].
        relaxed: the relaxation, whose prices and pools are used.
        programs: integer programs solved at most.
        seed: of the choice of nodes.
        until: time by `perf_counter` after which no program begins.
        close: share of the bound that may be left.

    Returns:
        The placement, no worse.
    """
    rng = np.random.default_rng(seed)
    best = placement.copy()
    losses = _losses(problem, kind_of, best, relaxed)
    left = problem.limit_most - problem.used(kind_of, best)
    unused = float(relaxed.solution.tolls @ np.maximum(left, 0))
    supply = _supply(problem, relaxed, float(losses.sum()) + unused)
    small = GAINS * abs(relaxed.bound)
    size, idle = min(FIRST, len(best)), 0
    for _ in range(programs):
        if losses.sum() + unused <= close * abs(relaxed.bound) or idle >= PATIENCE or perf_counter() > until:
            break
        weight = losses + losses.mean() / 2 + 1e-300
        chosen = rng.choice(len(best), size=min(size, len(best)), replace=False, p=weight / weight.sum())
        of, held = kind_of[chosen], best[chosen]
        filled, finished = _fill_anew(problem, of, held, relaxed, supply, left)
        gain = 0.0
        if filled is not None:
            after = left + problem.used(of, held) - problem.used(of, filled)
            gain = _worth(problem, of, filled) - _worth(problem, of, held)
            gain -= _penalty(problem, after) - _penalty(problem, left)
        if filled is not None and gain > small:
            best[chosen], idle, left = filled, 0, after
            losses[chosen] = _losses(problem, of, filled, relaxed)
            unused = float(relaxed.solution.tolls @ np.maximum(left, 0))
        else:
            idle += 1
            size = min(size + 2, MOST) if finished else max(size - 2, FEWEST)
    return best


def _worth(problem: Problem, kind_of: IntArray, placement: IntArray) -> float:
    return float(
        sum(problem.worth_of(int(kind), placement[kind_of == kind]).sum() for kind in np.unique(kind_of))
    )


def _penalty(problem: Problem, left: IntArray) -> float:
    """Return what the containers beyond soft limits cost, of which `left` [limits] is what is left."""
    soft = np.isfinite(problem.limit_penalty)
    return float(np.maximum(-left[soft], 0) @ problem.limit_penalty[soft])


def _losses(problem: Problem, kind_of: IntArray, placement: IntArray, relaxed: Relaxation) -> FloatArray:
    """Return the loss of each node, float64 [nodes]."""
    found = np.empty(len(placement))
    for kind in np.unique(kind_of).tolist():
        rows = placement[kind_of == kind]
        reduced = problem.worth_of(kind, rows) - rows @ problem.prices_in(kind, relaxed.solution.duals)
        found[kind_of == kind] = relaxed.solution.kinds[kind] - reduced
    return np.maximum(found, 0.0)


def _tolls(problem: Problem, kind: int, rows: IntArray, relaxed: Relaxation) -> FloatArray:
    """Return what the prices of limits take of nodes of a kind that receive `rows` [n, apps], float64 [n]."""
    extra = problem.prices_in(kind, relaxed.solution.duals) - relaxed.solution.prices
    return np.asarray(rows @ extra)


def _supply(problem: Problem, relaxed: Relaxation, most: float) -> _Supply:
    """Return the pools' columns whose loss is below `most`."""
    kinds, rows, losses, tolls = [], [], [], []
    for kind, pool in enumerate(relaxed.pools):
        price = float(relaxed.solution.kinds[kind])
        columns, reduced = pool.best(problem.prices_in(kind, relaxed.solution.duals), price - most, len(pool))
        kinds.append(np.full(len(reduced), kind, dtype=np.int64))
        rows.append(columns.added.astype(np.int64))
        losses.append(np.maximum(price - reduced, 0.0))
        tolls.append(_tolls(problem, kind, rows[-1], relaxed))
    order = np.argsort(np.concatenate(losses), kind="stable")
    kind_of, added, loss, toll = (np.concatenate(part)[order] for part in (kinds, rows, losses, tolls))
    return _Supply(kind_of, added, loss, toll)


def _fill_anew(
    problem: Problem,
    kind_of: IntArray,
    held: IntArray,
    relaxed: Relaxation,
    supply: _Supply,
    left: IntArray,
) -> tuple[IntArray | None, bool]:
    """Return other columns for some nodes, int [nodes, apps], or None; and whether all was solved.

    A column costs its loss without the tolls of limits, whose rows stand in the program themselves.
    """
    import highspy

    losses = _losses(problem, kind_of, held, relaxed)
    demand = held.sum(axis=0)
    most = float(losses.sum()) + float(relaxed.solution.tolls @ np.maximum(left, 0))
    among = np.searchsorted(supply.loss, most)
    fits = np.flatnonzero((supply.added[:among] <= demand).all(axis=1))
    fits = fits[np.isin(supply.kind[fits], kind_of)]
    finished = len(fits) <= COLUMNS
    fits = fits[:COLUMNS]
    own, first, count = np.unique(
        np.column_stack([kind_of, held]), axis=0, return_index=True, return_counts=True
    )
    toll = [_tolls(problem, int(row[0]), row[None, 1:], relaxed)[0] for row in own]
    kind = np.concatenate([own[:, 0], supply.kind[fits]])
    added = np.concatenate([own[:, 1:], supply.added[fits]])
    cost = np.concatenate([losses[first] - toll, supply.loss[fits] - supply.tolls[fits]])
    nodes = np.bincount(kind_of, minlength=problem.kinds)
    there = problem.used(kind_of, held)
    exact = np.concatenate([demand, nodes]).astype(np.float64)
    right = np.concatenate([exact, left + there]).astype(np.float64)
    soft = np.flatnonzero(np.isfinite(problem.limit_penalty))
    matrix = np.zeros((len(kind) + len(soft), len(right)))
    matrix[: len(kind), : len(demand)] = added
    matrix[np.arange(len(kind)), len(demand) + kind] = 1.0
    for one in np.unique(kind).tolist():
        matrix[: len(kind)][kind == one, len(exact) :] = problem.limit_use(one, added[kind == one])
    matrix[len(kind) + np.arange(len(soft)), len(exact) + soft] = -1.0
    cost = np.concatenate([cost, problem.limit_penalty[soft]]) / max(most, 1e-300)
    beyond = np.maximum(there - (left + there), 0)[soft]
    upper = np.concatenate([np.minimum(nodes[kind], 1e9), np.full(len(soft), np.inf)])
    make: Any = highspy.Highs  # whose constructor has no types
    highs = make()
    highs.silent()
    for option, value in (("threads", 1), ("parallel", "off"), ("mip_max_nodes", BRANCHES)):
        highs.setOptionValue(option, value)
    least = np.where(np.arange(len(right)) < len(exact), right, -np.inf)
    starts, index = np.zeros(len(right), dtype=np.int32), np.zeros(0, dtype=np.int32)
    highs.addRows(len(right), least, right, 0, starts, index, np.zeros(0))
    column, row = np.nonzero(matrix)
    starts = np.searchsorted(column, np.arange(len(matrix))).astype(np.int32)
    highs.addCols(
        len(matrix),
        cost,
        np.zeros(len(matrix)),
        upper,
        len(row),
        starts,
        row.astype(np.int32),
        matrix[column, row],
    )
    every = np.arange(len(kind), dtype=np.int32)
    highs.changeColsIntegrality(len(kind), every, np.full(len(kind), highspy.HighsVarType.kInteger))
    known = highspy.HighsSolution()
    known.col_value = [*count.astype(float).tolist(), *[0.0] * len(fits), *beyond.astype(float).tolist()]
    highs.setSolution(known)
    highs.run()
    finished = finished and highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    found = np.array(highs.getSolution().col_value)
    if len(found) != len(matrix):
        return None, bool(finished)
    values = np.round(found[: len(kind)]).astype(np.int64)
    sums = values @ matrix[: len(kind)]
    hard = np.flatnonzero(np.isinf(problem.limit_penalty)) + len(exact)
    kept = (sums[: len(exact)] == exact).all() and (sums[hard] <= right[hard]).all()
    if (values < 0).any() or not kept:
        return None, bool(finished)
    filled = np.empty_like(held)
    for one in range(problem.kinds):
        rows = np.repeat(added[kind == one], values[kind == one], axis=0)
        filled[kind_of == one] = rows
    return filled, bool(finished)
