"""Choices for the next node: all co-locations scored for many states in one matrix product."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metis.learn.value.network import Float32Array
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace

BoolArray = NDArray[np.bool_]

IMPOSSIBLE = np.float32(-1e30)
_CELLS = 1 << 18  # scores held at once: bounds the memory at any number of states, and stays in cache
_BLOCK = 64


class Choices:
    """Co-locations a node may end with, scored by worth less price.

    Attributes:
        ids: of the co-locations, in rising order, [choices].
        counts: of the same, [choices, apps].
        worth: of the same, float32 [choices].
        held: what such a node holds already, [apps]; all `ids` hold it too.
        limits: what a number of nodes can hold.
    """

    def __init__(
        self,
        space: ColocationSpace,
        worth: Float32Array,
        admitted: BoolArray,
        limits: "Limits",
        held: IntArray | None = None,
        threads: int = 1,
    ) -> None:
        """Prepare the tables that scoring needs.

        Args:
            space: the co-locations.
            worth: of each, float32 [size].
            admitted: which a node may end with, bool [size].
            limits: what a number of nodes can hold.
            held: what such a node holds already, [apps]; nothing by default.
            threads: that share the states of `best`; the choices are the same with any number.
        """
        self._threads, self._kept = threads, threading.local()
        self.held = np.zeros(len(space.apps), dtype=np.int64) if held is None else held
        self.ids = np.flatnonzero(admitted)
        self.counts = space.counts[self.ids]
        self.worth = worth[self.ids].astype(np.float32)
        self._slots = space.slots
        self.limits = limits
        # columns that nothing fits fill the last block up
        padding = (0, -len(self.ids) % _BLOCK)
        self._columns = np.pad(np.vstack([self.counts.T, self.worth]), ((0, 0), padding)).astype(np.float32)
        levels = np.arange(space.slots + 1)[:, None]
        self._at_most = [np.pad(column <= levels, ((0, 0), padding)) for column in self.counts.T]
        loads = self.counts @ limits.directions.T
        self._lowest = loads.min(axis=0)
        self._at_least = [
            np.pad(column >= np.arange(low, most + 2)[:, None], ((0, 0), padding))
            for column, low, most in zip(loads.T, self._lowest, limits.most, strict=True)
        ]

    def fitting(self, most: IntArray, rest: IntArray, nodes: IntArray, take: int) -> BoolArray:
        """Return which co-locations fit `take` nodes so that what remains can still be placed, [n, choices].

        Args:
            most: of each application that a node may end with, [n, apps].
            rest: counts to be held by the nodes still to fill, [n, apps].
            nodes: nodes still to fill, at least `take`, [n].
            take: nodes that get the co-location.
        """
        levels = np.clip(most, 0, self._slots)
        fit = self._at_most[0][levels[:, 0]]
        for a in range(1, levels.shape[1]):
            fit &= self._at_most[a][levels[:, a]]
        over = rest @ self.limits.directions.T - (nodes - take)[:, None] * self.limits.most
        needed = -(-over // take) - self._lowest
        for table, need in zip(self._at_least, needed.T, strict=True):
            fit &= table[np.clip(need, 0, len(table) - 1)]
        return fit

    def best(
        self,
        prices: Float32Array,
        vacancy: Float32Array,
        fits: tuple[IntArray, IntArray, IntArray, int],
        keep: int,
    ) -> tuple[IntArray, BoolArray]:
        """Return the `keep` choices of highest worth less price per state, and which fit, both [n, keep].

        Args:
            prices: per application, float32 [n, apps].
            vacancy: added to the worth of the empty co-location, float32 [n].
            fits: the arguments of `fitting`.
            keep: how many; all if there are fewer.
        """
        keep = min(keep, len(self.ids))
        n, width = len(prices), self._columns.shape[1]
        picks = np.empty((n, keep), dtype=np.int64)
        valid = np.empty((n, keep), dtype=bool)
        rows = max(1, _CELLS // width)
        most, rest, nodes, take = fits

        def choose(start: int) -> None:
            part = slice(start, start + rows)
            scores = self._scores(prices[part], vacancy[part])
            fit = self.fitting(most[part], rest[part], nodes[part], take)
            # a minimum with +-1e30 masks ten times faster than a masked copy
            limit = fit.astype(np.float32)
            limit *= -2 * IMPOSSIBLE
            limit += IMPOSSIBLE
            np.minimum(scores, limit, out=scores)
            top = _highest(scores, keep)
            picks[part] = top
            valid[part] = np.take_along_axis(scores, top, axis=1) > IMPOSSIBLE

        list((self._pool.map if self._threads > 1 else map)(choose, range(0, n, rows)))
        return picks, valid

    def _scores(self, prices: Float32Array, vacancy: Float32Array) -> Float32Array:
        n = len(prices)
        width = self._columns.shape[1]
        scores = self._buffer()[: n * width].reshape(n, width)
        signed = np.concatenate([-prices, np.ones((n, 1), dtype=np.float32)], axis=1)
        np.matmul(signed, self._columns, out=scores)
        if self.ids[0] == 0:
            scores[:, 0] += vacancy
        return scores

    def _buffer(self) -> Float32Array:
        """Return this thread's room for scores, kept: fresh pages cost more than the product itself."""
        if not hasattr(self._kept, "scores"):
            self._kept.scores = np.empty(max(_CELLS, self._columns.shape[1]), dtype=np.float32)
        room: Float32Array = self._kept.scores
        return room

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="choices")


def _highest(scores: Float32Array, keep: int) -> IntArray:
    """Return the columns of the `keep` highest scores of each row, [n, keep], in no order.

    They lie in the `keep` blocks of highest maximum, so only those are searched.
    """
    n, width = scores.shape
    if keep == 1:
        return np.asarray(scores.argmax(axis=1)[:, None])
    blocks = scores.reshape(n, width // _BLOCK, _BLOCK)
    if keep < blocks.shape[1]:
        tops = blocks.max(axis=2)
        chosen = np.argpartition(tops, tops.shape[1] - keep, axis=1)[:, -keep:]
        scores = blocks[np.arange(n)[:, None], chosen].reshape(n, -1)
    top = np.argpartition(scores, scores.shape[1] - keep, axis=1)[:, -keep:]
    if keep < blocks.shape[1]:
        block = np.take_along_axis(chosen, top // _BLOCK, axis=1)
        top = block * _BLOCK + top % _BLOCK
    return np.asarray(top)


def usable_cores() -> int:
    """Return how many cores this process may use; a container or `taskset` may leave fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Limits:
    """Directions in which the admitted co-locations bound what a number of nodes can hold.

    Attributes:
        directions: weights per application, int [limits, apps].
        most: the most of each that one node can hold, int [limits].
    """

    def __init__(self, space: ColocationSpace, admitted: BoolArray) -> None:
        counts = space.counts[admitted | (np.arange(space.size) == 0)]
        apps = len(space.apps)
        directions = [np.ones(apps, dtype=np.int64)]
        most = [int(counts.sum(axis=1).max())]
        if not admitted.all():
            for direction in _candidates(space, admitted):
                bound = int((counts @ direction).max())
                # a limit that a wider one implies would only cost time
                implied = any(
                    (direction <= d).all() and m <= bound for d, m in zip(directions, most, strict=True)
                )
                if not implied:
                    directions.append(direction)
                    most.append(bound)
        self.directions = np.array(directions)
        self.most = np.array(most)

    def unplaceable(self, rest: IntArray, nodes: int) -> int | None:
        """Return an application of which there is more than `nodes` nodes can hold, or None."""
        over = self.directions @ rest > self.most * nodes
        if not over.any():
            return None
        direction = self.directions[np.flatnonzero(over)[-1]]
        return int(np.argmax(np.where(direction > 0, rest, -1)))


def _candidates(space: ColocationSpace, admitted: BoolArray) -> list[IntArray]:
    apps = len(space.apps)
    unit = np.eye(apps, dtype=np.int64)
    if apps <= 8:
        subsets = (np.arange(1, 2**apps)[:, None] >> np.arange(apps)) & 1
        found = list(subsets[np.argsort(-subsets.sum(axis=1), kind="stable")])
    else:
        found = [unit[a] + unit[b] for a in range(apps) for b in range(a)] + list(unit)
    for a in range(apps):
        if admitted[space.plus[0, a]] or space.slots < 2:
            continue
        hosts = [b for b in range(apps) if b != a and admitted[space.index(unit[a] + unit[b])]]
        beside = np.zeros(apps, dtype=np.int64)
        beside[hosts] = 1
        found.append(unit[a] - (space.slots - 1) * beside)
    return found
