"""Families of kinds: nodes that may end up with the same columns, and differ in what they had.

A column (k, s) says that a node of kind k ends up with s. It is worth w(s), which all kinds of a type share,
less what the moves away from the node cost, which is its own. So the worth of a column is asked for once, and
every kind of the family has its price for it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.growth import growing_worth, room_for_one_more, worth_of_one_more
from metis.program.master import Solution
from metis.program.pool import Columns, Pool
from metis.program.pricing import search

CHUNK = 4_000_000  # columns priced at a time: 32 MB of numbers
KEPT = 80_000_000  # columns whose moves are kept between two pricings, one byte each
SEVERAL = 3  # columns of one kind that a pricing returns at most
SEEDS = 2  # columns of a kind around which a search looks
JOINING = 4  # columns of a kind that a search adds to the pool at once


class Found(NamedTuple):
    """Columns that a pricing found.

    Attributes:
        kind: of each, int [n].
        at: its position in the pool, int [n].
        reduced: its worth less its prices and the cost of its moves, float64 [n].
    """

    kind: IntArray
    at: IntArray
    reduced: FloatArray


class Family:
    """Kinds that share a pool.

    Args:
        problem: whose kinds they are, with `origin`.
        pool: of what they may end up with, beside what stays.
        kinds: their numbers, int [kinds].
        whole: whether the pool holds every column.
    """

    def __init__(self, problem: Problem, pool: Pool, kinds: IntArray, whole: bool) -> None:
        assert problem.origin is not None
        self.pool, self.kinds, self.whole = pool, kinds, whole
        self._problem, self._origin = problem, problem.origin[kinds]
        self._cost = np.zeros(len(problem.apps)) if problem.move_cost is None else problem.move_cost
        self._alike = bool((self._cost == self._cost[0]).all())
        self._zones, self._zone_of = np.unique(problem.zones[kinds], return_inverse=True)
        self._first = [int(kinds[self._zone_of.ravel() == z][0]) for z in range(len(self._zones))]
        self._columns: NDArray[np.int8] = np.zeros((len(problem.apps), 0), dtype=np.int8)
        self._kept: NDArray[np.int8] = np.zeros((len(kinds), 0), dtype=np.int8)

    def reduced(self, solution: Solution) -> Iterator[tuple[slice, FloatArray]]:
        """Yield the reduced worth of all columns: the kinds of a part, and float64 [those, columns].

        Args:
            solution: whose prices count, the last of its tolls for a move.
        """
        self._update()
        duals, price = solution.duals, float(solution.tolls[-1])
        base = np.stack([self._base(self._problem.prices_in(kind, duals)) for kind in self._first])
        step = max(1, CHUNK // base.shape[1])
        for first in range(0, len(self.kinds), step):
            part = slice(first, min(first + step, len(self.kinds)))
            yield part, base[self._zone_of.ravel()[part]] - self._charge(part, price)

    def best(self, solution: Solution) -> FloatArray:
        """Return the highest reduced worth of every kind, float64 [kinds]."""
        return np.concatenate([value.max(axis=1) for _, value in self.reduced(solution)])

    def better(self, solution: Solution, least: FloatArray) -> tuple[Found, FloatArray]:
        """Return a few columns of every kind above `least` [kinds]; and the highest of every kind."""
        found, best = [], []
        for part, value in self.reduced(solution):
            several = min(SEVERAL, value.shape[1])
            top = np.argpartition(value, value.shape[1] - several, axis=1)[:, -several:]
            values = np.take_along_axis(value, top, axis=1)
            row, which = np.nonzero(values > least[part, None])
            found.append(Found(self.kinds[part][row], top[row, which], values[row, which]))
            best.append(values.max(axis=1))
        joined = _joined(found)
        if self.whole:
            return joined, np.concatenate(best)
        exact = self._exact(joined, solution)
        better = exact > least[np.searchsorted(self.kinds, joined.kind)]
        return Found(joined.kind[better], joined.at[better], exact[better]), np.concatenate(best)

    def _exact(self, found: Found, solution: Solution) -> FloatArray:
        """Return the reduced worth of columns in double precision, float64 [n]."""
        columns, problem, duals = self.pool.columns, self._problem, solution.duals
        added = columns.added[found.at].astype(np.int64)
        zone = np.searchsorted(self._zones, problem.zones[found.kind])
        price = np.stack([problem.prices_in(kind, duals) for kind in self._first])[zone]
        moves = problem.cost_of_moves(found.kind, added, float(solution.tolls[-1]))
        return np.asarray(columns.worth[found.at] - (added * price).sum(axis=1) - moves)

    def within(self, solution: Solution, least: FloatArray, most: int) -> Found:
        """Return the columns of every kind that reach `least` [kinds], `most` of a kind at most."""
        found = []
        for part, value in self.reduced(solution):
            if value.shape[1] > most:
                top = np.argpartition(value, value.shape[1] - most, axis=1)[:, -most:]
            else:
                top = np.tile(np.arange(value.shape[1]), (len(value), 1))
            values = np.take_along_axis(value, top, axis=1)
            row, which = np.nonzero(values >= least[part, None])
            found.append(Found(self.kinds[part][row], top[row, which], values[row, which]))
        return _joined(found)

    def look_around(self, solution: Solution) -> None:
        """Search near the best columns of every kind: without one container, then with the best others.

        What is evaluated joins the pool.
        """
        seeds = self.within(solution, np.full(len(self.kinds), -np.inf), SEEDS)
        added = self.pool.columns.added[seeds.at].astype(np.int64)
        row, app = np.nonzero(added)
        less = added[row]
        less[np.arange(len(less)), app] -= 1
        of = np.concatenate([seeds.kind[row], seeds.kind])
        rows = np.concatenate([less, added])  # those with room may take one more as they are
        _, first = np.unique(np.column_stack([of, rows @ self.pool.keys]), axis=0, return_index=True)
        self._grow(rows[first], of[first], solution, JOINING)

    def search_type(self, solution: Solution, width: int) -> None:
        """Search what pays for a node whatever it had, where moves cost nothing: those of many moves."""
        for kind in self._first:
            search(self.pool, self._problem.prices_in(kind, solution.duals), -np.inf, width)

    def search(self, solution: Solution, width: int) -> None:
        """Search every kind in breadth, from nothing on, `width` columns of equally many containers each."""
        rows = np.zeros((len(self.kinds), len(self._problem.apps)), dtype=np.int64)
        of = self.kinds
        while len(rows):
            rows, of = self._grow(rows, of, solution, width)

    def _grow(
        self, rows: IntArray, of: IntArray, solution: Solution, width: int
    ) -> tuple[IntArray, IntArray]:
        """Add one container to `rows` [n, apps] of kinds `of` [n]; return the `width` best of each kind."""
        value = self._after_one_more(rows, of, solution)
        several = min(width, value.shape[1])
        top = np.argpartition(-value, several - 1, axis=1)[:, :several]
        best = np.take_along_axis(value, top, axis=1).ravel()
        parent, app = np.repeat(np.arange(len(rows)), several), top.ravel()
        there = np.flatnonzero(best > -np.inf)
        after = rows[parent[there]]
        after[np.arange(len(after)), app[there]] += 1
        kind, best = of[parent[there]], best[there]
        hashes = after @ self.pool.keys
        order = np.lexsort((hashes, -best, kind))
        again = np.zeros(len(order), dtype=bool)  # the same column of the same kind, by another way
        again[1:] = (kind[order[1:]] == kind[order[:-1]]) & (hashes[order[1:]] == hashes[order[:-1]])
        order = order[~again]
        starts = np.searchsorted(kind[order], kind[order])
        chosen = order[np.arange(len(order)) - starts < width]
        self.pool.look_up(after[chosen])
        return after[chosen], kind[chosen]

    def _after_one_more(self, rows: IntArray, of: IntArray, solution: Solution) -> FloatArray:
        """Return the reduced worth of `rows` with one more of each, -inf where it does not fit, [n, apps]."""
        problem, pool = self._problem, self.pool
        assert problem.origin is not None
        fits = room_for_one_more(problem, pool.kind, rows)
        zone = np.searchsorted(self._zones, problem.zones[of])
        price = np.stack([problem.prices_in(kind, solution.duals) for kind in self._first])[zone]
        each, had = self._cost + float(solution.tolls[-1]), problem.origin[of]
        paid = (rows * price).sum(axis=1) + np.maximum(had - rows, 0) @ each
        following = price - np.where(rows < had, each, 0.0)
        return np.where(fits, self._worth_of_one_more(rows, fits) - paid[:, None] - following, -np.inf)

    def _worth_of_one_more(self, rows: IntArray, fits: NDArray[np.bool_]) -> FloatArray:
        if growing_worth(self._problem, self.pool.kind) is not None:
            return worth_of_one_more(self._problem, self.pool.kind, rows)
        row, app = np.nonzero(fits)
        after = rows[row]
        after[np.arange(len(after)), app] += 1
        found = np.zeros(fits.shape)
        found[row, app] = self.pool.look_up(after)
        return found

    def _base(self, prices: FloatArray) -> FloatArray:
        """Worth less the price of the containers of every column; in single precision of what may grow."""
        if not self.whole:
            return self.pool.reduced(prices)
        columns = self.pool.columns
        return np.asarray(columns.worth - prices @ self._columns)

    def _update(self) -> None:
        """Take over the columns that joined the pool."""
        before = self._columns.shape[1]
        fresh = self.pool.columns.added[before:].T.astype(np.int8)
        if not fresh.shape[1]:
            return
        self._columns = np.concatenate([self._columns, fresh], axis=1)
        if self._alike and len(self.kinds) * self._columns.shape[1] <= KEPT:
            more = np.zeros((len(self.kinds), fresh.shape[1]), dtype=np.int8)
            self._count_kept(more, slice(0, len(self.kinds)), fresh, np.ones(len(self._cost), dtype=np.int8))
            self._kept = np.concatenate([self._kept, more], axis=1)

    def _count_kept(
        self, into: NDArray[Any], part: slice, columns: NDArray[np.int8], each: NDArray[Any]
    ) -> None:
        """Add up what the containers count that stay on nodes of some kinds, [kinds of the part, columns]."""
        for i, had in enumerate(self._origin[part]):
            for a in np.flatnonzero(had):
                into[i] += np.minimum(columns[a], np.int8(had[a])) * each[a]

    def _charge(self, part: slice, price: float) -> FloatArray:
        """What the moves of each column cost, float64 [kinds of the part, columns]."""
        each, had = self._cost + price, self._origin[part]
        if self._kept.shape[1] == self._columns.shape[1]:
            return np.asarray((had.sum(axis=1)[:, None] - self._kept[part]) * each[0])
        kept = np.zeros((len(had), self._columns.shape[1]))
        self._count_kept(kept, part, self._columns, each)
        return np.asarray((had @ each)[:, None] - kept)


def _joined(parts: list[Found]) -> Found:
    return Found(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def families_of(problem: Problem, pools: list[Pool], whole: dict[int, bool]) -> list[Family]:
    """Return the families of a problem's kinds, given the pool of each; `whole` by the pool's id."""
    of = np.array([id(pool) for pool in pools])
    return [
        Family(problem, pool, np.flatnonzero(of == id(pool)), whole[id(pool)])
        for pool in {id(pool): pool for pool in pools}.values()
    ]


def as_columns(problem: Problem, family: Family, found: Found) -> Columns:
    """Return what was found as columns, whose worth is less the cost of their moves."""
    columns = family.pool.columns
    added = columns.added[found.at]
    cost = problem.cost_of_moves(found.kind, added.astype(np.int64))
    return Columns(added, columns.worth[found.at] - cost)
