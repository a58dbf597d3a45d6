"""Local search: the best move or swap between two nodes, until none helps."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray

from baselines.contract import (
    ImproveFunction,
    Improver,
    Materials,
    Options,
    WideImproveFunction,
    settings_of,
)
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of
from metis.problem.space import ColocationSpace
from metis.problem.worth import Worth
from metis.settings import settings


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
) -> tuple[IntArray, Mapping[str, Any]]:
    """Improve `placement` [nodes, apps] of new containers by best-improvement steps.

    A move is a swap with an idle slot: idle is one more kind, so that one table holds both.
    `change[n, x, y]` is what node n gains by giving one x and taking one y. The best step is the pair of
    kinds whose best giver and best taker add up to most: O(nodes x kinds^2), two nodes change a step.

    Returns:
        The placement, and `steps` made.
    """
    settings = settings or LocalSearchSettings()
    space = cluster.space
    new = placement.copy()
    exchange = _Exchange(space, worth, cluster.allowed)
    ids = space.index(new + cluster.existing)
    change = exchange.table(ids, new)
    smallest = settings.tolerance * max(float(np.abs(worth[ids]).sum()), 1e-300)
    steps = 0
    while steps < settings.max_steps:
        gain, i, j, x, y = _best_step(change)
        if gain <= smallest:
            break
        for node, given, taken in ((i, x, y), (j, y, x)):
            if given:
                new[node, given - 1] -= 1
            if taken:
                new[node, taken - 1] += 1
        pair = np.array([i, j])
        ids[pair] = space.index(new[pair] + cluster.existing[pair])
        change[pair] = exchange.table(ids[pair], new[pair])
        steps += 1
    return new, {"steps": steps}


class _Exchange:
    """The gains of a node that gives one x and takes one y; 0 is an idle slot, a + 1 application a."""

    def __init__(self, space: ColocationSpace, worth: FloatArray, allowed: NDArray[np.bool_]) -> None:
        self._space = space
        # one more entry, so that the id -1 of an impossible co-location is worth -inf
        self._worth = np.append(np.where(allowed, worth, -np.inf), -np.inf)
        self._plain = worth
        impossible = np.full((1, len(space.apps)), -1)
        self._plus = np.vstack([space.plus, impossible])
        self._minus = np.vstack([space.minus, impossible])

    def table(self, ids: IntArray, new: IntArray) -> FloatArray:
        """Return gains [n, kinds, kinds] of nodes that hold `ids` [n], of which `new` [n, apps] are new."""
        given = np.column_stack([ids, np.where(new > 0, self._minus[ids], -1)])
        taken = np.concatenate([given[:, :, None], self._plus[given]], axis=2)
        gains = self._worth[taken] - self._plain[ids][:, None, None]
        kinds = np.arange(taken.shape[1])
        gains[:, kinds, kinds] = -np.inf
        return np.asarray(gains)


def _best_step(change: FloatArray) -> tuple[float, int, int, int, int]:
    """Return gain, two nodes i and j, and kinds x and y: i gives x and takes y, j the other way round."""
    kinds = change.shape[1]
    flat = change.reshape(len(change), -1)
    columns = np.arange(kinds * kinds)
    back = columns.reshape(kinds, kinds).T.ravel()
    first = flat.argmax(axis=0)
    best = flat[first, columns]
    partner = first[back].copy()
    total = best + best[back]
    # where giver and taker are the same node, one of them must be the second best
    for c in np.flatnonzero((first == partner) & (total > -np.inf)).tolist():
        others = flat[:, back[c]].copy()
        others[first[c]] = -np.inf
        partner[c] = others.argmax()
        total[c] = best[c] + others[partner[c]]
    c = int(total.argmax())
    return float(total[c]), int(first[c]), int(partner[c]), c // kinds, c % kinds


def _build(materials: Materials) -> ImproveFunction:
    return partial(improve, settings=materials.settings("local_search", LocalSearchSettings))


def improve_by_oracle(
    placement: IntArray, cluster: Cluster, worth: Worth, settings: LocalSearchSettings | None = None
) -> tuple[IntArray, Mapping[str, Any]]:
    """Improve `placement` as `improve` does where co-locations are too many to tabulate."""
    from metis.program.exchange import exchange

    settings = settings or LocalSearchSettings()
    problem, kind_of = problem_of(placement.sum(axis=0), cluster, worth)
    better, steps = exchange(problem, kind_of, placement, settings.max_steps, settings.tolerance)
    return better, {"steps": steps}


def _build_wide(options: Options) -> WideImproveFunction:
    return partial(improve_by_oracle, settings=settings_of(options, "local_search", LocalSearchSettings))


IMPROVER = Improver(_build, ("local_search",), _build_wide)
