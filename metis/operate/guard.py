"""Whether what runs got worse: the change between two states that were loaded, with its interval."""

from dataclasses import dataclass

import numpy as np

from metis.problem.counts import FloatArray


@dataclass(frozen=True)
class Change:
    """By how much the mean RPS of containers changed.

    Attributes:
        mean: after less before.
        half: half width of its interval; NaN where one container and one load give none.
    """

    mean: float
    half: float

    def worse(self, expected: float = 0.0) -> bool:
        """Whether it is surely below what was expected, and below no change.

        Args:
            expected: change predicted: a move that only gives way may be predicted to cost something.
        """
        return bool(self.mean + self.half < min(0.0, expected))


def change_between(before: FloatArray, after: FloatArray, level: float) -> Change:
    """Return the change of the mean over containers, with an interval of Student's t.

    Its width has two parts. Containers change differently, and are compared each with itself. All of
    them vary together from one load to the next, which only repeated loads show.

    Args:
        before: RPS, float64 [loads, containers].
        after: of the same containers, float64 [loads, containers].
        level: share of such intervals that hold the true change.
    """
    from scipy.special import stdtrit  # scipy.stats has it too, and costs a second

    each = after.mean(axis=0) - before.mean(axis=0)
    parts = []
    if each.size > 1:
        parts.append(stdtrit(each.size - 1, (1 + level) / 2) * each.std(ddof=1) / each.size**0.5)
    freedom = len(before) + len(after) - 2
    if freedom > 0:
        means = [loads.mean(axis=1) for loads in (before, after)]
        squares = sum(float(((one - one.mean()) ** 2).sum()) for one in means)
        spread = (squares / freedom * sum(1 / len(one) for one in means)) ** 0.5
        parts.append(stdtrit(freedom, (1 + level) / 2) * spread)
    return Change(float(each.mean()), float(np.hypot.reduce(parts)) if parts else float("nan"))
