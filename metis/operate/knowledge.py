"""What is known of co-locations: as recorded before, and as seen to run since."""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np

from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import joined_conditions
from metis.operate.drift import Drift
from metis.problem.counts import FloatArray, describe_colocation
from metis.problem.tables import Tables
from metis.simulate.belief import simulate_by_ensemble
from metis.simulate.ensemble import Ensemble, Observations, fit_ensemble
from metis.simulate.simulator import SMALLEST_SHARE

COVERED = 0.8  # share of true values that the interval of an unmeasured co-location holds


@dataclass(frozen=True)
class Knowledge:
    """All that is known of co-locations: the recorded profile, and what running ones were measured at since.

    Where an application drifted, its recorded rows that were not seen to run since are out of date as well:
    a model of the change, fitted to those that were seen, corrects them.

    Attributes:
        base: as recorded, before anything was watched.
        profile: recorded rows, and what was seen to be new or to have drifted in place of them.
        seen: ids of the co-locations that were seen to run.
        drifted: columns of the applications that drifted.
        noise: deviation of the log-RPS of one measurement.
    """

    base: Profile
    profile: Profile
    seen: frozenset[int] = frozenset()
    drifted: frozenset[int] = frozenset()
    noise: float = 0.05

    @classmethod
    def of(cls, profile: Profile, noise: float = 0.05) -> "Knowledge":
        """The knowledge in a profile, before anything was watched."""
        return cls(profile, profile, noise=noise)

    @cached_property
    def belief(self) -> Ensemble:
        """The ensemble fitted to the profile as known now, measured rows exact."""
        return simulate_by_ensemble(self.profile, held_out=0.0)[1].first

    @cached_property
    def before(self) -> FloatArray:
        """RPS of every co-location as recorded or believed before watching, float64 [size, apps]."""
        rps = simulate_by_ensemble(self.base, held_out=0.0)[1].first.expected.copy()
        rps[self.base.space.index(self.base.colocations)] = np.nan_to_num(self.base.rps)
        return rps

    def after(self, fresh: Profile, drifted: list[Drift]) -> "Knowledge":
        """The knowledge after an inspection; the same object where that changed nothing."""
        profile, space = fold(self.profile, fresh, drifted), self.base.space
        seen = self.seen | {int(i) for i in space.index(fresh.colocations)}
        columns = self.drifted | {space.apps.index(one.app) for one in drifted}
        if profile is self.profile and seen == self.seen:
            return self
        after = Knowledge(self.base, profile, seen, columns, self.noise)
        # an ensemble of the very same rows is not fitted again
        same = ("before", "belief") if profile is self.profile else ("before",)
        vars(after).update({name: vars(self)[name] for name in same if name in vars(self)})
        return after

    def tables(self) -> tuple[Tables, Tables]:
        """The RPS of every co-location, as expected and at the low end of its 80 % interval."""
        space, present = self.base.space, self.base.space.counts > 0
        expected, low = self.belief.expected.copy(), self.belief.interval(COVERED)[0].copy()
        at = space.index(self.profile.colocations)
        expected[at] = low[at] = np.nan_to_num(self.profile.rps)
        if self.drifted:
            change, spread = self._change()
            stale = present.copy()
            stale[sorted(self.seen)] = False
            stale[:, sorted(set(range(len(space.apps))) - self.drifted)] = False
            reach = NormalDist().inv_cdf(0.5 + COVERED / 2) * spread
            low = np.where(stale, low * np.exp(change - reach), low)
            expected = np.where(stale, expected * np.exp(change), expected)
        return Tables(space, {"rps": expected}), Tables(space, {"rps": low})

    def _change(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the change in log-RPS since it was recorded, [size, apps] each."""
        space, ids = self.base.space, np.array(sorted(self.seen))
        before = self.before
        where = {int(i): row for row, i in enumerate(space.index(self.profile.colocations))}
        now = self.profile.rps[[where[int(i)] for i in ids]]
        logs = np.log(np.maximum(now, SMALLEST_SHARE)) - np.log(np.maximum(before[ids], SMALLEST_SHARE))
        runs = np.ones(len(ids), dtype=np.int64)
        # both sides of a difference carry the noise of a measurement
        return fit_ensemble(space, Observations(ids, logs, runs, min(np.sqrt(2) * self.noise, 1.0))).beliefs


def fold(profile: Profile, fresh: Profile, drifted: list[Drift]) -> Profile:
    """Update a profile: rows that drifted are replaced by fresh ones, new co-locations are added.

    A row that stayed in its interval is kept as recorded: one more noisy run holds nothing new, and to follow
    it would be to follow the noise.
    """
    space = profile.space
    recorded = set(space.index(profile.colocations).tolist())
    left = {one.colocation for one in drifted}
    changed = np.array(
        [
            int(i) not in recorded or describe_colocation(row, space.apps) in left
            for i, row in zip(space.index(fresh.colocations), fresh.colocations, strict=True)
        ],
        dtype=bool,
    )
    if not changed.any():
        return profile
    newer = fresh.rows(changed)
    stays = ~np.isin(space.index(profile.colocations), space.index(newer.colocations))
    parts = {name: np.concatenate([getattr(profile, name)[stays], getattr(newer, name)]) for name in MEASURES}
    colocations = np.concatenate([profile.colocations[stays], newer.colocations])
    live = int(profile.provenance.get("live", 0)) + len(newer)
    conditions = joined_conditions([profile.rows(stays), newer])
    provenance = {**profile.provenance, "live": live}
    return make_profile(space.apps, space.slots, colocations, parts, provenance, conditions)
