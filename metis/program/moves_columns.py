"""Columns of the program of moves: a node of a kind ends up holding a co-location.

Nodes alike in what they hold are one kind. A column (k, s) says that a node of kind k ends up holding s; it
is worth w(s), less what the moves away from the node cost. Of the many columns a few are priced into the
linear program, those that its prices show to be the best of their kind, until none is better.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray

BoolArray = NDArray[np.bool_]
CHUNK = 4_000_000  # columns priced at a time: 32 MB of numbers
KEPT = 80_000_000  # columns whose moves are kept between two pricings, one byte each
NO_LIMIT = 1e30  # what HiGHS takes as infinite
SEVERAL = 3  # columns of one kind that a pricing returns at most


class Priced(NamedTuple):
    """The result of a pricing.

    Attributes:
        best: the largest reduced worth of every kind, float64 [kinds].
        row: kind of each column found, int [n].
        reached: its co-location, as a position among the reachable ones, int [n].
        cost: how much worse it is than the price of its kind, float64 [n].
    """

    best: FloatArray
    row: IntArray
    reached: IntArray
    cost: FloatArray


@dataclass(frozen=True)
class Kinds:
    """The kinds of nodes, and the co-locations that they may end up with.

    Attributes:
        held: what a node of each kind holds, int [kinds, apps].
        nodes: nodes of each kind, int [kinds].
        kind_of: kind of every node, int [nodes].
        ids: of the co-locations that some kind may reach, int [reachable].
        counts: their containers, int [reachable, apps].
        admitted: whether every kind may reach it, bool [reachable]; one that is not is reached only by nodes
            that hold it already, and may keep what the rules forbid.
        own: position of what each kind holds among the reachable ones, int [kinds].
        fixed: applications whose containers may not move, bool [apps].
    """

    held: IntArray
    nodes: IntArray
    kind_of: IntArray
    ids: IntArray
    counts: IntArray
    admitted: BoolArray
    own: IntArray
    fixed: BoolArray

    @classmethod
    def of(cls, cluster: Cluster, demand: IntArray, fixed: BoolArray) -> "Kinds":
        """The kinds of a cluster whose nodes end up holding `demand` containers, int [apps]."""
        space = cluster.space
        held, kind_of, nodes = np.unique(cluster.existing, axis=0, return_inverse=True, return_counts=True)
        own = space.index(held)
        within = cluster.allowed & (space.counts <= demand).all(axis=1)
        wanted = within.copy()
        wanted[own] = True
        ids = np.flatnonzero(wanted)
        return cls(
            held=held,
            nodes=nodes,
            kind_of=kind_of.ravel(),
            ids=ids,
            counts=space.counts[ids],
            admitted=within[ids],
            own=np.searchsorted(ids, own),
            fixed=fixed,
        )

    def moved(self, rows: IntArray, reached: IntArray) -> IntArray:
        """Containers that leave a node on each column, int [n, apps]."""
        return np.asarray(np.maximum(self.held[rows] - self.counts[reached], 0))


class Pricing:
    """The best columns of every kind under given prices, by looking at all of them.

    Args:
        kinds: of nodes, with what they may reach.
        worth: of the reachable co-locations, float64 [reachable].
        cost: of one move by application, float64 [apps].
    """

    def __init__(self, kinds: Kinds, worth: FloatArray, cost: FloatArray) -> None:
        self._kinds, self._worth, self._cost = kinds, worth, cost
        rows, size = len(kinds.held), len(kinds.ids)
        self._step = max(1, CHUNK // size)
        self.alike = bool((cost == cost[0]).all())
        keep = rows * size <= KEPT and self.alike
        self._kept = [self._moved(part) for part in self._parts()] if keep else None

    @property
    def count(self) -> int:
        """The number of all columns, barred ones included."""
        return len(self._kinds.held) * len(self._kinds.ids)

    def _parts(self) -> Iterator[slice]:
        for first in range(0, len(self._kinds.held), self._step):
            yield slice(first, first + self._step)

    def _moved(self, part: slice) -> NDArray[Any]:
        """Containers that leave a node of each kind on each column, [kinds of the part, reachable]."""
        kinds = self._kinds
        small = np.int8 if kinds.held.sum(axis=1).max(initial=0) < 128 else np.int16
        total = np.zeros((len(kinds.held[part]), len(kinds.ids)), dtype=small)
        for a in range(kinds.held.shape[1]):
            levels, level = np.unique(kinds.held[part, a], return_inverse=True)
            leave: NDArray[Any] = np.maximum(levels[:, None] - kinds.counts[:, a], 0).astype(small)
            total += leave[level.ravel()]
        return total

    def _charge(self, number: int, part: slice, price: float) -> FloatArray:
        """What the moves of each column cost at a price, [kinds of the part, reachable]."""
        if self.alike:
            moved = self._kept[number] if self._kept is not None else self._moved(part)
            return np.asarray(moved * (price + self._cost[0]))
        kinds, each = self._kinds, price + self._cost
        total = np.zeros((len(kinds.held[part]), len(kinds.ids)))
        for a in range(kinds.held.shape[1]):
            levels, level = np.unique(kinds.held[part, a], return_inverse=True)
            total += (np.maximum(levels[:, None] - kinds.counts[:, a], 0) * each[a])[level.ravel()]
        return total

    def _barred(self, part: slice) -> BoolArray | None:
        """Which columns move what may not move, [kinds of the part, reachable]; None where all may."""
        kinds = self._kinds
        if not kinds.fixed.any():
            return None
        barred = np.zeros((len(kinds.held[part]), len(kinds.ids)), dtype=bool)
        for a in np.flatnonzero(kinds.fixed):
            barred |= kinds.counts[:, a] < kinds.held[part, a][:, None]
        return barred

    def reduced(self, container: FloatArray, price: float) -> Iterator[tuple[slice, FloatArray]]:
        """Yield the reduced worth of all columns: the kinds of a part, and float64 [those, reachable].

        Args:
            container: price of placing a container, float64 [apps].
            price: of a move, 0 or more.
        """
        kinds = self._kinds
        base = self._worth - kinds.counts @ container
        base = np.where(kinds.admitted, base, -np.inf)
        for number, part in enumerate(self._parts()):
            value = base - self._charge(number, part, price)
            barred = self._barred(part)
            if barred is not None:
                value[barred] = -np.inf
            own = kinds.own[part]
            value[np.arange(len(own)), own] = self._worth[own] - kinds.counts[own] @ container
            yield part, value

    def best(self, container: FloatArray, price: float) -> FloatArray:
        """The largest reduced worth of every kind, float64 [kinds]."""
        return np.concatenate([value.max(axis=1) for _, value in self.reduced(container, price)])

    def better(self, container: FloatArray, price: float, node: FloatArray) -> Priced:
        """A few columns of every kind that are better than its price `node`, float64 [kinds]."""
        parts = []
        for part, value in self.reduced(container, price):
            several = min(SEVERAL, value.shape[1])
            top = np.argpartition(value, value.shape[1] - several, axis=1)[:, -several:]
            values = np.take_along_axis(value, top, axis=1)
            where, which = np.nonzero(values > node[part, None])
            parts.append(
                _found(part, value.max(axis=1), where, top[where, which], values[where, which], node)
            )
        return _joined(parts)

    def within(self, container: FloatArray, price: float, node: FloatArray, margin: float) -> Priced:
        """The columns worse than the price of their kind by `margin` at most."""
        parts = []
        for part, value in self.reduced(container, price):
            where, which = np.nonzero(value >= (node[part] - margin)[:, None])
            parts.append(_found(part, value.max(axis=1), where, which, value[where, which], node))
        return _joined(parts)


def _found(
    part: slice, best: FloatArray, where: IntArray, which: IntArray, values: FloatArray, node: FloatArray
) -> Priced:
    return Priced(best, where + part.start, which, node[part][where] - values)


def _joined(parts: list[Priced]) -> Priced:
    return Priced(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


class Columns:
    """The columns priced in so far, without repetition.

    Attributes:
        rows: kind of each, int [n].
        reached: position of its co-location among the reachable ones, int [n].
    """

    def __init__(self, kinds: Kinds) -> None:
        self._size = len(kinds.ids)
        self.rows: IntArray = np.zeros(0, dtype=np.int64)
        self.reached: IntArray = np.zeros(0, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, rows: IntArray, reached: IntArray) -> slice:
        """Add those that are new; return which they became."""
        keys = np.unique(rows * self._size + reached)
        fresh = keys[~np.isin(keys, self.rows * self._size + self.reached)]
        before = len(self)
        self.rows = np.concatenate([self.rows, fresh // self._size])
        self.reached = np.concatenate([self.reached, fresh % self._size])
        return slice(before, len(self))


def highs(integer: bool = False) -> Any:
    """A silent HiGHS on one core; without presolve, which costs more than it saves, unless `integer`."""
    import highspy  # hundredths of a second that other commands need not pay

    model: Any = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 0)):
        model.setOptionValue(name, value)
    if not integer:
        model.setOptionValue("presolve", "off")
    return model


def add_program(model: Any, rows: tuple[Any, FloatArray, FloatArray], cost: FloatArray) -> None:
    """Give HiGHS a program: minimise cost @ x, x >= 0, where matrix @ x lies within bounds.

    Args:
        model: without rows and columns.
        rows: matrix (sparse, by columns), lower and upper bounds.
        cost: of every column.
    """
    matrix, lower, upper = rows
    none: IntArray = np.zeros(0, dtype=np.int32)
    model.addRows(len(lower), lower, upper, 0, none, none, np.zeros(0))
    add_columns(model, matrix, cost)


def add_columns(model: Any, matrix: Any, cost: FloatArray) -> None:
    """Add columns, 0 or more each: a sparse matrix by columns, float64 [rows, n], and their costs [n]."""
    count = len(cost)
    model.addCols(
        count,
        cost,
        np.zeros(count),
        np.full(count, NO_LIMIT),
        matrix.nnz,
        matrix.indptr[:-1].astype(np.int32),
        matrix.indices.astype(np.int32),
        matrix.data.astype(np.float64),
    )
