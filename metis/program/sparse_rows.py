"""Rows of counts of which few are not 0, as nodes hold few of many applications."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray


@dataclass(frozen=True)
class SparseRows:
    """Rows of counts, by what is not 0.

    Attributes:
        size: rows.
        apps: applications, the columns.
        row: of each entry, in rising order, int [entries].
        app: of each entry, int [entries].
        count: of each entry, int [entries].
    """

    size: int
    apps: int
    row: IntArray
    app: IntArray
    count: IntArray

    @classmethod
    def of(cls, rows: NDArray[np.integer[Any]]) -> "SparseRows":
        """Return `rows` [n, apps]."""
        row, app = np.nonzero(rows)
        return cls(len(rows), rows.shape[1], row, app, rows[row, app].astype(np.int64))

    def joined(self, other: "SparseRows") -> "SparseRows":
        """Return these rows and others after them."""
        row = np.concatenate([self.row, other.row + self.size])
        app, count = (np.concatenate(pair) for pair in ((self.app, other.app), (self.count, other.count)))
        return SparseRows(self.size + other.size, self.apps, row, app, count)

    def chosen(self, rows: NDArray[np.bool_]) -> "SparseRows":
        """Return some of the rows, bool [size]."""
        kept = rows[self.row]
        place = np.cumsum(rows) - 1
        return SparseRows(int(rows.sum()), self.apps, place[self.row[kept]], self.app[kept], self.count[kept])

    def dense(self, rows: IntArray) -> IntArray:
        """Return the rows of these numbers, int [n, apps]."""
        found = np.zeros((len(rows), self.apps), dtype=np.int64)
        first, last = np.searchsorted(self.row, rows), np.searchsorted(self.row, rows, side="right")
        for at, (start, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            found[at, self.app[start:end]] = self.count[start:end]
        return found

    def times(self, prices: FloatArray) -> FloatArray:
        """Return what each row costs at `prices` [apps], float64 [size]."""
        return np.asarray(np.bincount(self.row, weights=self.count * prices[self.app], minlength=self.size))

    def within(self, most: IntArray, kind: IntArray) -> NDArray[np.bool_]:
        """Return whether each row holds at most so many of each application, bool [size].

        Args:
            most: int [kinds, apps].
            kind: of each row, int [size].
        """
        found = np.ones(self.size, dtype=bool)
        limit = most[kind[self.row], self.app]
        found[self.row[self.count > limit]] = False
        return found
