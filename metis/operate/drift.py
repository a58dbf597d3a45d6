"""Drift of deployed co-locations: measurements outside the interval of what was recorded or believed."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from metis.errors import InputError
from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, describe_colocation
from metis.simulate.ensemble import Ensemble


@dataclass(frozen=True)
class Drift:
    """A measurement outside its interval.

    Attributes:
        colocation: where, in words.
        app: whose RPS.
        measured: normalised RPS now.
        expected: RPS recorded, or believed where nothing was.
        low: lower end of the interval.
        high: upper end of it.
        recorded: whether the co-location had been measured before.
    """

    colocation: str
    app: str
    measured: float
    expected: float
    low: float
    high: float
    recorded: bool


def drift(
    profile: Profile, fresh: Profile, noise: float = 0.02, level: float = 0.99, belief: Ensemble | None = None
) -> list[Drift]:
    """Find fresh measurements outside the interval of what was recorded or believed, the farthest first.

    Args:
        profile: what was recorded.
        fresh: what deployed co-locations reach now.
        noise: deviation of the log-RPS of one measurement; both sides have it.
        level: share of sound measurements that the interval holds.
        belief: for co-locations that `profile` lacks; None to leave these out.

    Raises:
        InputError: other applications or slots, or a level that is no share.
    """
    mean, deviation = expectation(profile, noise, level, belief, fresh)
    space, ids = profile.space, profile.space.index(fresh.colocations)
    at = space.index(profile.colocations)
    reach = NormalDist().inv_cdf(0.5 + level / 2) * deviation
    expected = np.exp(mean)
    low, high = np.exp(mean - reach), np.exp(mean + reach)
    left = fresh.present & np.isfinite(mean) & ~((fresh.rps >= low) & (fresh.rps <= high))
    found = [
        Drift(
            describe_colocation(space.counts[ids[row]], space.apps),
            space.apps[a],
            float(fresh.rps[row, a]),
            float(expected[row, a]),
            float(low[row, a]),
            float(high[row, a]),
            recorded=bool(ids[row] in at),
        )
        for row, a in zip(*np.nonzero(left), strict=True)
    ]
    return sorted(found, key=lambda one: -abs(np.log(max(one.measured, 1e-9) / one.expected)))


def expectation(
    profile: Profile, noise: float, level: float, belief: Ensemble | None, fresh: Profile
) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of the logarithm of RPS that fresh measurements should have, [rows, apps] each.

    Args:
        profile: what was recorded.
        noise: deviation of the log-RPS of one measurement; both sides have it.
        level: share of sound measurements that an interval holds.
        belief: for co-locations that `profile` lacks; NaN for these where it is None.
        fresh: what was measured.

    Raises:
        InputError: other applications or slots, or a level that is no share.
    """
    if fresh.space != profile.space or (belief is not None and belief.space != profile.space):
        raise InputError("drift: both profiles need the same applications and slots")
    if not 0 < level < 1 or not 0 <= noise <= 1:
        raise InputError(f"drift: level {level:g} and noise {noise:g}: give shares between 0 and 1")
    space, ids = profile.space, profile.space.index(fresh.colocations)
    mean = np.full((space.size, len(space.apps)), np.nan)
    deviation = np.full_like(mean, np.sqrt(2) * noise)
    if belief is not None:
        mean, deviation = belief.beliefs[0].copy(), np.hypot(belief.beliefs[1], noise)
    at = space.index(profile.colocations)
    positive = profile.present & (profile.rps > 0)
    mean[at] = np.where(positive, np.log(np.where(positive, profile.rps, 1.0)), np.nan)
    deviation[at] = np.sqrt(2) * noise
    return mean[ids], deviation[ids]
