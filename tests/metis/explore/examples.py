"""Three applications to explore, and a testbed that makes trouble."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metis.errors import SurroundingsError
from metis.explore.loop import Exploration, ExploreSettings, explore
from metis.measure.profile import Profile
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import MeanRps, Objective
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.program.colocation_program import solve_colocation_program

TABLE = """
pressures: [cpu]
apps:
  cache: {company: -0.05, presence: {cache: 0, web: 0, batch: -0.1}, demand: {cpu: 1}, knee: {cpu: 1},
          effect: {cpu: -0.25},
          latency: {p50_alone: 0.1, p50_exponent: 1.1, p99_alone: 0.3, p99_exponent: 1.2}}
  web: {company: 0, presence: {cache: 0.5, web: 0, batch: 0}, demand: {cpu: 0.7}, knee: {cpu: 2},
        effect: {cpu: -0.2},
        latency: {p50_alone: 0.5, p50_exponent: 1.0, p99_alone: 1.1, p99_exponent: 1.1}}
  batch: {company: -0.02, presence: {cache: 0, web: -0.15, batch: 0}, demand: {cpu: 1.5}, knee: {cpu: 1},
          effect: {cpu: -0.15},
          latency: {p50_alone: 2.0, p50_exponent: 1.0, p99_alone: 4.0, p99_exponent: 1.0}}
"""
GROUP = np.array([9, 11, 8])
FEW = {"budget": 30, "start_size": 12, "per_round": 3, "repeats": 2}


def plan(worth: FloatArray, group: IntArray, cluster: Cluster) -> IntArray:
    return solve_colocation_program(worth, group, cluster, mip_rel_gap=1e-6).placement


RPS = MeanRps()
QUICK = ExploreSettings(budget=22, start_size=8, repeats=0, per_round=3, imagined=1, pause=0.0, seed=3)


def run(
    testbed: "EmbeddedTestbed | Troubled",
    settings: ExploreSettings,
    objective: Objective = RPS,
    **options: object,
) -> Exploration:
    wanted = [(GROUP, Cluster(testbed.space, 10)), (GROUP[::-1].copy(), Cluster(testbed.space, 9))]
    return explore(testbed, wanted, objective, plan, settings, wait=lambda seconds: None, **options)


@dataclass
class Troubled:
    """A testbed around another one, that spoils or refuses some of what it measures."""

    inner: EmbeddedTestbed
    spoilt: dict[int, float] = field(default_factory=dict)  # co-location -> what its RPS is measured as
    times: int = 10**9  # how often it spoils
    fails_after: int = 10**9  # calls until it cannot be reached
    calls: int = 0

    @property
    def space(self) -> ColocationSpace:
        return self.inner.space

    def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
        self.calls += 1
        if self.calls > self.fails_after:
            raise SurroundingsError("node-3 does not answer")
        found = self.inner.measure(colocations, seed, repeats)
        rps = found.rps.copy()
        for row, i in enumerate(self.space.index(found.colocations)):
            if int(i) in self.spoilt and self.times > 0:
                self.times -= 1
                rps[row] = np.where(np.isfinite(rps[row]), self.spoilt[int(i)], np.nan)
        return replace(found, rps=rps)

    def truth(self, quantities: Sequence[str] = ("rps",)) -> Tables:
        return self.inner.truth(quantities)
