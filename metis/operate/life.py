"""The life of a cluster, drawn by a seed: containers come and go, nodes fail and return, the truth drifts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.operate.settings import DAY, WeekSettings
from metis.problem.counts import FloatArray, IntArray

SPARE = 0.05  # share of the slots that stay free whatever arrives


@dataclass(frozen=True)
class Life:
    """What happens to a cluster, whoever places its containers; the same for all policies.

    Attributes:
        app: application of every container, int [containers].
        born: hour at which it arrives, int [containers]; 0 for one that is there at first.
        gone: hour at which it leaves, int [containers]; `hours` or more for one that stays.
        up: whether a node is there, bool [hours, nodes].
        strength: exponent of the RPS of every application beside others, float64 [hours, apps]: 1 as
            profiled, more where it suffers (and gains) more than it did.
        hazard: chance that a container leaves within an hour, by application, float64 [apps].
        arriving: containers that arrive in an hour, in the mean, float64 [apps].
    """

    app: IntArray
    born: IntArray
    gone: IntArray
    up: NDArray[np.bool_]
    strength: FloatArray
    hazard: FloatArray
    arriving: FloatArray

    @property
    def hours(self) -> int:
        """How long it lasts."""
        return len(self.up)

    def running(self, hour: int) -> IntArray:
        """Return the containers that are there in an hour, by application, int [apps]."""
        there = (self.born <= hour) & (self.gone > hour)
        return np.bincount(self.app[there], minlength=self.strength.shape[1])


def draw_life(settings: WeekSettings, nodes: int, slots: int, apps: int, seed: int) -> Life:
    """Draw a life.

    Applications hold equal shares of the cluster in the mean and live for different times. Arrivals are
    Poisson with a daily rhythm, lives are exponential, as are the times until a node fails and returns.
    What would not leave 5 % of the slots free does not arrive.

    Args:
        settings: how many, how long, how often.
        nodes: of the cluster.
        slots: of a node.
        apps: number of applications.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    lives = settings.life * np.exp(rng.uniform(-1, 1, apps) * np.log(settings.life_spread))
    up = _draw_nodes(settings, nodes, rng)
    strength = _draw_strength(settings, apps, rng)
    rate = settings.load * nodes * slots / apps / lives
    room = np.floor((1 - SPARE) * slots * up.sum(axis=1)).astype(np.int64)
    if settings.load * nodes * slots < 1:
        raise InputError(f"week.load {settings.load:g}: less than one container on {nodes} nodes")
    first = rng.multinomial(min(round(settings.load * nodes * slots), room[0]), np.full(apps, 1 / apps))
    app: list[int] = []
    born: list[int] = []
    gone: list[int] = []
    for hour in range(settings.hours):
        rhythm = 1 + settings.rhythm * np.sin(2 * np.pi * hour / DAY)
        counts = first if hour == 0 else rng.poisson(rate * rhythm)
        there = sum(end > hour for end in gone)
        # capacity that a node takes with it is short while it is away
        for a in rng.permutation(np.repeat(np.arange(apps), counts))[: max(room[hour] - there, 0)]:
            app.append(int(a))
            born.append(hour)
            gone.append(hour + max(1, int(np.ceil(rng.exponential(lives[a])))))
    made = Life(np.array(app), np.array(born), np.array(gone), up, strength, 1 - np.exp(-1 / lives), rate)
    return _with_room(made, slots)


def _draw_nodes(settings: WeekSettings, nodes: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    up = np.ones((settings.hours, nodes), dtype=bool)
    if settings.node_life is None:
        return up
    for node in range(nodes):
        hour = rng.exponential(settings.node_life)
        while hour < settings.hours:
            back = hour + max(1.0, rng.exponential(settings.repair))
            up[int(np.ceil(hour)) : int(np.ceil(back)), node] = False
            hour = back + rng.exponential(settings.node_life)
    up[0] = True
    return up


def _with_room(life: Life, slots: int) -> Life:
    """Return a life in which nodes fail only while what runs fits on the others."""
    up = life.up.copy()
    for hour in range(life.hours):
        needed = -(-int(life.running(hour).sum()) // slots)
        down = np.flatnonzero(~up[hour])
        up[hour, down[: max(needed - int(up[hour].sum()), 0)]] = True
    return Life(life.app, life.born, life.gone, up, life.strength, life.hazard, life.arriving)


def _draw_strength(settings: WeekSettings, apps: int, rng: np.random.Generator) -> FloatArray:
    """An Ornstein-Uhlenbeck walk of the logarithm around 0, which is 0 in the first hour."""
    keep = np.exp(-1 / settings.drift_hours)
    step = settings.drift * np.sqrt(1 - keep**2)
    walk = np.zeros((settings.hours, apps))
    for hour in range(1, settings.hours):
        walk[hour] = keep * walk[hour - 1] + step * rng.standard_normal(apps)
    return np.exp(walk)
