"""Short slices of load in turn, and the ratio of what is reached in them, with its interval.

Plain Python, because it runs in the load image as well, beside `loadfile.py`: there it says when to stop.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

LEAST = 4  # cycles before an interval may end the load: a luckier start must not
FEWEST = 2  # cycles in any case, however long a slice must be
WISHED = 6  # cycles that should fit into the time there is
REQUESTS = 3  # that a user makes in a slice, at the least, where the time allows it
SETTLE = 0.05  # seconds between two slices that do not count, at the least
LEVEL = 0.95


def ratio(of: Sequence[float], to: Sequence[float]) -> tuple[float, float]:
    """Ratio of the sums of paired rates, and half the width of its 95 % interval; infinite for one pair.

    What disturbs both of a pair alike cancels: the variance is that of `of - ratio * to` within the pairs.

    Args:
        of: rates, one a cycle.
        to: the rates they are held against, likewise; NaN is returned where these are all 0.
    """
    base = fmean(to)
    if base <= 0:
        return math.nan, math.inf
    found = fmean(of) / base
    if len(of) < 2:
        return found, math.inf
    apart = [one - found * other for one, other in zip(of, to, strict=True)]
    return found, student(len(of) - 1) * stdev(apart) / math.sqrt(len(of)) / base


def student(freedom: int) -> float:
    """Ends of the 95 % of Student's distribution, by Cornish and Fisher; exact for 1 and 2."""
    if freedom < 3:
        return (12.706, 4.303)[freedom - 1]
    z: float = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom ** (i + 1) for i, term in enumerate(terms)))


def turns(sets: int, cycle: int) -> list[int]:
    """The order of the sets in a cycle: every second one is reversed, so that a drift falls on all alike."""
    return list(range(sets))[:: -1 if cycle % 2 else 1]


def lengths(wished: float, slowest: float, sets: int, budget: float) -> tuple[float, float]:
    """Seconds between two slices that do not count, and seconds of a slice.

    Args:
        wished: seconds of a slice.
        slowest: seconds of a request to the slowest target.
        sets: that take turns.
        budget: seconds of all slices together.
    """
    settle = max(SETTLE, slowest)
    seconds = max(min(wished, budget / (WISHED * sets) - settle), REQUESTS * slowest, 4 * SETTLE)
    most = budget / (FEWEST * sets)
    return min(settle, most / 2), min(seconds, most / 2 if settle > most / 2 else most - settle)


def enough(pairs: Sequence[tuple[Sequence[float], Sequence[float]]], precision: float) -> bool:
    """Whether the interval of every ratio is within `precision` of it."""
    if any(len(of) < LEAST for of, _ in pairs):
        return False
    found = [ratio(of, to) for of, to in pairs]
    return all(half <= precision * value for value, half in found)
