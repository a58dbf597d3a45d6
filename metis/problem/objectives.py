"""What a placement is worth: objectives that are sums over nodes, so that each has an exact optimum."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.tables import Tables


class Objective(Protocol):
    """A co-location's worth; a placement's value is the sum over its nodes. Always maximised."""

    @property
    def name(self) -> str:
        """Short name with its parameter, as shown in tables."""
        ...

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """The worth of every co-location, float64 [size], for this group on this cluster."""
        ...


@dataclass(frozen=True)
class MeanRps:
    """Mean normalised RPS over all containers, existing ones included."""

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return "rps"

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`."""
        return np.asarray((tables.space.counts * tables.rps).sum(axis=1) / _containers(group, cluster))


@dataclass(frozen=True)
class SloShare:
    """Share of containers whose normalised RPS is at least `level` (Metis, SC 2020, case study)."""

    level: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.level <= 10:
            raise InputError(f"objective.level {self.level:g}: an SLO is a share of stand-alone RPS, 0 to 10")

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return f"slo{self.level:.2f}"

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`."""
        met = tables.rps >= self.level
        return np.asarray((tables.space.counts * met).sum(axis=1) / _containers(group, cluster))


@dataclass(frozen=True)
class FreeNodes:
    """Mean RPS + `beta` x share of vacant nodes (Metis, SC 2020, case study)."""

    beta: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.beta <= 100:
            raise InputError(f"objective.beta {self.beta:g}: give 0 to 100")

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return f"free{self.beta:g}"

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`."""
        worth = MeanRps().bind(group, cluster, tables)
        worth[0] += self.beta / cluster.nodes
        return worth


@dataclass(frozen=True)
class Latency:
    """Mean of stand-alone p99 / p99 over the containers whose latency is measured."""

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return "latency"

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`.

        Raises:
            InputError: no application of this group has a measured latency; names them.
        """
        everyone = group + cluster.existing.sum(axis=0)
        left_out = unmeasured(tables)
        measured = np.array([app not in left_out for app in tables.space.apps])
        containers = everyone[measured].sum()
        if tables.speed is None or containers == 0:
            raise InputError(f"objective=latency: no latency was measured for {sorted(left_out)}")
        counts = tables.space.counts[:, measured]
        return np.asarray((counts * tables.speed[:, measured]).sum(axis=1) / float(containers))


def unmeasured(tables: Tables) -> set[str]:
    """The applications without a measured latency, by name."""
    if tables.speed is None:
        return set(tables.space.apps)
    return {
        app for app, column in zip(tables.space.apps, tables.speed.T, strict=True) if np.isnan(column).all()
    }


def _containers(group: IntArray, cluster: Cluster) -> float:
    return float(group.sum() + cluster.existing.sum())
