"""The watch over a running placement: what drifted, what is known now, which placement is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from metis.errors import InputError, SurroundingsError
from metis.explore.acquisition import Plan
from metis.measure.profile import Profile
from metis.measure.testbed import join_profiles
from metis.operate.drift import Drift, drift
from metis.operate.knowledge import COVERED, Knowledge, fold
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import value
from metis.problem.objectives import Objective
from metis.problem.oracle import OracleWorth
from metis.problem.space import ColocationSpace
from metis.simulate.simulator import SMALLEST_SHARE

__all__ = ["Inspection", "Knowledge", "LiveMeasurement", "Thresholds", "fold", "inspect_running"]

DRAWS = 200  # of what may truly be


@dataclass(frozen=True)
class LiveMeasurement:
    """A measurement of running co-locations.

    Attributes:
        profile: a row per co-location that was measured, the median where several nodes hold it; may have
            no rows.
        silent: what could not be measured, by node, and why.
    """

    profile: Profile
    silent: Mapping[str, str] = field(default_factory=dict)


Measure = Callable[[IntArray], LiveMeasurement]  # measures the nodes with these rows of the placement


@dataclass(frozen=True)
class Thresholds:
    """The thresholds beyond which a measurement counts as drift, and a better placement is proposed.

    Attributes:
        level: share of sound measurements that an interval holds.
        noise: deviation of the log-RPS of one measurement.
        remeasure: drifted co-locations measured a second time, at most.
        min_gain: share of the value that another placement must gain to be proposed.
        confidence: share of what may truly be that the interval of the gain holds; its low end must exceed
            the cost of the moves.
        move_cost: of moving one container, by application, float64 [apps]; None for nothing.
    """

    level: float = 0.99
    noise: float = 0.05
    remeasure: int = 2
    min_gain: float = 0.01
    confidence: float = 0.9
    move_cost: FloatArray | None = None


@dataclass(frozen=True)
class Inspection:
    """The result of one inspection of what runs.

    Attributes:
        fresh: what was measured, a row per co-location.
        silent: what could not be measured, by node, and why.
        drifted: measurements that left their interval, also when measured again, the farthest first.
        calmed: co-locations that left it once and came back when measured again, in words.
        remeasured: co-locations measured again, in words.
        units: what an application reaches alone now, as a share of what it did, where that drifted and it
            runs alone somewhere; all its measurements are divided by it.
        known: the knowledge after this inspection.
        value: of the running placement, by what is known now.
        best: value of the best placement, by what is known now.
        low: the same if unmeasured co-locations reach only the low end of their 80 % interval.
        interval: of the gain in value, by the stated confidence.
        cost: of the moves.
        proposal: the best placement, int [nodes, apps]; None where it gains less than the threshold, or the
            low end of its gain less than its moves cost.
        unmeasured: nodes of the best placement whose co-location was never measured, or not since an
            application in it drifted.
    """

    fresh: Profile
    silent: Mapping[str, str]
    drifted: tuple[Drift, ...]
    calmed: tuple[str, ...]
    remeasured: tuple[str, ...]
    units: Mapping[str, float]
    known: Knowledge
    value: float
    best: float
    low: float
    interval: tuple[float, float]
    cost: float
    proposal: IntArray | None
    unmeasured: int

    @property
    def gain(self) -> float:
        """The gain of the best placement, as a share of the running one's value."""
        return self.best / self.value - 1 if self.value > 0 else 0.0

    @property
    def gain_low(self) -> float:
        """The gain if unmeasured co-locations reach only the low end of their interval."""
        return self.low / self.value - 1 if self.value > 0 else 0.0

    def _share(self, difference: float) -> float:
        """A difference in value as a share of the running placement's."""
        return difference / self.value if self.value > 0 else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The numbers and words of the inspection, JSON-able; profile, belief and proposal are left out."""
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
            "gain_interval": [self._share(end) for end in self.interval],
            "cost": self._share(self.cost),
            "proposed": self.proposal is not None,
            "unmeasured": self.unmeasured,
        }


def inspect_running(
    known: Knowledge,
    running: IntArray,
    cluster: Cluster,
    measure: Measure,
    objective: Objective,
    plan: Plan,
    thresholds: Thresholds | None = None,
) -> Inspection:
    """Measure what runs, update the knowledge, and plan anew; what runs is not changed.

    Args:
        known: the knowledge so far.
        running: what runs, int [nodes, apps].
        cluster: the nodes and rules, nothing in place: every container may be proposed to move.
        measure: measures the co-locations of nodes, given the rows of these nodes, int [n].
        objective: what a placement is worth; one that needs RPS alone, the only quantity known here.
        plan: (worth [size], group, cluster) -> placement [nodes, apps], as good as can be: the optimum.
        thresholds: beyond which a measurement counts as drift.

    Raises:
        InputError: nothing runs, or an objective that needs more than RPS.
        SurroundingsError: nothing could be measured at all.
    """
    thresholds = thresholds or Thresholds()
    others = [name for name in objective.needs if name != "rps"]
    if others:
        raise InputError(f"watching models RPS, objective {objective.kind} needs {', '.join(others)} too")
    if not running.any():
        raise InputError("nothing runs; deploy a placement first")
    first = measure(np.flatnonzero(running.any(axis=1)))
    if not len(first.profile):
        reasons = "; ".join(f"{node}: {why}" for node, why in first.silent.items())
        raise SurroundingsError(f"nothing that runs could be measured ({reasons})")
    words = [describe_colocation(row, known.base.apps) for row in running]
    chosen = _suspects(known, first.profile, thresholds)
    again = np.array([row for row, held in enumerate(words) if held in chosen], dtype=np.int64)
    second = measure(again) if chosen else LiveMeasurement(first.profile.rows([]))
    both = join_profiles(first.profile, second.profile, first.profile.provenance)
    units = _units(known, both, second.profile, thresholds)
    fresh = _divided(both, units)
    drifted = _confirmed(known, fresh, _divided(second.profile, units), thresholds)
    still = {one.colocation for one in drifted} | {f"1 {app}" for app in units}
    after = known.after(fresh, drifted)
    group = running.sum(axis=0)
    worth, low = (objective.bind(group, cluster, tables) for tables in after.tables())
    best = plan(worth, group, cluster)
    before, reached = value(running, cluster, worth), value(best, cluster, worth)
    interval = gain_interval(after, running, best, cluster, objective, thresholds.confidence)
    each = np.zeros(len(group)) if thresholds.move_cost is None else thresholds.move_cost
    cost = float(np.maximum(running - best, 0).sum(axis=0) @ each)
    pays = reached > before and reached >= before * (1 + thresholds.min_gain) and interval[0] > cost
    return Inspection(
        fresh=fresh,
        silent={**first.silent, **second.silent},
        drifted=tuple(drifted),
        calmed=tuple(held for held in chosen if held not in still),
        remeasured=tuple(chosen),
        units=units,
        known=after,
        value=before,
        best=reached,
        low=value(best, cluster, low),
        interval=interval,
        cost=cost,
        proposal=best if pays else None,
        unmeasured=_unmeasured(after, best),
    )


@dataclass(frozen=True)
class _Drawn:
    """An oracle of RPS as they may be.

    Attributes:
        space: of the co-locations.
        rps: of those that are asked for, the empty one first, float64 [n, apps].
    """

    space: ColocationSpace
    rps: FloatArray

    def quantities_of(self, colocations: IntArray, names: Sequence[str]) -> Mapping[str, FloatArray]:
        """See `metis.problem.oracle.Oracle`."""
        del colocations
        return dict.fromkeys(names, self.rps)


def gain_interval(
    known: Knowledge,
    running: IntArray,
    better: IntArray,
    cluster: Cluster,
    objective: Objective,
    confidence: float,
) -> tuple[float, float]:
    """Return the interval of what another placement gains, by what is known and how well, in value.

    RPS are drawn log-normal by their deviation, the same on all nodes of one co-location.

    Args:
        known: of co-locations.
        running: what runs, int [nodes, apps].
        better: the other placement, int [nodes, apps].
        cluster: the nodes.
        objective: one that needs RPS alone.
        confidence: share of the draws that the interval holds.
    """
    space = known.base.space
    change = np.bincount(space.index(better), minlength=space.size).astype(np.float64)
    change -= np.bincount(space.index(running), minlength=space.size)
    ids = np.flatnonzero(change)
    ids = ids[ids > 0]
    if not len(ids):
        return 0.0, 0.0
    expected, low = (tables.rps[ids] for tables in known.tables())
    reach = NormalDist().inv_cdf(0.5 + COVERED / 2)
    ratio = np.maximum(expected, SMALLEST_SHARE) / np.maximum(low, SMALLEST_SHARE)
    deviation = np.maximum(np.log(ratio) / reach, known.noise)  # measured rows have the noise of a run
    rng, group = np.random.default_rng(0), running.sum(axis=0)
    gains = []
    for _ in range(DRAWS):
        rps = expected * np.exp(deviation * rng.standard_normal(expected.shape))
        oracle = _Drawn(space, np.concatenate([np.zeros((1, len(group))), rps]))
        worth = OracleWorth(objective, group, cluster, oracle).of(space.counts[ids])
        gains.append(float(change[ids] @ worth))
    tail = (1 - confidence) / 2
    return float(np.quantile(gains, tail)), float(np.quantile(gains, 1 - tail))


def _unmeasured(known: Knowledge, placement: IntArray) -> int:
    """The number of nodes whose co-location was never measured, or not since an application in it drifted."""
    space = known.base.space
    recorded = set(space.index(known.profile.colocations).tolist()) | {0}
    columns = sorted(known.drifted)
    return sum(
        int(i) not in recorded or (int(i) not in known.seen and bool(counts[columns].any()))
        for i, counts in zip(space.index(placement), placement, strict=True)
    )


def _drifted(known: Knowledge, fresh: Profile, thresholds: Thresholds) -> list[Drift]:
    if not len(fresh):
        return []
    return drift(known.profile, fresh, thresholds.noise, thresholds.level, known.belief)


def _suspects(known: Knowledge, first: Profile, thresholds: Thresholds) -> list[str]:
    """The co-locations to measure again, in words: first stand-alone ones, by which others are divided."""
    units = _units(known, first, first.rows([]), thresholds)
    drifted = _drifted(known, _divided(first, units), thresholds)
    found = [f"1 {app}" for app in units] + [one.colocation for one in drifted]
    return list(dict.fromkeys(found))[: thresholds.remeasure]


def _units(known: Knowledge, both: Profile, second: Profile, thresholds: Thresholds) -> dict[str, float]:
    """Stand-alone RPS of applications now, as a share of what it was, where it left its interval both times.

    Alone, normalised RPS is 1 by definition: when it is not, the machine or the application changed, and
    all other RPS of the application must be divided by what it reaches alone now.
    """
    left = _confirmed(known, _alone(both), _alone(second), thresholds)
    return {one.app: one.measured for one in left if one.measured > 0}


def _alone(profile: Profile) -> Profile:
    return profile.rows(profile.colocations.sum(axis=1) == 1)


def _divided(profile: Profile, units: Mapping[str, float]) -> Profile:
    if not units or not len(profile):
        return profile
    return replace(profile, rps=profile.rps / np.array([units.get(app, 1.0) for app in profile.apps]))


def _confirmed(known: Knowledge, both: Profile, second: Profile, thresholds: Thresholds) -> list[Drift]:
    """The drift found by both measurements together, and by the second alone where there is one."""
    repeated = {describe_colocation(row, second.apps) for row in second.colocations}
    again = {(one.colocation, one.app) for one in _drifted(known, second, thresholds)}
    return [
        one
        for one in _drifted(known, both, thresholds)
        if one.colocation not in repeated or (one.colocation, one.app) in again
    ]
