"""A simulated day: what the containers of a placement report of themselves while their load rises and falls.

A container takes part of a node only while it works. At any moment the neighbours that press on it are those
that have a request in hand: with a container of c busy for a share u_c of the time, each of its n_c is there
with that chance, and a container's speed is its mean over the co-locations that so come about,

    speed_a(t) = E[rps(a beside those of its neighbours that are busy)],
    u_a(t) = min(1, demand_a / speed_a).

At full load that is the co-location's RPS of the testbed; where nothing else works, 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.measure.readings import Readings
from metis.measure.sensitivity import chances, parts_of
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace

ROUNDS = 5  # of speeds from shares and shares from speeds: they agree to 1 % after three
ALONE = (0.02, 2.0)  # seconds of work on a request, alone: applications lie between


@dataclass(frozen=True)
class DailyLoad:
    """How load rises and falls, drawn for every application by a seed.

    Attributes:
        low: demand of a container at night, as a share of what it serves alone, in the mean.
        high: likewise at its peak.
        uneven: deviation of the logarithm of a node's share of an application's load.
        interval: seconds between two readings.
        noise: deviation of the logarithm of the seconds in one reading; its requests have half of it.
        lasting: hours in which what made a reading odd is half gone; 0 where each is odd by itself.
    """

    low: float = 0.15
    high: float = 0.75
    uneven: float = 0.2
    interval: float = 300.0
    noise: float = 0.05
    lasting: float = 0.0


def simulate_day(
    space: ColocationSpace,
    rps: FloatArray,
    placement: IntArray,
    load: DailyLoad,
    seed: int,
    hours: float = 24.0,
    begin: float = 0.0,
) -> Readings:
    """What every container reports of a day under a placement.

    Args:
        space: co-locations.
        rps: the truth, normalised RPS of each co-location, float64 [size, apps].
        placement: containers on every node, int [nodes, apps]; it stays as it is.
        load: how the load of containers varies. Curves and the nodes' shares depend on `seed` alone.
        seed: of curves and noise.
        hours: how long.
        begin: hour at which it begins; the noise of another hour is another.
    """
    curves, alone = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    apps, nodes = len(space.apps), len(placement)
    phase = curves.uniform(0, 24, apps)
    shares = np.exp(load.uneven * curves.standard_normal((nodes, apps)))
    low, high = np.log(ALONE)
    work = np.exp(alone.uniform(low, high, apps))  # seconds
    times = begin + np.arange(round(hours * 3600 / load.interval)) * load.interval / 3600
    rhythm = (1 + np.cos(2 * np.pi * (times[:, None] - phase) / 24)) / 2
    demand = load.low + (load.high - load.low) * rhythm  # [times, apps]
    noise = np.random.default_rng([seed, 2, round(begin * 3600)])
    parts = []
    for n, counts in enumerate(placement):
        if not counts.any():
            continue
        wanted = demand * shares[n]
        speed = _speeds(space, rps, counts, wanted)
        served = np.minimum(wanted, speed)
        odd = _odd(load, noise, (2, *speed.shape))
        present = counts > 0
        parts.append(
            (
                np.full(len(times), n),
                times,
                np.tile(counts, (len(times), 1)),
                np.where(present, served / work * np.exp(odd[0] / 2), np.nan),
                np.where(present, work / np.maximum(speed, 1e-9) * np.exp(odd[1]), np.nan),
            )
        )
    node, time, held, rate, seconds = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Readings(space.apps, node, time * 3600, held, rate, seconds, load.interval)


def _speeds(space: ColocationSpace, rps: FloatArray, counts: IntArray, wanted: FloatArray) -> FloatArray:
    """The speed of a container of each application at every time, [times, apps]; 1 where absent."""
    share = np.minimum(wanted, 1.0) * (counts > 0)
    parts: list[tuple[int, IntArray, IntArray, FloatArray]] = []
    for a in np.flatnonzero(counts).tolist():
        one = np.eye(len(counts), dtype=np.int64)[a]
        some = parts_of(counts - one)
        parts.append((a, counts - one, some, rps[space.index(some + one), a]))
    speed = np.ones_like(wanted)
    for _ in range(ROUNDS):
        for a, beside, some, values in parts:
            speed[:, a] = chances(beside, some, share) @ values
        share = np.minimum(wanted / speed, 1.0) * (counts > 0)
    return speed


def _odd(load: DailyLoad, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[Any]:
    """Deviations of logarithms, [2, times, apps]; each follows the one before where they last."""
    drawn = load.noise * rng.standard_normal(shape)
    if load.lasting > 0:
        kept = 0.5 ** (load.interval / 3600 / load.lasting)
        for t in range(1, shape[1]):
            drawn[:, t] = kept * drawn[:, t - 1] + np.sqrt(1 - kept**2) * drawn[:, t]
    return drawn
