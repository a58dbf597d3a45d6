"""A trial rehearsed on a testbed that knows the truth: measurements are drawn, nothing is deployed."""

from dataclasses import dataclass, field

import numpy as np

from metis.operate.trial_journal import Load
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.evaluation import reached_on
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables


@dataclass
class Rehearsal:
    """Placements measured by a model, with noise.

    Attributes:
        cluster: its nodes.
        known: the truth of the testbed, tables or an oracle.
        nodes: names of the nodes.
        noise: deviation of the logarithm of one container's RPS.
        seed: of the noise.
        done: loads made before, so that a trial that goes on draws what it would have drawn.
        shared: deviation of the logarithm of a load that all its containers share.
        seconds: that a load would take.
    """

    cluster: Cluster
    known: Tables | Oracle
    nodes: tuple[str, ...]
    noise: float
    seed: int
    done: int = 0
    shared: float = 0.0
    seconds: float = 0.0
    _runs: IntArray = field(init=False)

    def __post_init__(self) -> None:
        self._runs = np.zeros_like(self.cluster.existing)

    def clock(self) -> float:
        """Return the seconds that all loads so far would have taken."""
        return self.done * self.seconds

    def deploy(self, placement: IntArray) -> int:
        """See `metis.operate.trial_rounds.Site.deploy`."""
        started = int(np.maximum(placement - self._runs, 0).sum())
        self._runs = placement
        return started

    def measure(self) -> Load:
        """See `metis.operate.trial_rounds.Site.measure`; RPS alone is 1."""
        rng = self._next()
        truth = reached_on(self._runs, self.cluster, self.known)
        factor = float(np.exp(self.shared * rng.standard_normal()))
        found = []
        for node, row in enumerate(self._runs):
            apps = np.repeat(np.arange(len(row)), row)
            rps = truth[node, apps] * factor * np.exp(self.noise * rng.standard_normal(len(apps)))
            names = self.cluster.space.apps
            found += [
                (self.nodes[node], slot, names[a], float(value))
                for slot, (a, value) in enumerate(zip(apps.tolist(), rps, strict=True))
            ]
        return Load(tuple(found))

    def alone(self, app: str) -> Load:
        """See `metis.operate.trial_rounds.Site.alone`; what is placed stays."""
        noise = float(np.hypot(self.noise, self.shared))
        return Load(((self.nodes[0], 0, app, float(np.exp(noise * self._next().standard_normal()))),))

    def _next(self) -> np.random.Generator:
        self.done += 1
        return np.random.default_rng([self.seed, self.done - 1])
