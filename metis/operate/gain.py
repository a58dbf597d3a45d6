"""The gain of a placement over what runs, as an interval: by what is known of co-locations, and how well."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from metis.operate.knowledge import COVERED, Knowledge
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import Objective
from metis.problem.oracle import OracleWorth
from metis.problem.space import ColocationSpace
from metis.simulate.simulator import SMALLEST_SHARE

DRAWS = 200  # of what may truly be


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
