"""Passive learning: rows of a profile, and aggressors, from what containers in service report of themselves."""

from dataclasses import dataclass
from functools import cached_property
from math import erf, sqrt
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.measure.circumstances import DISTURBED
from metis.measure.profile import Profile, make_profile
from metis.measure.readings import Readings
from metis.measure.sensitivity import Estimate, Sensitivity, learn_sensitivity
from metis.problem.counts import IntArray

HURT = 0.9  # normalised RPS under full load below which a container is hurt
SURE = 0.95  # chance with which an aggressor is named
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


@dataclass(frozen=True)
class Learnt:
    """What the readings of containers in service show.

    Attributes:
        readings: blocks of them.
        sensitivities: one per application that was seen.
        slots: of a node.
    """

    readings: Readings
    sensitivities: tuple[Sensitivity, ...]
    slots: int

    @cached_property
    def profile(self) -> Profile:
        """The co-locations that were in service, as if measured under full load; alone, RPS is 1.

        `weight` is such that an ensemble adds a row's standard error (root mean square over its
        applications) to what it doubts; `spread` is over the nodes that held the same.
        """
        apps = self.readings.apps
        rows: dict[tuple[int, ...], dict[int, Estimate]] = {}
        for one in self.sensitivities:
            for made in one.estimates:
                rows.setdefault((made.node, *made.counts.tolist()), {})[one.app] = made
        whole = {key: found for key, found in rows.items() if len(found) == np.count_nonzero(key[1:])}
        seen = np.array([one.app for one in self.sensitivities], dtype=np.int64)
        counts = [np.eye(len(apps), dtype=np.int64)[a] for a in seen.tolist()]
        shares, weights = [np.where(row > 0, 1.0, np.nan) for row in counts], [1.0] * len(counts)
        for key, found in whole.items():
            if sum(key[1:]) == 1:
                continue
            counts.append(np.array(key[1:], dtype=np.int64))
            shares.append(np.full(len(apps), np.nan))
            shares[-1][list(found)] = [np.exp(one.rps) for one in found.values()]
            variance = np.mean([one.spread**2 for one in found.values()])
            weights.append(float(1 / (1 + variance / DISTURBED**2)))
        measures = {"rps": np.array(shares)}
        conditions = {"weight": np.array(weights)}
        return make_profile(apps, self.slots, np.array(counts), measures, self._provenance, conditions)

    @property
    def _provenance(self) -> dict[str, Any]:
        alone = {self.readings.apps[one.app]: 1 / one.seconds for one in self.sensitivities}
        time = self.readings.time
        return {
            "source": "metrics of containers in service",
            "nodes": len(np.unique(self.readings.node)),
            "hours": round((float(np.ptp(time)) + self.readings.interval) / 3600, 2),
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
    return Learnt(blocks, tuple(learn_sensitivity(blocks, a) for a in seen), slots or held)

