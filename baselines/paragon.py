"""Paragon: greedy placement by how much interference applications tolerate and cause.

Delimitrou and Kozyrakis, ASPLOS 2013, as the paper compares with it: the sources of
interference are the applications themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from baselines.constraints import (
    Constraint,
    Constraints,
    ConstraintsSettings,
    constraints_of,
    find_constraints,
)
from baselines.contract import Entry, Materials
from baselines.pairwise import pairwise_curves
from baselines.stepwise import place_stepwise
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import PlaceFunction
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.settings import Seed, settings

EXACT = 9  # decimals: scores are small fractions, so what differs by less is a tie


@settings("paragon")
class ParagonSettings:
    """How Paragon scores and breaks ties.

    Attributes:
        sources: `constraints` (as published) or `profile` (measured from the simulator's tables).
        sensitivity: scores are moved towards harmless by this factor, 1 for not at all.
        drop: for `profile`: the share of RPS whose loss an application does not tolerate.
        seed: of the choice between nodes that tie.
    """

    sources: Literal["constraints", "profile"] = "constraints"
    sensitivity: Annotated[float, Ge(1), Le(1000)] = 3.0
    drop: Annotated[float, Gt(0), Lt(1)] = 0.05
    seed: Seed = 0


@dataclass(frozen=True)
class Scores:
    """Interference of every application with every source, both float [apps, sources], 0 to 1.

    Attributes:
        tolerated: how much of a source's interference an application tolerates.
        caused: how much an application contributes to it.
    """

    tolerated: FloatArray
    caused: FloatArray


def paragon_scheduler(
    constraints: Constraints, settings: ParagonSettings | None = None, tables: Tables | None = None
) -> PlaceFunction:
    """Return Paragon as a function (group, cluster, worth) -> (placement, trace); blind to `worth`.

    Args:
        constraints: their cardinalities give the scores of `sources="constraints"`.
        settings: None for the defaults.
        tables: the simulator's tables, for `sources="profile"` only.

    Raises:
        InputError: `profile` without tables.
    """
    chosen = settings or ParagonSettings()
    if chosen.sources == "profile":
        if tables is None:
            raise InputError("paragon.sources 'profile' measures the simulator's tables: give them")
        constraints = profile_constraints(tables, chosen.drop)
    ranks: dict[ColocationSpace, IntArray] = {}

    def place(group: IntArray, cluster: Cluster, worth: FloatArray) -> tuple[IntArray, Mapping[str, Any]]:
        del worth
        space = cluster.space
        if space not in ranks:
            constraints.check_space(space)
            ranks[space] = node_ranks(make_scores(constraints, space.slots, chosen.sensitivity), space)
        rank, rng = ranks[space], np.random.default_rng(chosen.seed)
        never = np.iinfo(np.int64).max

        def choose(app: int, ids: IntArray, admitted: NDArray[np.bool_]) -> int:
            order = np.where(admitted, rank[ids, app], never)
            nearest = np.flatnonzero(order == order.min())
            return int(nearest[rng.integers(len(nearest))])

        return place_stepwise(group, cluster, choose), {"sources": chosen.sources}

    return place


def make_scores(constraints: Constraints, slots: int, sensitivity: float = 3.0) -> Scores:
    """Make scores from the cardinality constraints (affinities do not enter).

    s tolerates threshold / slots of source c, or all of it where there is no constraint; c causes the rest
    at source s. Both are then rescaled towards harmless.
    """
    apps = len(constraints.apps)
    tolerated = np.ones((apps, apps))
    for item, s, c in zip(constraints.items, *constraints.columns, strict=True):
        if not item.at_least:
            tolerated[s, c] = min(tolerated[s, c], item.threshold / slots)
    caused = 1 - tolerated.T
    return Scores((tolerated + sensitivity - 1) / sensitivity, caused / sensitivity)


def profile_constraints(tables: Tables, drop: float = 0.05) -> Constraints:
    """Find what each application tolerates of each other: add neighbours until its RPS falls by `drop`.

    This is how Paragon profiles: it raises the intensity of one source until the performance suffers. The
    result is put as cardinalities, so that one function makes scores of either.
    """
    found = find_constraints(pairwise_curves(tables), tables.space.apps, drop)
    items: list[Constraint] = [item for item in found.items if not item.at_least]
    return Constraints(found.apps, tuple(items))


def node_ranks(scores: Scores, space: ColocationSpace) -> IntArray:
    """Rank a node with every co-location for a newcomer, int [space.size, apps]; the least is chosen.

    A node tolerates the least that its applications tolerate (an empty one everything) and causes the sum
    over its containers. With D1 = what the node tolerates - what the newcomer causes and D2 = what the
    newcomer tolerates - what the node causes, sources are visited from the one that the newcomer causes
    most: each keeps the nodes where neither is negative, or those nearest to that where there is none.
    Of the nodes left the one of least L1 norm of D1 and D2 is taken. Filtering one source after
    another is sorting by their shortfalls in that order, which this does once per co-location.
    """
    counts = space.counts
    tolerates = np.where(counts[:, :, None] > 0, scores.tolerated, 1.0).min(axis=1)
    causes = counts @ scores.caused
    ranks = np.empty((space.size, len(space.apps)), dtype=np.int64)
    for app in range(len(space.apps)):
        d1 = tolerates - scores.caused[app]
        d2 = scores.tolerated[app] - causes
        shortfall = np.maximum(-d1, 0) + np.maximum(-d2, 0)
        norm = (np.abs(d1) + np.abs(d2)).sum(axis=1)
        visited = np.argsort(-scores.caused[app], kind="stable")
        ranks[:, app] = _dense_rank(np.column_stack([shortfall[:, visited], norm]))
    return ranks


def _dense_rank(keys: FloatArray) -> IntArray:
    """Rank the rows, compared from the first column on; equal rows share one."""
    keys = np.round(keys, EXACT)
    order = np.lexsort(keys.T[::-1])
    new = (np.diff(keys[order], axis=0) != 0).any(axis=1)
    rank = np.empty(len(keys), dtype=np.int64)
    rank[order] = np.concatenate([[0], np.cumsum(new)])
    return rank


def _build(materials: Materials) -> PlaceFunction:
    constraints = constraints_of(materials.tables, materials.settings("constraints", ConstraintsSettings))
    return paragon_scheduler(constraints, materials.settings("paragon", ParagonSettings), materials.tables)


SCHEDULER = Entry(_build, ("paragon", "constraints"))
