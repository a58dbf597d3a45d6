"""A pool of co-locations that placements are likely to use, so that training need not score all of them.

Scoring every co-location for every state is what training spends its time on: 12 applications on 8 slots
make 125,970, twenty times as many as 7, and 150 steps took 25 CPU-minutes; of the 6,435 of 7 applications,
a tenth train weights that are as good, in half the time (benchmarks/README.md). Which co-locations a
placement uses follows from the prices of the group at hand, so those of highest worth less price for a
sample of groups are enough to learn from. Placing afterwards goes through all of them.
"""

import numpy as np

from metis.learn.value.choices import BoolArray, Choices, Limits
from metis.learn.value.network import Float32Array
from metis.learn.value.pricing import COOLING, Bound
from metis.learn.value.problem import ValueProblem, draw_starts
from metis.learn.value.settings import ValueSettings
from metis.problem.counts import FloatArray, IntArray

POOLED = 5_000  # co-locations from which on training goes through a pool
WIDE = 25_000  # co-locations from which on the pool is larger
SAMPLED = 48  # groups whose prices are found
HEATS, NEWTON = COOLING[:6:2], 4  # rough prices will do
NEW, NEW_WIDE = 32, 128  # co-locations of highest worth less price that join the pool, twice for each group


class PooledChoices(Choices):
    """`Choices` of all co-locations that looks among a pool first, and among all where none of it fits."""

    def __init__(self, problem: ValueProblem, pool: IntArray) -> None:
        everything = np.ones(problem.space.size, dtype=bool)
        limits, worth = Limits(problem.space, everything), problem.table.astype(np.float32)
        super().__init__(problem.space, worth, everything, limits)
        pooled = np.zeros(problem.space.size, dtype=bool)
        pooled[pool] = True
        self._few = Choices(problem.space, worth, pooled, limits)

    def best(
        self,
        prices: Float32Array,
        vacancy: Float32Array,
        fits: tuple[IntArray, IntArray, IntArray, int],
        keep: int,
    ) -> tuple[IntArray, BoolArray]:
        """See `Choices.best`; the choices are those of the pool where any fits."""
        picks, valid = self._few.best(prices, vacancy, fits, keep)
        # all co-locations are choices: their place is their id; what is not valid may point to padding
        picks = self._few.ids[np.minimum(picks, len(self._few.ids) - 1)]
        none = np.flatnonzero(~valid.any(axis=1))
        if none.size:
            most, rest, nodes, take = fits
            fits = (most[none], rest[none], nodes[none], take)
            picks[none], valid[none] = super().best(prices[none], vacancy[none], fits, picks.shape[1])
        return picks, valid


def likely_colocations(problem: ValueProblem, settings: ValueSettings) -> IntArray:
    """Return ids of co-locations that placements of random groups are likely to use, in rising order."""
    space, table = problem.space, problem.table
    rng = np.random.default_rng([settings.seed, 2])
    counts = space.counts.astype(np.float64)  # once: a product of whole numbers is slow
    each = table / np.maximum(space.totals, 1)
    alone = space.plus[0]  # the ids of one container of each application
    new = NEW if space.size <= WIDE else NEW_WIDE
    pool = np.unique(np.concatenate([[0], alone, np.argsort(-each, kind="stable")[:new]]))
    starts = draw_starts(SAMPLED, (settings.min_nodes, settings.wide_nodes), problem, settings, rng)
    for rest, nodes, vacancy in zip(starts.rest, starts.nodes, starts.vacancy, strict=True):
        prices = np.asarray(table[alone], dtype=np.float64)
        for _ in range(2):
            prices = _prices(problem, pool, prices, rest / nodes, float(vacancy))
            net = table - counts @ prices
            pool = np.union1d(pool, np.argpartition(-net, new)[:new])
    return pool


def _prices(
    problem: ValueProblem, pool: IntArray, prices: FloatArray, share: FloatArray, vacancy: float
) -> FloatArray:
    """Return the prices at which a node's share of a group, [apps], is placed by the pool."""
    worth = problem.table[pool] + np.where(pool == 0, vacancy, 0.0)
    counts = problem.space.counts[pool].astype(np.float64)
    bound = Bound(counts, worth, np.zeros(1, dtype=np.int64), np.ones(1))
    return bound.sharpen(prices, share, HEATS, NEWTON)[0]
