"""The value of a placement, and its evaluation: RPS, SLO shares, free nodes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of
from metis.problem.oracle import Oracle, known_on, types_of
from metis.problem.tables import Tables
from metis.problem.worth import Worth

SLO_LEVELS = (0.90, 0.95, 1.00)


@dataclass(frozen=True)
class Evaluation:
    """How good a placement is, judged on given tables.

    Attributes:
        rps: mean normalised RPS over all containers, existing ones included.
        value: the objective's value (the sum of `worth` over nodes).
        slo: share of containers at or above each SLO level, keyed "0.90", ...
        free_nodes: nodes that hold no container.
        container_rps: normalised RPS of every container, float64 [containers].
    """

    rps: float
    value: float
    slo: dict[str, float]
    free_nodes: int
    container_rps: FloatArray


def evaluate(
    placement: IntArray,
    cluster: Cluster,
    known: Tables | Oracle,
    worth: FloatArray | Worth,
    levels: Sequence[float] = SLO_LEVELS,
) -> Evaluation:
    """Judge a placement on predicted or true quantities.

    Args:
        placement: new containers, int [nodes, apps]; those in place are added.
        cluster: nodes and what runs there.
        known: tables with `rps`, or an oracle.
        worth: of every co-location by the objective, float64 [size], or an oracle.
        levels: the SLO levels of interest, shares of the stand-alone RPS.
    """
    total = placement + cluster.existing
    reached = reached_on(total, cluster, known)
    rps = np.repeat(reached.ravel(), total.ravel())
    return Evaluation(
        rps=float(rps.mean()) if rps.size else 0.0,
        value=value(placement, cluster, worth),
        slo={f"{level:.2f}": float((rps >= level).mean()) if rps.size else 0.0 for level in levels},
        free_nodes=int((total.sum(axis=1) == 0).sum()),
        container_rps=rps,
    )


def reached_on(
    total: IntArray, cluster: Cluster, known: Tables | Oracle, quantity: str = "rps"
) -> FloatArray:
    """Return a quantity of each application on each node, by the node's type where types are distinguished.

    Args:
        total: all containers, int [nodes, apps].
        cluster: nodes.
        known: tables or an oracle.
        quantity: by name.

    Returns:
        float64 [nodes, apps]; 0 where absent.
    """
    if cluster.stated is not None and types_of(known):
        found = np.zeros(total.shape)
        for t, name in enumerate(cluster.stated.types):
            of_type = cluster.stated.type_of == t
            found[of_type] = reached(total[of_type], known_on(known, name), quantity)
        return found
    return reached(total, known, quantity)


def reached(total: IntArray, known: Tables | Oracle, quantity: str = "rps") -> FloatArray:
    """Return a quantity of each application in `total` [n, apps], float64 of the same shape, types aside."""
    if isinstance(known, Tables):
        return np.asarray(known.quantity(quantity)[known.space.index(total)])
    return known.quantities_of(total, (quantity,))[quantity]


def value(placement: IntArray, cluster: Cluster, worth: FloatArray | Worth) -> float:
    """The value of a placement: the worth of its nodes' co-locations, summed, less what soft rules take.

    Args:
        placement: new containers, int [nodes, apps]; those in place are added.
        cluster: nodes and what runs there.
        worth: of every co-location, float64 [size], or an oracle.
    """
    if cluster.stated is not None:
        problem, kind_of = problem_of(placement.sum(axis=0), cluster, worth)
        return problem.value(kind_of, placement)
    total = placement + cluster.existing
    worths = worth[cluster.space.index(total)] if isinstance(worth, np.ndarray) else worth.of(total)
    return float(worths.sum())


def gap(reached: float, bound: float) -> float:
    """1 - value reached / bound, the share of the bound that is missed; 0 where the bound is 0 or less."""
    missed = 1.0 - reached / bound if bound > 0 else 0.0
    return missed if abs(missed) > 1e-12 else 0.0  # less is rounding, and would print as -0.000 %
