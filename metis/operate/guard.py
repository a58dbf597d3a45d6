"""Whether what runs got worse: the change between two states that were loaded, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

from metis.problem.counts import FloatArray


@dataclass(frozen=True)
class Change:
    """By how much the mean RPS of containers changed.

    Attributes:
        mean: after less before.
        half: half width of its interval; NaN where no state was loaded twice.
    """

    mean: float
    half: float

    def worse(self, expected: float = 0.0) -> bool:
        """Whether it is surely below what was expected, and below no change.

        Args:
            expected: change predicted: a move that only gives way may be predicted to cost something.
        """
        return bool(self.mean + self.half < min(0.0, expected))


def change_between(
    before: FloatArray, after: FloatArray, level: float, others: Sequence[FloatArray] = ()
) -> Change:
    """Return the change of the mean over the same containers, with an interval of Student's t.

    The containers are all there are, no sample of others, and on one machine they vary together from one
    load to the next. So the width is how much the means of repeated loads of one state differ.

    Args:
        before: RPS, float64 [loads, containers].
        after: of the same containers, float64 [loads, containers].
        level: share of such intervals that hold the true change.
        others: loads of further states, float64 [loads, containers] each, from which the deviation of a
            load is known better.
    """
    from scipy.special import stdtrit  # scipy.stats has it too, and costs a second

    states = [loads.mean(axis=1) for loads in (before, after, *others)]
    change = float(states[1].mean() - states[0].mean())
    freedom = sum(len(means) - 1 for means in states)
    if freedom == 0:
        return Change(change, float("nan"))
    variance = sum(float(((means - means.mean()) ** 2).sum()) for means in states) / freedom
    error = (variance * (1 / len(before) + 1 / len(after))) ** 0.5
    return Change(change, float(stdtrit(freedom, (1 + level) / 2) * error))
