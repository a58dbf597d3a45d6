"""A pool of priced columns: what one kind of node may receive, and what it is then worth, asked once each."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray, hash_keys
from metis.problem.kinds import Problem
from metis.problem.worth import NotedWorth

MOST = 400_000  # columns kept; beyond, those that the prices favour least are dropped
NUMBERS = 120_000_000  # counts kept at most, of eight bytes each
SPARING = 256  # applications from which only columns that the prices favour are kept at all


class Columns(NamedTuple):
    """Columns of one kind.

    Attributes:
        added: containers that a node receives, int16 [n, apps].
        worth: of the node with them, float64 [n].
    """

    added: NDArray[np.int16]
    worth: FloatArray


@dataclass
class _Shelf:
    """The columns of as many containers, in the order of their hashes."""

    hashes: NDArray[np.int64]
    added: NDArray[np.int16]
    worth: FloatArray
    admitted: NDArray[np.bool_]


class _Rows:
    """Columns in the order in which they came, with room for more."""

    def __init__(self, apps: int, room: int = 1024) -> None:
        self.count = 0
        self.added: NDArray[np.int16] = np.empty((room, apps), dtype=np.int16)
        self.single: NDArray[np.float32] = np.empty((room, apps), dtype=np.float32)  # for quick products
        self.worth: FloatArray = np.empty(room)

    def add(self, added: NDArray[np.int16], worth: FloatArray) -> None:
        """Add columns; where there is no room, room for twice as many is made."""
        end = self.count + len(worth)
        if end > len(self.worth):
            more = _Rows(self.added.shape[1], 2 * end)
            more.add(self.added[: self.count], self.worth[: self.count])
            self.added, self.single, self.worth = more.added, more.single, more.worth
        self.added[self.count : end] = added
        self.single[self.count : end] = added
        self.worth[self.count : end] = worth
        self.count = end


def _noted(problem: Problem, kind: int) -> IntArray:
    """Return the columns that make co-locations which the worth knows of and that fit, int [n, apps]."""
    worth = problem.types[int(problem.type_of[kind])].worth
    if not isinstance(worth, NotedWorth):
        return np.zeros((0, len(problem.apps)), dtype=np.int64)
    added = worth.noted - problem.held[kind]
    fits = ((added >= 0) & (added <= problem.receivable(kind))).all(axis=1)
    return np.asarray(added[fits & (added @ problem.requests <= problem.room(kind)).all(axis=1)])


class Pool:
    """The columns of one kind of node whose worth was asked for; each is asked for once.

    Args:
        problem: whose kind it is.
        kind: its number.
    """

    def __init__(self, problem: Problem, kind: int) -> None:
        self.problem, self.kind = problem, kind
        apps = len(problem.apps)
        self.keys = hash_keys(apps)
        self.sparing = apps >= SPARING
        self.most = min(MOST, NUMBERS // apps)
        self.evaluated = 0
        self._shelves: dict[int, _Shelf] = {}
        self._admitted = _Rows(apps)
        self.look_up(np.zeros((1, apps), dtype=np.int64))
        self.look_up(_noted(problem, kind))

    def __len__(self) -> int:
        return len(self.columns.worth)

    def look_up(self, added: IntArray) -> FloatArray:
        """Return the worth of a node of this kind with `added` [n, apps] more, float64 [n].

        Each is asked for at most once; from then on it is a column of this pool.
        """
        worth = np.empty(len(added))
        totals = added.sum(axis=1)
        for total in np.unique(totals):
            rows = np.flatnonzero(totals == total)
            worth[rows] = self.look_up_level(int(total), added[rows], added[rows] @ self.keys)
        return worth

    def look_up_level(self, total: int, added: IntArray, hashes: NDArray[np.int64]) -> FloatArray:
        """Return the same as `look_up` for rows of `total` containers each, whose hashes are known."""
        shelf = self._shelves.get(total)
        worth = np.empty(len(added))
        new = np.ones(len(added), dtype=bool)
        if shelf is not None:
            at = np.minimum(np.searchsorted(shelf.hashes, hashes), len(shelf.hashes) - 1)
            new = shelf.hashes[at] != hashes
            worth[~new] = shelf.worth[at[~new]]
        if new.any():
            rows, back = np.unique(hashes[new], return_index=True, return_inverse=True)[1:]
            asked = added[new][rows]
            values = self.problem.worth_of(self.kind, asked)
            worth[new] = values[back]
            self._add(total, hashes[new][rows], asked, values)
        return worth

    @property
    def columns(self) -> Columns:
        """The columns that the rules admit."""
        rows = self._admitted
        return Columns(rows.added[: rows.count], rows.worth[: rows.count])

    def reduced(self, prices: FloatArray) -> FloatArray:
        """Return worth less the price of the containers of every column, float64 [n], in single precision."""
        rows = self._admitted
        return np.asarray(rows.worth[: rows.count] - rows.single[: rows.count] @ prices.astype(np.float32))

    def best(self, prices: FloatArray, least: float, most: int) -> tuple[Columns, FloatArray]:
        """Return the columns of highest reduced worth, those above `least` and `most` at most, best first.

        Args:
            prices: of a container, float64 [apps].
            least: reduced worth that a column must exceed.
            most: columns.
        """
        reduced = self.reduced(prices)
        found = np.flatnonzero(reduced > least)
        if len(found) > most:
            found = found[np.argpartition(reduced[found], -most)[-most:]]
        found = found[np.argsort(-reduced[found], kind="stable")]
        chosen = Columns(self.columns.added[found], self.columns.worth[found])
        return chosen, chosen.worth - chosen.added @ prices

    def trim(self, prices: FloatArray) -> None:
        """Forget the columns that prices favour least, where there are more than `most`."""
        if len(self) <= self.most:
            return
        for total, shelf in self._shelves.items():
            reduced = shelf.worth - shelf.added @ prices
            keep = np.zeros(len(reduced), dtype=bool)
            share = max(1, len(reduced) * self.most // (2 * len(self)))
            keep[np.argpartition(reduced, -share)[-share:]] = True
            self._shelves[total] = _Shelf(
                shelf.hashes[keep], shelf.added[keep], shelf.worth[keep], shelf.admitted[keep]
            )
        self._admitted = _Rows(len(prices))
        for shelf in self._shelves.values():
            self._admitted.add(shelf.added[shelf.admitted], shelf.worth[shelf.admitted])

    def _add(self, total: int, hashes: NDArray[np.int64], added: IntArray, worth: FloatArray) -> None:
        self.evaluated += len(added)
        new = _Shelf(hashes, added.astype(np.int16), worth, self.problem.admitted(self.kind, added))
        self._admitted.add(new.added[new.admitted], worth[new.admitted])
        old = self._shelves.get(total)
        if old is not None:
            joined = np.concatenate([old.hashes, new.hashes])
            order = np.argsort(joined, kind="stable")
            new = _Shelf(
                joined[order],
                np.concatenate([old.added, new.added])[order],
                np.concatenate([old.worth, new.worth])[order],
                np.concatenate([old.admitted, new.admitted])[order],
            )
        self._shelves[total] = new
