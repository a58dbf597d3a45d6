"""Passive learning: rows of a profile, and aggressors, from what containers in service report."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import erf, sqrt
from typing import Any, NamedTuple

import numpy as np

from metis.errors import InputError
from metis.measure.circumstances import DISTURBED
from metis.measure.profile import Profile, make_profile
from metis.measure.readings import Readings
from metis.measure.sensitivity import Estimate, Sensitivity, learn_sensitivity
from metis.problem.counts import FloatArray, IntArray

HURT = 0.9  # normalised RPS under full load below which a container is hurt
SURE = 0.95  # chance with which an aggressor is named
FEWER = 2  # containers above which co-locations of one less are derived: a container alone is 1
LEAST_RELIEF = 0.02  # of the logarithm of RPS: whoever gives back less is no aggressor


@dataclass(frozen=True)
class Hurt:
    """An application that its neighbours slow down on a node.

    Attributes:
        node: which node.
        counts: what it holds, int [apps].
        app: column of the application.
        rps: its normalised RPS under full load.
        spread: standard error of the logarithm of that.
        aggressor: column of the neighbour whose removal would help it most; None where that is not sure.
        sureness: chance that it is the one that helps most.
        relieved: normalised RPS under full load, were one container of the aggressor gone.
    """

    node: int
    counts: IntArray
    app: int
    rps: float
    spread: float
    aggressor: int | None
    sureness: float
    relieved: float


class _Row(NamedTuple):
    """A row of a profile: counts and logarithms of RPS, [apps] each, and what it counts as."""

    counts: IntArray
    logs: FloatArray
    weight: float


@dataclass(frozen=True)
class Learnt:
    """What the readings of containers in service show.

    Attributes:
        readings: blocks of them.
        sensitivities: one per application that was seen.
        slots: of a node.
        hours: that the samples cover.
    """

    readings: Readings
    sensitivities: tuple[Sensitivity, ...]
    slots: int
    hours: float

    @cached_property
    def profile(self) -> Profile:
        """The co-locations that were in service, as if measured under full load; alone, RPS is 1.

        And those that hold one container less, which hours of less load show. `weight` is such that an
        ensemble adds a row's standard error (root mean square over its applications) to what it doubts;
        `spread` is over the nodes that held the same.
        """
        apps = len(self.readings.apps)
        seen, fewer = self._rows()
        single = np.eye(apps, dtype=np.int64)[[one.app for one in self.sensitivities]]
        counts = np.vstack([single, *(row.counts for row in seen), *(row.counts for row in fewer)])
        shares = [np.where(single > 0, 1.0, np.nan), *(np.exp(row.logs) for row in [*seen, *fewer])]
        weights = np.append(np.ones(len(single)), [row.weight for row in [*seen, *fewer]])
        return make_profile(
            self.readings.apps,
            self.slots,
            counts,
            {"rps": np.vstack(shares)},
            self._provenance,
            {"weight": weights},
        )

    def _rows(self) -> tuple[list[_Row], list[_Row]]:
        """What each node held, and each co-location of one container less that no node held, once."""
        found: dict[tuple[int, ...], list[tuple[int, Estimate]]] = {}
        for one in self.sensitivities:
            for made in one.estimates:
                found.setdefault((made.node, *made.counts.tolist()), []).append((one.app, made))
        seen: list[_Row] = []
        fewer: dict[tuple[int, ...], list[_Row]] = {}
        for key, estimates in found.items():
            counts = np.array(key[1:], dtype=np.int64)
            if len(estimates) < np.count_nonzero(counts) or counts.sum() == 1:
                continue  # of one of its applications nothing is known, or it is alone
            seen.append(_row(counts, [(a, made.rps, made.spread) for a, made in estimates]))
            for gone in np.flatnonzero(counts) if counts.sum() > FEWER else []:
                left = counts - np.eye(len(counts), dtype=np.int64)[gone]
                values = [
                    (a, made.rps + made.relief[gone], made.relieved_spread[gone])
                    for a, made in estimates
                    if left[a]
                ]
                fewer.setdefault(tuple(left.tolist()), []).append(_row(left, values))
        held = {tuple(row.counts.tolist()) for row in seen}
        return seen, [_mean_row(rows) for key, rows in fewer.items() if key not in held]

    @property
    def _provenance(self) -> dict[str, Any]:
        alone = {self.readings.apps[one.app]: 1 / one.seconds for one in self.sensitivities}
        return {
            "source": "metrics of containers in service",
            "nodes": len(np.unique(self.readings.node)),
            "hours": round(self.hours, 2),
            "rps_alone": ", ".join(f"{app} {rps:.4g}" for app, rps in alone.items()),
        }

    def hurt(self, placement: IntArray | None = None) -> list[Hurt]:
        """The applications that are hurt, the worst first, each with its aggressor where that is sure.

        Args:
            placement: what runs, int [nodes, apps]: only what was seen there; None for all that was seen.
        """
        found = []
        for one in self.sensitivities:
            for made in one.estimates:
                now = placement is None or np.array_equal(placement[made.node], made.counts)
                if now and made.rps + made.spread < np.log(HURT):
                    found.append(_judged(one.app, made))
        return sorted(found, key=lambda each: each.rps)


def _row(counts: IntArray, values: Sequence[tuple[int, float, float]]) -> _Row:
    """A row of `(column, logarithm, standard error)`."""
    logs = np.full(len(counts), np.nan)
    logs[[a for a, _, _ in values]] = [log for _, log, _ in values]
    variance = float(np.mean([error**2 for _, _, error in values]))
    return _Row(counts, logs, 1 / (1 + variance / DISTURBED**2))


def _mean_row(rows: Sequence[_Row]) -> _Row:
    """Rows of one co-location as one; it counts as they do: most of their errors are the same."""
    weights = [row.weight for row in rows]
    return _Row(rows[0].counts, np.average([row.logs for row in rows], axis=0), float(np.mean(weights)))


def _judged(app: int, made: Estimate) -> Hurt:
    """An estimate with its aggressor: the one that helps most, and surely more than each of the others."""
    there = np.flatnonzero(np.isfinite(made.relief))
    best = int(there[np.argmax(made.relief[there])])
    sure = _chance(made.relief[best] - LEAST_RELIEF, made.covariance[best, best])
    for c in there[there != best].tolist():
        lead = made.relief[best] - made.relief[c]
        pair = made.covariance[np.ix_([best, c], [best, c])]
        sure = min(sure, _chance(lead, pair[0, 0] + pair[1, 1] - 2 * pair[0, 1]))
    named = best if sure >= SURE else None
    rps, relieved = np.exp(made.rps), np.exp(made.rps + made.relief[best])
    return Hurt(made.node, made.counts, app, float(rps), made.spread, named, sure, float(relieved))


def _chance(mean: float, variance: float) -> float:
    """The chance that a normal variable is above 0."""
    return (1 + erf(mean / sqrt(2 * max(variance, 1e-12)))) / 2


def learn(readings: Readings, slots: int | None = None) -> Learnt:
    """Learn from what containers in service reported.

    Args:
        readings: of one day or more.
        slots: of a node; None for the most containers that one held.

    Raises:
        InputError: there are no readings, or too few of an application; or a node holds more than `slots`.
    """
    held = int(readings.counts.sum(axis=1).max(initial=0))
    if not held:
        raise InputError("metrics: hold no container in service")
    if slots is not None and held > slots:
        raise InputError(f"metrics: a node holds {held} containers, cluster.slots is {slots}")
    blocks = readings.blocks()
    seen = np.flatnonzero(blocks.counts.any(axis=0)).tolist()
    hours = (float(np.ptp(readings.time)) + readings.interval) / 3600  # blocks begin and end outside of them
    return Learnt(blocks, tuple(learn_sensitivity(blocks, a) for a in seen), slots or held, hours)
