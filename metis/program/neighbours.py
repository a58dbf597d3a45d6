"""Neighbours: columns around those in use, and around each application, which cost little to price.

A master of hundreds of applications needs thousands of columns, of which a search by breadth meets few at a
time. Columns that are in use, with one container exchanged for another, are most of what it still lacks.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.program.growth import room_for_one_more, worth_of_one_more
from metis.program.pool import Pool

MANY = 64  # applications from which a master is filled with neighbours before searches
AROUND = 1.5  # columns, for each application, around which is searched
PER_ROW = 2  # exchanges of each container that are kept, beside the best that bring each application
ROWS = 512  # that are looked at together


def after_one_more(pool: Pool, prices: FloatArray, rows: IntArray) -> FloatArray:
    """Return the reduced worth of `rows` [n, apps] with one more of each, -inf where it does not fit."""
    problem, kind = pool.problem, pool.kind
    found = worth_of_one_more(problem, kind, rows)
    found -= (rows @ prices)[:, None]
    found -= prices
    found[~room_for_one_more(problem, kind, rows)] = -np.inf
    return found


def one_less(pool: Pool, rows: NDArray[np.integer[Any]]) -> IntArray:
    """Return what is left of `rows` [n, apps] without one container, each once."""
    row, app = np.nonzero(rows)
    less = rows[row].astype(np.int64)
    less[np.arange(len(less)), app] -= 1
    return less[np.unique(less @ pool.keys, return_index=True)[1]]


def with_one_more(pool: Pool, rows: IntArray, at: IntArray) -> IntArray:
    """Return `rows` [n, apps] with one more container each, of the application at `at`, each once."""
    after = rows.copy()
    after[np.arange(len(after)), at] += 1
    return after[np.unique(after @ pool.keys, return_index=True)[1]]


def exchange_around(pool: Pool, prices: FloatArray, least: float) -> None:
    """Exchange a container of the best columns for another; those above `least` join the pool.

    Args:
        pool: of one kind.
        prices: of a container, float64 [apps].
        least: reduced worth that a column must exceed to join.
    """
    apps = len(prices)
    columns = pool.best(prices, -np.inf, int(AROUND * apps))[0].added
    less = one_less(pool, columns)
    by_app, best_of = np.full(apps, least), np.zeros((apps, apps), dtype=np.int64)
    for start in range(0, len(less), ROWS):
        rows = less[start : start + ROWS]
        reduced = after_one_more(pool, prices, rows)
        few = min(PER_ROW, apps)
        partner = np.argpartition(-reduced, few - 1, axis=1)[:, :few].ravel()
        row = np.repeat(np.arange(len(rows)), few)
        better = reduced[row, partner] > least
        pool.look_up(with_one_more(pool, rows[row[better]], partner[better]))
        first = reduced.argmax(axis=0)
        value = reduced[first, np.arange(apps)]
        better = value > by_app
        by_app[better], best_of[better] = value[better], rows[first[better]]
    found = np.flatnonzero(by_app > least)
    pool.look_up(with_one_more(pool, best_of[found], found))


def complete_each(pool: Pool, prices: FloatArray, least: float) -> None:
    """Complete a container of each application by the best partner again and again; see `exchange_around`."""
    rows = np.eye(len(prices), dtype=np.int64)
    rows = rows[room_for_one_more(pool.problem, pool.kind, np.zeros_like(rows[:1]))[0]]
    while len(rows):
        reduced = after_one_more(pool, prices, rows)
        partner = reduced.argmax(axis=1)
        value = reduced[np.arange(len(rows)), partner]
        fits = value > -np.inf
        pool.look_up(with_one_more(pool, rows[value > least], partner[value > least]))
        rows = with_one_more(pool, rows[fits], partner[fits])
