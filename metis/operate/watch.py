"""Watching what runs: measure, tell what drifted, learn it, and say whether another placement is worth it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np

from metis.errors import InputError, SurroundingsError
from metis.explore.acquisition import Plan
from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import join_profiles
from metis.operate.drift import Drift, drift
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.objectives import Latency, Objective
from metis.problem.tables import Tables
from metis.simulate.ensemble import Ensemble, Observations, fit_ensemble, simulate_by_ensemble
from metis.simulate.simulator import SMALLEST_RPS

__all__ = ["Known", "Live", "Look", "Patrol", "fold", "look"]

COVERED = 0.8  # share that the interval of what nobody measured holds


@dataclass(frozen=True)
class Live:
    """What running co-locations reach.

    Attributes:
        profile: a row per co-location that was measured, the median where several nodes hold it; may have
            no rows.
        silent: what could not be measured, by node, and why.
    """

    profile: Profile
    silent: Mapping[str, str] = field(default_factory=dict)


Measure = Callable[[IntArray], Live]  # of the nodes with these rows


@dataclass(frozen=True)
class Patrol:
    """When a measurement is news, and when news is worth a move.

    Attributes:
        level: share of sound measurements that an interval holds.
        noise: deviation of the log-RPS of one measurement.
        remeasure: drifted co-locations measured a second time, at most.
        min_gain: share of the value that another placement must gain to be proposed.
    """

    level: float = 0.99
    noise: float = 0.05
    remeasure: int = 2
    min_gain: float = 0.01


@dataclass(frozen=True)
class Known:
    """What is known of all co-locations: what was recorded, and what was seen to run since.

    Where an application drifted, its recorded rows that nobody saw since are out of date as well: a model of
    the change, learnt from those that were seen, corrects them.

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
    def of(cls, profile: Profile, noise: float = 0.05) -> "Known":
        """What a profile alone tells."""
        return cls(profile, profile, noise=noise)

    @cached_property
    def belief(self) -> Ensemble:
        """Fitted to what is recorded, measured rows exact."""
        return simulate_by_ensemble(self.profile, held_out=0.0)[1]

    @cached_property
    def before(self) -> FloatArray:
        """RPS of every co-location as it was recorded or believed before watching, [size, apps]."""
        rps = simulate_by_ensemble(self.base, held_out=0.0)[1].rps.copy()
        rps[self.base.space.index(self.base.colocations)] = np.nan_to_num(self.base.rps)
        return rps

    def after(self, fresh: Profile, drifted: list[Drift]) -> "Known":
        """What is known after a look; itself where that brought no news."""
        profile, space = fold(self.profile, fresh, drifted), self.base.space
        seen = self.seen | {int(i) for i in space.index(fresh.colocations)}
        columns = self.drifted | {space.apps.index(one.app) for one in drifted}
        if profile is self.profile and seen == self.seen:
            return self
        after = Known(self.base, profile, seen, columns, self.noise)
        # what was fitted to the very same rows is not fitted again
        same = ("before", "belief") if profile is self.profile else ("before",)
        vars(after).update({name: vars(self)[name] for name in same if name in vars(self)})
        return after

    def tables(self) -> tuple[Tables, Tables]:
        """RPS of every co-location as expected, and at the low end of its 80 % interval."""
        space, present = self.base.space, self.base.space.counts > 0
        expected, low = self.belief.rps.copy(), self.belief.interval(COVERED)[0].copy()
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
        return Tables(space, expected), Tables(space, low)

    def _change(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the change in log-RPS since it was recorded, [size, apps] each."""
        space, ids = self.base.space, np.array(sorted(self.seen))
        before = self.before
        where = {int(i): row for row, i in enumerate(space.index(self.profile.colocations))}
        now = self.profile.rps[[where[int(i)] for i in ids]]
        logs = np.log(np.maximum(now, SMALLEST_RPS)) - np.log(np.maximum(before[ids], SMALLEST_RPS))
        runs = np.ones(len(ids), dtype=np.int64)
        # both sides of a difference carry the noise of a measurement
        return fit_ensemble(space, Observations(ids, logs, runs, min(np.sqrt(2) * self.noise, 1.0))).beliefs


@dataclass(frozen=True)
class Look:
    """What one look found.

    Attributes:
        fresh: what was measured, a row per co-location.
        silent: what could not be measured, by node, and why.
        drifted: measurements that left their interval, also when measured again, the farthest first.
        calmed: co-locations that left it once and came back when measured again, in words.
        remeasured: co-locations measured again, in words.
        units: what an application reaches alone now, as a share of what it did, where that drifted and it
            runs alone somewhere; everything that it reaches is held against this.
        known: what is known now.
        value: of the running placement, by what is known now.
        best: value of the best placement, by what is known now.
        low: the same if co-locations that nobody measured reach only the low end of their 80 % interval.
        proposal: the best placement, int [nodes, apps]; None where it gains less than asked for.
        unmeasured: nodes of the proposal whose co-location nobody measured, or not since it may have drifted.
    """

    fresh: Profile
    silent: Mapping[str, str]
    drifted: tuple[Drift, ...]
    calmed: tuple[str, ...]
    remeasured: tuple[str, ...]
    units: Mapping[str, float]
    known: Known
    value: float
    best: float
    low: float
    proposal: IntArray | None
    unmeasured: int

    @property
    def gain(self) -> float:
        """What the best placement gains, as a share of the running one's value."""
        return self.best / self.value - 1 if self.value > 0 else 0.0

    @property
    def gain_low(self) -> float:
        """The same, if what nobody measured disappoints."""
        return self.low / self.value - 1 if self.value > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """JSON-able, without profile, belief and proposal."""
        return {
            "colocations": len(self.fresh),
            "silent": dict(self.silent),
            "drifted": [asdict(one) for one in self.drifted],
            "calmed": list(self.calmed),
            "remeasured": list(self.remeasured),
            "units": dict(self.units),
            "value": self.value,
            "best": self.best,
            "gain": self.gain,
            "gain_low": self.gain_low,
            "proposed": self.proposal is not None,
            "unmeasured": self.unmeasured,
        }


def look(
    known: Known,
    running: IntArray,
    cluster: Cluster,
    measure: Measure,
    objective: Objective,
    plan: Plan,
    patrol: Patrol | None = None,
) -> Look:
    """Measure what runs, learn from it, and plan anew; changes nothing of what runs.

    Args:
        known: what is known of co-locations.
        running: what runs, int [nodes, apps].
        cluster: the nodes and rules, nothing in place: every container may be proposed to move.
        measure: (rows of nodes, int [n]) -> what their co-locations reach now.
        objective: what a placement is worth; any but latency, which the belief does not model.
        plan: (worth [size], group, cluster) -> placement [nodes, apps], as good as can be: the optimum.
        patrol: when a measurement is news.

    Raises:
        InputError: nothing runs, or an objective of latency.
        SurroundingsError: nothing could be measured at all.
    """
    patrol = patrol or Patrol()
    if isinstance(objective, Latency):
        raise InputError("watch: latency is not modelled by its belief; use objective rps, slo or free")
    if not running.any():
        raise InputError("watch: nothing runs; deploy a placement first")
    first = measure(np.flatnonzero(running.any(axis=1)))
    if not len(first.profile):
        told = "; ".join(f"{node}: {why}" for node, why in first.silent.items())
        raise SurroundingsError(f"watch: nothing that runs could be measured ({told})")
    words = [describe_colocation(row, known.base.apps) for row in running]
    chosen = _suspects(known, first.profile, patrol)
    again = np.array([row for row, held in enumerate(words) if held in chosen], dtype=np.int64)
    second = measure(again) if chosen else Live(first.profile.rows([]))
    both = join_profiles(first.profile, second.profile, first.profile.provenance)
    units = _units(known, both, second.profile, patrol)
    fresh = _divided(both, units)
    drifted = _confirmed(known, fresh, _divided(second.profile, units), patrol)
    still = {one.colocation for one in drifted} | {f"1 {app}" for app in units}
    after = known.after(fresh, drifted)
    group, ids = running.sum(axis=0), cluster.space.index(running)
    worth, low = (objective.bind(group, cluster, tables) for tables in after.tables())
    best = plan(worth, group, cluster)
    theirs = cluster.space.index(best)
    value, reached = float(worth[ids].sum()), float(worth[theirs].sum())
    return Look(
        fresh=fresh,
        silent={**first.silent, **second.silent},
        drifted=tuple(drifted),
        calmed=tuple(held for held in chosen if held not in still),
        remeasured=tuple(chosen),
        units=units,
        known=after,
        value=value,
        best=reached,
        low=float(low[theirs].sum()),
        proposal=best if reached >= value * (1 + patrol.min_gain) and reached > value else None,
        unmeasured=_unmeasured(after, best),
    )


def _unmeasured(known: Known, placement: IntArray) -> int:
    """Nodes whose co-location nobody measured, or not since an application in it drifted."""
    space = known.base.space
    recorded = set(space.index(known.profile.colocations).tolist()) | {0}
    columns = sorted(known.drifted)
    return sum(
        int(i) not in recorded or (int(i) not in known.seen and bool(counts[columns].any()))
        for i, counts in zip(space.index(placement), placement, strict=True)
    )


def fold(profile: Profile, fresh: Profile, drifted: list[Drift]) -> Profile:
    """What is known now: the recorded rows, but for those that drifted, and the new ones.

    A row that stayed in its interval is kept as recorded: one noisy run more is no news, and to follow it
    would be to chase the noise.
    """
    space = profile.space
    recorded = set(space.index(profile.colocations).tolist())
    left = {one.colocation for one in drifted}
    news = np.array(
        [
            int(i) not in recorded or describe_colocation(row, space.apps) in left
            for i, row in zip(space.index(fresh.colocations), fresh.colocations, strict=True)
        ],
        dtype=bool,
    )
    if not news.any():
        return profile
    newer = fresh.rows(news)
    stays = ~np.isin(space.index(profile.colocations), space.index(newer.colocations))
    parts = {name: np.concatenate([getattr(profile, name)[stays], getattr(newer, name)]) for name in MEASURES}
    colocations = np.concatenate([profile.colocations[stays], newer.colocations])
    live = int(profile.provenance.get("live", 0)) + len(newer)
    return make_profile(space.apps, space.slots, colocations, parts, {**profile.provenance, "live": live})


def _drifted(known: Known, fresh: Profile, patrol: Patrol) -> list[Drift]:
    if not len(fresh):
        return []
    return drift(known.profile, fresh, patrol.noise, patrol.level, known.belief)


def _suspects(known: Known, first: Profile, patrol: Patrol) -> list[str]:
    """The co-locations to measure again, in words: first those alone, against which others are held."""
    units = _units(known, first, first.rows([]), patrol)
    drifted = _drifted(known, _divided(first, units), patrol)
    found = [f"1 {app}" for app in units] + [one.colocation for one in drifted]
    return list(dict.fromkeys(found))[: patrol.remeasure]


def _units(known: Known, both: Profile, second: Profile, patrol: Patrol) -> dict[str, float]:
    """What applications reach alone now, by what they did, where that left its interval both times.

    Alone, normalised RPS is 1 by definition: when it is not, the machine or the application changed, and
    whatever else the application reaches is to be held against what it reaches alone now.
    """
    left = _confirmed(known, _alone(both), _alone(second), patrol)
    return {one.app: one.measured for one in left if one.measured > 0}


def _alone(profile: Profile) -> Profile:
    return profile.rows(profile.colocations.sum(axis=1) == 1)


def _divided(profile: Profile, units: Mapping[str, float]) -> Profile:
    if not units or not len(profile):
        return profile
    return replace(profile, rps=profile.rps / np.array([units.get(app, 1.0) for app in profile.apps]))


def _confirmed(known: Known, both: Profile, second: Profile, patrol: Patrol) -> list[Drift]:
    """What left its interval by both measurements together, and by the second alone where there is one."""
    heard = {describe_colocation(row, second.apps) for row in second.colocations}
    again = {(one.colocation, one.app) for one in _drifted(known, second, patrol)}
    return [
        one
        for one in _drifted(known, both, patrol)
        if one.colocation not in heard or (one.colocation, one.app) in again
    ]
