"""The watch over a running placement: what drifted, what is known now, which placement is better."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, SurroundingsError
from metis.measure.profile import MEASURES, Profile, make_profile
from metis.measure.testbed import join_profiles
from metis.operate.diagnosis import Diagnosis, diagnose, nearer
from metis.operate.drift import Drift, drift, expectation
from metis.operate.gain import gain_interval
from metis.operate.knowledge import Knowledge, fold
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import value
from metis.problem.objectives import Objective
from metis.simulate.simulator import SMALLEST_SHARE

__all__ = ["Inspection", "Knowledge", "LiveMeasurement", "Thresholds", "fold", "inspect_running"]


@dataclass(frozen=True)
class LiveMeasurement:
    """A measurement of running co-locations.

    Attributes:
        profile: a row per co-location that was measured, the median where several nodes hold it; may have
            no rows.
        silent: what could not be measured, by node, and why.
        by_node: by row of the placement, what was measured on that node alone, a profile of one row; empty
            where it is not known, and then no node can be distinguished from an application.
    """

    profile: Profile
    silent: Mapping[str, str] = field(default_factory=dict)
    by_node: Mapping[int, Profile] = field(default_factory=dict)

    def of(self, rows: Sequence[int]) -> Profile:
        """What was measured on some nodes, a row per co-location."""
        chosen = [self.by_node[row] for row in rows if row in self.by_node]
        if not chosen:
            return self.profile.rows([])
        parts = {name: np.concatenate([getattr(one, name) for one in chosen]) for name in MEASURES}
        counts = np.concatenate([one.colocations for one in chosen])
        first = chosen[0]
        return make_profile(first.apps, first.slots, counts, parts, self.profile.provenance)


Plan = Callable[[FloatArray, IntArray, Cluster, NDArray[np.bool_]], IntArray]
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
        fresh: what is learned from, a row per co-location.
        measured: co-locations that were measured, with those of which nothing is learned.
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
        diagnosis: what changed as a whole: nodes and what all share, of which nothing is learned, and
            applications.
        names: of the nodes.
    """

    fresh: Profile
    measured: int
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
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    names: tuple[str, ...] = ()

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
            "colocations": self.measured,
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
            "bad_nodes": {self.names[row]: share for row, share in self.diagnosis.nodes.items()},
            "everything": self.diagnosis.everything,
            "changed": {self.fresh.apps[a]: share for a, share in self.diagnosis.apps.items()},
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
    names: Sequence[str] = (),
) -> Inspection:
    """Measure what runs, update the knowledge, and plan anew; what runs is not changed.

    Args:
        known: the knowledge so far.
        running: what runs, int [nodes, apps].
        cluster: the nodes and rules, nothing in place: every container may be proposed to move.
        measure: measures the co-locations of nodes, given the rows of these nodes, int [n].
        objective: what a placement is worth; one that needs RPS alone, the only quantity known here.
        plan: (worth [size], group, cluster, which nodes may take part [nodes]) -> placement [nodes, apps], as
            good as can be; other nodes keep what they hold.
        thresholds: beyond which a measurement counts as drift.
        names: of the nodes; numbers where none are given.

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
    seen = _diagnosis(known, first, LiveMeasurement(first.profile.rows([])), thresholds)
    chosen = _suspects(known, _sound(first, seen), thresholds)
    again = _again(words, first, seen, chosen, thresholds)
    second = measure(again) if len(again) else LiveMeasurement(first.profile.rows([]))
    found = _diagnosis(known, first, second, thresholds)
    one, other = _sound(first, found), _sound(second, found)
    both = join_profiles(one, other, first.profile.provenance)
    units = _units(known, both, other, thresholds)
    fresh = _divided(both, units)
    drifted = _confirmed(known, fresh, _divided(other, units), thresholds)
    still = {one.colocation for one in drifted} | {f"1 {app}" for app in units}
    after = known.after(fresh, drifted)
    group = running.sum(axis=0)
    worth, low = (objective.bind(group, cluster, tables) for tables in after.tables())
    # what slows everything no move can escape, and a bad node is to be mended, not planned around
    free = np.zeros(len(running), dtype=bool)
    free[found.sound(range(len(running)))] = True
    best = plan(worth, group, cluster, free) if free.any() else running
    before, reached = value(running, cluster, worth), value(best, cluster, worth)
    interval = gain_interval(after, running, best, cluster, objective, thresholds.confidence)
    each = np.zeros(len(group)) if thresholds.move_cost is None else thresholds.move_cost
    cost = float(np.maximum(running - best, 0).sum(axis=0) @ each)
    pays = reached > before and reached >= before * (1 + thresholds.min_gain) and interval[0] > cost
    return Inspection(
        fresh=fresh,
        measured=len(join_profiles(first.profile, second.profile, first.profile.provenance)),
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
        diagnosis=found,
        names=tuple(names) or tuple(f"node {row}" for row in range(len(running))),
    )


def _sound(live: LiveMeasurement, found: Diagnosis) -> Profile:
    """What can be learned from of what was measured."""
    if not live.by_node or (found.everything is None and not found.nodes):
        return live.profile
    return live.of(found.sound(list(live.by_node)))


def _again(
    words: Sequence[str],
    first: LiveMeasurement,
    found: Diagnosis,
    chosen: Sequence[str],
    thresholds: Thresholds,
) -> IntArray:
    """The nodes to measure again: those of suspect co-locations, and those that are thought to be bad."""
    bad = list(first.by_node) if found.everything is not None else list(found.nodes)
    if not thresholds.remeasure:
        return np.array([], dtype=np.int64)
    held = [row for row, one in enumerate(words) if one in chosen]
    return np.array(sorted({*held, *bad}), dtype=np.int64)


def _diagnosis(
    known: Knowledge, first: LiveMeasurement, second: LiveMeasurement, thresholds: Thresholds
) -> Diagnosis:
    """What changed as a whole, by both measurements of a node where there are two."""
    if not first.by_node:
        return Diagnosis()
    rows = list(first.by_node)
    shape = (max(rows) + 1, len(known.base.apps))
    residuals, deviation = np.full(shape, np.nan), np.ones(shape)
    for row in rows:
        apart = []
        for live in (first, second):
            if row in live.by_node:
                measured = live.by_node[row]
                mean, about = expectation(
                    known.profile, thresholds.noise, thresholds.level, known.belief, measured
                )
                log = np.log(np.maximum(measured.rps, SMALLEST_SHARE))
                apart.append((log - mean)[0])
                deviation[row] = np.maximum(about[0], 1e-6)
        residuals[row] = apart[0] if len(apart) == 1 else nearer(*apart)
    return diagnose(residuals, deviation)


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
