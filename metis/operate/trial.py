"""A trial of placements against one another: the order in which they take turns, pairing, and when to stop.

Placements of one group cannot run at once on a full cluster, so they take turns in rounds, each once a round.
What is compared is the difference within a round, which leaves out what changes from round to round.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np

from metis.measure.intervals import LEVEL, Interval, interval
from metis.problem.counts import FloatArray, IntArray

LEAST = 3  # rounds before which nothing is decided
PATHS = 20_000  # made-up trials from which the level of a look is found
SEED = 20_240  # of these


def turns(placements: int, rounds: int, seed: int) -> list[tuple[int, ...]]:
    """Return the order of the placements in each round, randomised and balanced.

    Rounds form blocks, each a Williams design with its labels and rows permuted at random: in a block every
    placement is as often at each position, and as often right after each other one, so that neither a steady
    drift nor what its predecessor leaves behind favours one of them.

    Source: E. J. Williams, Experimental designs balanced for the estimation of residual effects of
    treatments, 1949.

    Args:
        placements: how many there are.
        rounds: how many orders are asked for.
        seed: of the permutations; more rounds begin with the same orders.
    """
    rng = np.random.default_rng([seed, placements])
    found: list[tuple[int, ...]] = []
    while len(found) < rounds:
        design = _williams(placements)
        labels = rng.permutation(placements)
        found += [tuple(labels[row].tolist()) for row in rng.permutation(design)]
    return found[:rounds]


def _williams(n: int) -> IntArray:
    """Return the rows of a Williams design, int [n or 2 n, n]."""
    first = [(i + 1) // 2 if i % 2 else (n - i // 2) % n for i in range(n)]
    rows = (np.array(first)[None, :] + np.arange(n)[:, None]) % n
    return rows if n % 2 == 0 else np.concatenate([rows, rows[:, ::-1]])


def differences(measured: FloatArray, reference: int = 0, level: float = LEVEL) -> list[Interval]:
    """Return by how much each placement exceeds the reference, paired by round.

    Args:
        measured: float64 [rounds, placements]; NaN where a round was not ended.
        reference: the placement that the others are held against.
        level: see `look_level`.
    """
    return [interval(column - measured[:, reference], level) for column in measured.T]


def separated(found: Sequence[Interval], reference: int = 0) -> bool:
    """Whether the interval of every placement but the reference leaves out 0, after `LEAST` rounds."""
    others = [one for i, one in enumerate(found) if i != reference]
    return all(one.groups >= LEAST and not one.holds(0.0) and one.half == one.half for one in others)


@cache
def look_level(rounds: int, level: float = LEVEL) -> float:
    """Return the level of each interval of a trial that looks after every round and may stop there.

    Whoever looks often, and stops when an interval leaves out 0, finds differences where there are none.
    Intervals of this level hold the truth at every look of a trial at once in a share `level` of trials, so
    also at the one at which it stops. Found from made-up trials of normal differences, on whose mean and
    deviation the level does not depend.

    Source: C. Jennison and B. W. Turnbull, Interim analyses: the repeated confidence interval approach, 1989,
    with the same level at every look as S. J. Pocock, 1977.

    Args:
        rounds: at most; looks begin after `LEAST` of them.
        level: of all looks together.
    """
    from scipy.special import stdtr

    if rounds <= LEAST:
        return level
    drawn = np.random.default_rng(SEED).standard_normal((PATHS, rounds))
    n = np.arange(1, rounds + 1)
    total, squares = drawn.cumsum(axis=1), (drawn**2).cumsum(axis=1)
    seen = slice(LEAST - 1, None)
    mean = total[:, seen] / n[seen]
    variance = (squares[:, seen] - n[seen] * mean**2) / (n[seen] - 1)
    t = np.abs(mean) / np.sqrt(variance / n[seen])
    beyond = 2 * stdtr(n[seen] - 1, -t)
    return float(1 - np.quantile(beyond.min(axis=1), 1 - level))


def share_held(measured: FloatArray, low: FloatArray, high: FloatArray) -> tuple[int, int]:
    """Return how many intervals hold what was measured, and how many there are; unknown ones are left out.

    Args:
        measured: float64 [n].
        low: ends of the predicted intervals, [n].
        high: likewise.
    """
    known = np.isfinite(measured) & np.isfinite(low) & np.isfinite(high)
    held = (low[known] <= measured[known]) & (measured[known] <= high[known])
    return int(held.sum()), int(known.sum())


def alike(placements: Sequence[IntArray], *, nodes_alike: bool = True) -> list[list[int]]:
    """Return which placements are the same, as groups of their indices, in order.

    Args:
        placements: int [nodes, apps] each.
        nodes_alike: whether the same co-locations on other nodes are the same placement.
    """
    found: dict[bytes, list[int]] = {}
    for i, placement in enumerate(placements):
        rows = placement[np.lexsort(placement.T[::-1])] if nodes_alike else placement
        found.setdefault(np.ascontiguousarray(rows, dtype=np.int64).tobytes(), []).append(i)
    return list(found.values())
