"""Local search: the best move or swap between two nodes, until none helps."""

from collections.abc import Mapping
from functools import partial
from heapq import heappop, heappush
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from baselines.contract import (
    ImproveFunction,
    Improver,
    Materials,
    Progress,
    WideImproveFunction,
    WideMaterials,
)
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of
from metis.problem.space import ColocationSpace
from metis.problem.worth import Worth
from metis.settings import settings

REPORT_EVERY = 500  # steps
ALIKE_AT_ONCE = 16  # of so many pairs of nodes alike, one makes a step before the next best is looked for


@settings("local_search")
class LocalSearchSettings:
    """When local search stops.

    Attributes:
        max_steps: moves and swaps at most.
        tolerance: a step must gain more than this share of the value, so that rounding never loops.
    """

    max_steps: Annotated[int, Ge(0)] = 100_000
    tolerance: Annotated[float, Ge(0)] = 1e-12


def improve(
    placement: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: LocalSearchSettings | None = None,
    progress: Progress | None = None,
) -> tuple[IntArray, Mapping[str, Any]]:
    """Improve `placement` [nodes, apps] of new containers by best-improvement steps.

    A move is a swap with an idle slot: idle is one more application, so that one table holds both.
    Nodes that hold the same are one kind with a count, so a step costs O(kinds x applications^2) at any
    number of nodes; where many nodes are alike, several pairs of them make the same step at once.

    Args:
        placement: where to begin; stays as it is.
        cluster: the nodes, and what they hold already.
        worth: of every co-location, [space.size].
        settings: when to stop.
        progress: called now and then with the `value` reached.

    Returns:
        The placement, and `steps` made.
    """
    settings = settings or LocalSearchSettings()
    kinds = _Kinds(placement, cluster, _Exchange(cluster.space, worth, cluster.allowed))
    each = worth[kinds.ids_of_nodes()]
    value, smallest = float(each.sum()), settings.tolerance * max(float(np.abs(each).sum()), 1e-300)
    steps, turns = 0, 0
    while steps < settings.max_steps:
        gain, i, j, x, y = kinds.best_step()
        if gain <= smallest:
            break
        times = min(kinds.times(i, j), settings.max_steps - steps)
        kinds.exchange(i, j, x, y, times)
        steps, turns, value = steps + times, turns + 1, value + gain * times
        if progress and turns % REPORT_EVERY == 0:
            progress({"value": value})
    return kinds.placement(), {"steps": steps}


class _Exchange:
    """The gains of a node that gives one x and takes one y; 0 is an idle slot, a + 1 application a."""

    def __init__(self, space: ColocationSpace, worth: FloatArray, allowed: NDArray[np.bool_]) -> None:
        self.space = space
        # one more entry, so that the id -1 of an impossible co-location is worth -inf
        self._worth = np.append(np.where(allowed, worth, -np.inf), -np.inf)
        self._plain = worth
        impossible = np.full((1, len(space.apps)), -1)
        self._plus = np.vstack([space.plus, impossible])
        self._minus = np.vstack([space.minus, impossible])

    def table(self, ids: IntArray, new: IntArray) -> FloatArray:
        """Return gains [n, apps + 1, apps + 1] of nodes with `ids` [n], of which `new` [n, apps] are new."""
        given = np.column_stack([ids, np.where(new > 0, self._minus[ids], -1)])
        taken = np.concatenate([given[:, :, None], self._plus[given]], axis=2)
        gains = self._worth[taken] - self._plain[ids][:, None, None]
        alike = np.arange(taken.shape[1])
        gains[:, alike, alike] = -np.inf
        return np.asarray(gains)


class _Kinds:
    """The nodes of a cluster by kind: what they hold already, and which new containers.

    `_change[c, k]` is what a node of kind k gains by step c, which gives one x and takes one y.
    """

    def __init__(self, placement: IntArray, cluster: Cluster, exchange: _Exchange) -> None:
        self._exchange, self._apps = exchange, placement.shape[1]
        both = np.hstack([cluster.existing, placement])
        rows, first, kind = np.unique(both, axis=0, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        place = np.argsort(order)[kind.ravel()]
        self._rows = rows[order]
        # of each kind a heap of its nodes, the first one on top: rising numbers are one
        by_kind = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
        self._nodes: list[list[int]] = [nodes.tolist() for nodes in by_kind]
        self._known = {row.tobytes(): k for k, row in enumerate(self._rows)}
        self._unused: list[int] = []
        gains = exchange.table(self._ids(self._rows), self._rows[:, self._apps :])
        self._change = np.ascontiguousarray(gains.reshape(len(rows), -1).T)
        width = self._apps + 1
        self._back = np.arange(width * width).reshape(width, width).T.ravel()

    def ids_of_nodes(self) -> IntArray:
        """Return the co-location of every node, kind by kind, [nodes]."""
        return np.repeat(self._ids(self._rows), [len(nodes) for nodes in self._nodes])

    def placement(self) -> IntArray:
        """Return the new containers, int [nodes, apps]."""
        new = np.zeros((sum(map(len, self._nodes)), self._apps), dtype=np.int64)
        for row, nodes in zip(self._rows, self._nodes, strict=True):
            new[nodes] = row[self._apps :]
        return new

    def best_step(self) -> tuple[float, int, int, int, int]:
        """Return gain, two kinds i and j, and x and y: i gives x and takes y, j the other way round."""
        columns = np.arange(len(self._change))
        first = self._change.argmax(axis=1)
        best = self._change[columns, first]
        partner = first[self._back].copy()
        total = best + best[self._back]
        # where giver and taker are the same node, one of them must be the second best
        for c in np.flatnonzero((first == partner) & (total > -np.inf)).tolist():
            if len(self._nodes[first[c]]) > 1:
                continue
            others = self._change[self._back[c]].copy()
            others[first[c]] = -np.inf
            partner[c] = others.argmax()
            total[c] = best[c] + others[partner[c]]
        c = int(total.argmax())
        i, j = int(first[c]), int(partner[c])
        return float(total[c]), i, j, c // (self._apps + 1), c % (self._apps + 1)

    def times(self, i: int, j: int) -> int:
        """Return how many pairs of nodes of kinds i and j make the same step at once: few of them."""
        return max(1, min(len(self._nodes[i]), len(self._nodes[j])) // ALIKE_AT_ONCE)

    def exchange(self, i: int, j: int, x: int, y: int, times: int) -> None:
        """Let so many nodes of kind i give x and take y, and as many of kind j the other way round."""
        moved = []
        for kind, given, taken in ((i, x, y), (j, y, x)):
            row = self._rows[kind].copy()
            if given:
                row[self._apps + given - 1] -= 1
            if taken:
                row[self._apps + taken - 1] += 1
            moved.append((row, [heappop(self._nodes[kind]) for _ in range(times)]))
        for kind in {i, j}:
            if not self._nodes[kind]:
                self._drop(kind)
        for row, nodes in moved:
            own = self._nodes[self._kind_of(row)]
            for node in nodes:
                heappush(own, node)

    def _ids(self, rows: IntArray) -> IntArray:
        return self._exchange.space.index(rows[:, : self._apps] + rows[:, self._apps :])

    def _drop(self, kind: int) -> None:
        del self._known[self._rows[kind].tobytes()]
        self._change[:, kind] = -np.inf
        self._unused.append(kind)

    def _kind_of(self, row: IntArray) -> int:
        """Return the kind of nodes that hold `row`, a new one where there is none yet."""
        known = self._known.get(row.tobytes())
        if known is not None:
            return known
        if not self._unused:
            more = len(self._nodes)
            self._unused = list(range(2 * more - 1, more - 1, -1))
            self._rows = np.vstack([self._rows, np.zeros_like(self._rows)])
            self._nodes += [[] for _ in range(more)]
            self._change = np.hstack([self._change, np.full_like(self._change, -np.inf)])
        kind = self._unused.pop()
        self._rows[kind], self._known[row.tobytes()] = row, kind
        gains = self._exchange.table(self._ids(row[None]), row[None, self._apps :])
        self._change[:, kind] = gains.ravel()
        return kind


def _build(materials: Materials) -> ImproveFunction:
    settings = materials.settings("local_search", LocalSearchSettings)
    return partial(improve, settings=settings, progress=materials.progress)


def improve_by_oracle(
    placement: IntArray,
    cluster: Cluster,
    worth: Worth,
    settings: LocalSearchSettings | None = None,
    progress: Progress | None = None,
) -> tuple[IntArray, Mapping[str, Any]]:
    """Improve `placement` as `improve` does where co-locations are too many to tabulate."""
    from metis.program.exchange import exchange

    settings = settings or LocalSearchSettings()
    problem, kind_of = problem_of(placement.sum(axis=0), cluster, worth)
    start = problem.value(kind_of, placement) if progress else 0.0

    def report(steps: int, gained: float) -> None:
        del steps
        if progress:
            progress({"value": start + gained})

    better, steps = exchange(problem, kind_of, placement, settings.max_steps, settings.tolerance, report)
    return better, {"steps": steps}


def _build_wide(materials: WideMaterials) -> WideImproveFunction:
    chosen = materials.settings("local_search", LocalSearchSettings)
    return partial(improve_by_oracle, settings=chosen, progress=materials.progress)


IMPROVER = Improver(_build, ("local_search",), _build_wide)
