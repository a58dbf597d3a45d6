"""Intervals of a mean over repetitions, by Student's t."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

LEVEL = 0.95
DIGITS = 12  # of numbers near 1: less is rounding, and would make a difference out of none
TIE, ALONE = "tie", "one group: no interval"


@dataclass(frozen=True)
class Interval:
    """A mean over groups and the half width of its interval, of 95 % unless said otherwise.

    Attributes:
        mean: over the groups; NaN without any.
        half: half width of the interval; NaN where there are fewer than two groups.
        groups: how many groups, or rounds, it is over.
    """

    mean: float
    half: float
    groups: int

    def holds(self, value: float) -> bool:
        """Whether `value` lies in the interval; where there is none, nothing does."""
        return bool(abs(self.mean - value) <= self.half)

    def verdict(self, level: float = 0.0) -> str:
        """`tie` where the interval holds `level`; of one group, that there is no interval; else nothing."""
        if self.groups == 1:
            return ALONE
        return TIE if self.holds(level) else ""

    def document(self, level: float = 0.0) -> dict[str, Any]:
        """Return it as JSON-able values; what is unknown is null, also whether it is a tie."""
        known = np.isfinite(self.half)
        return {
            "mean": self.mean if np.isfinite(self.mean) else None,
            "half_width": self.half if known else None,
            "tie": self.holds(level) if known else None,
        }


def interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """Return the interval of the mean of `values`, one per group; unknown ones are left out.

    Args:
        values: numbers, of any shape.
        level: share of such intervals that hold the true mean.
    """
    numbers = np.asarray(values, dtype=np.float64).ravel()
    numbers = numbers[np.isfinite(numbers)].round(DIGITS)
    if not numbers.size:
        return Interval(float("nan"), float("nan"), 0)
    mean = float(numbers.mean())
    if numbers.size == 1:
        return Interval(mean, float("nan"), 1)
    from scipy.special import stdtrit  # scipy.stats has it too, and costs a second

    deviation = float(numbers.std(ddof=1)) if np.ptp(numbers) else 0.0
    quantile = float(stdtrit(numbers.size - 1, (1 + level) / 2))
    return Interval(mean, quantile * deviation / numbers.size**0.5, int(numbers.size))
