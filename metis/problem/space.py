"""The space of co-locations: every way to share one node, numbered, with its neighbours."""

from functools import cached_property, lru_cache
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from metis.errors import InputError
from metis.inputs.names import check_names
from metis.problem.counts import IntArray

MAX_COLOCATIONS = 2_000_000
MOST_IDS = 2**62  # numbers that an id may take


class ColocationSpace:
    """All co-locations of `apps` applications on a node of `slots` slots, in a fixed order.

    A co-location is a vector of counts per application whose sum is at most `slots`. Ids run in
    lexicographic order of the counts, so the empty co-location is 0.

    Attributes:
        apps: names of the applications, one per column.
        slots: containers that fit on a node.
        size: number of co-locations, C(apps + slots, slots).

    A space of more than `MAX_COLOCATIONS` co-locations is not written out: asking for its counts or
    neighbours raises `InputError`. `index` and `rows` go between ids and counts in any space of less than
    `MOST_IDS`.

    Raises:
        InputError: no application, a name twice or one that tools cannot bear, or no slot.
    """

    def __init__(self, apps: tuple[str, ...], slots: int) -> None:
        if not apps or len(set(apps)) != len(apps):
            raise InputError(f"applications {list(apps)}: give at least one, each name once")
        check_names(apps, "application")
        if slots < 1:
            raise InputError(f"slots {slots}: a node needs at least 1 slot")
        self.apps = tuple(apps)
        self.slots = int(slots)
        self.size = comb(len(apps) + slots, slots)

    @property
    def tabulated(self) -> bool:
        """Whether the space is small enough to be written out; what needs that raises `InputError`."""
        return self.size <= MAX_COLOCATIONS

    def require_tables(self) -> None:
        """Refuse a space too large to tabulate.

        Raises:
            InputError: names its size, and what would be small enough.
        """
        if not self.tabulated:
            raise InputError(
                f"{len(self.apps)} applications and {self.slots} slots make {self.size:,} co-locations: "
                f"at most {MAX_COLOCATIONS:,} can be tabulated, so use fewer of either"
            )

    @cached_property
    def _rank(self) -> IntArray:
        if self.size > MOST_IDS:
            raise InputError(
                f"{len(self.apps)} applications and {self.slots} slots make {self.size:,} co-locations: more "
                "than can be numbered, so use fewer of either"
            )
        return _rank_table(len(self.apps), self.slots)

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ColocationSpace) and (self.apps, self.slots) == (other.apps, other.slots)

    def __hash__(self) -> int:
        return hash((self.apps, self.slots))

    def __repr__(self) -> str:
        return f"ColocationSpace(apps={self.apps}, slots={self.slots}, size={self.size})"

    @cached_property
    def counts(self) -> IntArray:
        """Counts per application of every co-location, [size, apps]."""
        self.require_tables()
        rows = np.zeros((1, 0), dtype=np.int64)
        for _ in self.apps:
            free = self.slots - rows.sum(axis=1)
            repeats = free + 1
            starts = np.cumsum(repeats) - repeats
            new = np.arange(int(repeats.sum())) - np.repeat(starts, repeats)
            rows = np.column_stack([np.repeat(rows, repeats, axis=0), new])
        rows.setflags(write=False)
        return rows

    @cached_property
    def totals(self) -> IntArray:
        """Containers in every co-location, [size]."""
        return np.asarray(self.counts.sum(axis=1))

    def index(self, counts: ArrayLike) -> IntArray:
        """Ids of co-locations, [...] for counts [..., apps]; by lookup, in O(apps).

        Raises:
            InputError: a count is negative or fractional, or a row holds more than `slots` containers.
        """
        rows = np.asarray(counts)
        if rows.shape[-1:] != (len(self.apps),):
            raise InputError(f"shape {rows.shape}: the last axis must have {len(self.apps)} applications")
        if rows.dtype.kind not in "iu" and (rows != np.floor(rows)).any():
            raise InputError("a co-location holds whole numbers of containers, not fractions")
        rows = rows.astype(np.int64, copy=False)
        used = np.cumsum(rows, axis=-1)
        if rows.size and (rows.min() < 0 or used[..., -1].max() > self.slots):
            raise InputError(f"a co-location holds 0 to {self.slots} containers, none of them negative")
        free = self.slots - used + rows
        columns = np.arange(len(self.apps))
        return np.asarray(self._rank[columns, free, rows].sum(axis=-1))

    def rows(self, ids: ArrayLike) -> IntArray:
        """Counts of the co-locations with these ids, int [..., apps] for ids [...]; also where untabulated.

        Raises:
            InputError: an id below 0 or beyond the space.
        """
        left = np.asarray(ids, dtype=np.int64)
        if left.size and (left.min() < 0 or left.max() >= self.size):
            raise InputError(f"ids {left.min()} to {left.max()}: this space numbers 0 to {self.size - 1:,}")
        counts = np.zeros((*left.shape, len(self.apps)), dtype=np.int64)
        free = np.full(left.shape, self.slots)
        possible = np.arange(self.slots + 1)
        for a, before in enumerate(self._rank):
            within = (before[free] <= left[..., None]) & (possible <= free[..., None])
            counts[..., a] = within.sum(axis=-1) - 1
            left = left - before[free, counts[..., a]]
            free = free - counts[..., a]
        return counts

    @cached_property
    def plus(self) -> IntArray:
        """Id after one more container, [size, apps]; -1 where the node is full."""
        return self._neighbours(+1)

    @cached_property
    def minus(self) -> IntArray:
        """Id after one container fewer, [size, apps]; -1 where there is none."""
        return self._neighbours(-1)

    def _neighbours(self, step: int) -> IntArray:
        self.require_tables()
        table = np.full((self.size, len(self.apps)), -1, dtype=np.int64)
        for a in range(len(self.apps)):
            possible = self.totals < self.slots if step > 0 else self.counts[:, a] > 0
            moved = self.counts[possible]
            moved[:, a] += step
            table[possible, a] = self.index(moved)
        table.setflags(write=False)
        return table


@lru_cache(maxsize=32)
def _rank_table(apps: int, slots: int) -> IntArray:
    """Co-locations that come before count c in column a with `free` slots left, [apps, free, c]."""
    table = np.zeros((apps, slots + 1, slots + 1), dtype=np.int64)
    for a in range(apps):
        rest = apps - a - 1
        for free in range(slots + 1):
            completions = [comb(free - c + rest, rest) for c in range(free)]
            table[a, free, 1 : free + 1] = np.cumsum(completions) if completions else []
    return table
