"""Medea: an integer program that minimises the violation of interference constraints.

Garefalakis et al., EuroSys 2018, as the paper compares with it. Three formulations share
one optimum: `container` is the published one, `aggregate` counts containers per node and application,
`colocation` counts nodes per co-location and is exact within seconds at any size.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from numpy.typing import NDArray

from baselines.constraints import Constraint, Constraints, ConstraintsSettings, constraints_of
from baselines.contract import Entry, Materials
from metis.errors import InputError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.groups import check_group
from metis.problem.scheduler import PlaceFunction
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import ROUNDING, ProgramResult, relative_gap, solve_colocation_program
from metis.settings import Seed, settings

PUBLISHED_WEIGHTS = (("Redis", "MMS", 2.0), ("Redis", "ISR", 2.0))
TIE_GAP = 0.05  # a random cost only has to pick one of many placements, not the best of them


@settings("medea")
class MedeaSettings:
    """How Medea is solved.

    Attributes:
        formulation: `container` (as published), `aggregate` or `colocation`: same optimum, different size.
        weights: (app, other, weight) of ordered pairs; None for the published ones, as far as these
            applications are there; empty for the constraints' own.
        time_limit: seconds of wall time to minimise the violation.
        mip_rel_gap: gap at which the solver may stop.
        draws: seeded random costs that break Medea's ties (`colocation` only); the placement of median
            value is the one returned. 0 for the first placement that the solver meets.
        seed: of these costs.
        ends: whether a comparison also finds the worst and the best value at least violation
            (`medea_ends`), which is no part of a decision.
    """

    formulation: Literal["container", "aggregate", "colocation"] = "colocation"
    weights: tuple[tuple[str, str, float], ...] | None = None
    time_limit: Annotated[float, Gt(0)] = 60.0
    mip_rel_gap: Annotated[float, Ge(0), Lt(1)] = 1e-6
    draws: Annotated[int, Ge(0), Le(999)] = 9
    seed: Seed = 0
    ends: bool = False


@dataclass(frozen=True)
class MedeaResult:
    """A placement of least violation.

    Attributes:
        placement: new containers, int [nodes, apps].
        value: its weighted extent of violation.
        bound: no placement has less.
        gap: relative distance of the two.
        proven: whether the gap is at most `mip_rel_gap`.
        seconds: wall time.
    """

    placement: IntArray
    value: float
    bound: float
    gap: float
    proven: bool
    seconds: float


@dataclass(frozen=True)
class MedeaRange:
    """Values of the placements of least violation, between which Medea is indifferent.

    Attributes:
        minimum: the least violation (weighted extent).
        draws: value per random tie-break, float [draws].
        median: their median (the lower one of an even number).
        worst: the least value at minimum violation, proven to a gap of 1e-4 or nearly so.
        best: the greatest.
        placement: the draw of median value, int [nodes, apps].
        worst_placement: placement of value `worst`.
        best_placement: placement of value `best`.
    """

    minimum: float
    draws: FloatArray
    median: float
    worst: float
    best: float
    placement: IntArray
    worst_placement: IntArray
    best_placement: IntArray


def medea_scheduler(constraints: Constraints, settings: MedeaSettings | None = None) -> PlaceFunction:
    """Return Medea as a function (group, cluster, worth) -> (placement, trace); `worth` only ranks its ties.

    The trace states the violation (`weighted`, `extent`, `count`, `total`), `bound`, `gap`, `proven`,
    `solve_seconds` (without the tie-breaks) and `draws`, the values of the tie-breaks.
    """
    chosen = settings or MedeaSettings()

    def place(group: IntArray, cluster: Cluster, worth: FloatArray) -> tuple[IntArray, Mapping[str, Any]]:
        found = solve_medea(constraints, group, cluster, chosen)
        placement, values = found.placement, np.zeros(0)
        if chosen.formulation == "colocation" and chosen.draws:
            draws = _draws(constraints, group, cluster, chosen, found)
            placement, values = _median(draws, cluster, worth)
        weighted = weigh(constraints, chosen)
        trace = {
            "formulation": chosen.formulation,
            "bound": found.bound,
            "gap": found.gap,
            "proven": found.proven,
            "solve_seconds": found.seconds,
            "draws": values.tolist(),
        }
        return placement, trace | weighted.violations(placement, cluster).as_dict()

    return place


def solve_medea(
    constraints: Constraints, group: IntArray, cluster: Cluster, settings: MedeaSettings
) -> MedeaResult:
    """Place `group` [apps] with the least weighted violation, in the formulation of `settings`.

    Raises:
        InputError: constraints of other applications, hard constraints that contradict one another (names
            them), or no placement that satisfies the rules.
        SolverError: no placement was found within the time limit.
    """
    start = perf_counter()
    check_group(group, cluster)
    weighted = weigh(constraints, settings)
    cost = weighted.extent_table(cluster.space)
    check_hard(weighted, group, cluster)
    try:
        placement, bound = _least(weighted, cost, group, cluster, settings)
    except InputError as error:
        hard = [str(item) for item in weighted.items if item.hard]
        raise InputError(f"{error}; hard constraints: {'; '.join(hard)}" if hard else str(error)) from None
    except SolverError as error:
        raise SolverError(
            f"medea ({settings.formulation}, {cluster.nodes} nodes, {group.sum()} containers, "
            f"{settings.time_limit:g} s): {error}"
        ) from None
    violation = value(placement, cluster, cost)
    if (cost == np.round(cost)).all():
        bound = float(np.ceil(bound - 1e-6))
    bound = min(max(bound, 0.0) + 0.0, violation)  # no violation is negative, nor is zero
    gap = relative_gap(violation, bound)
    return MedeaResult(
        placement, violation, bound, gap, gap <= settings.mip_rel_gap + ROUNDING, perf_counter() - start
    )


def medea_range(
    constraints: Constraints,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: MedeaSettings | None = None,
) -> MedeaRange:
    """Find the values that placements of least violation can have, by `worth` [space.size].

    Median over the seeded tie-breaks (9 unless `settings` says otherwise), worst and best by integer
    programs of their own.

    Raises:
        SolverError: the least violation, the worst or the best was not found within the time limit.
    """
    chosen = settings or MedeaSettings()
    weighted = weigh(constraints, chosen)
    found = solve_medea(constraints, group, cluster, chosen)
    placement, values = _median(_draws(constraints, group, cluster, chosen, found), cluster, worth)
    worst, best = _ends(weighted, found.value, group, cluster, worth, chosen)
    return MedeaRange(
        minimum=found.value,
        draws=values,
        median=value(placement, cluster, worth),
        worst=worst.value,
        best=best.value,
        placement=placement,
        worst_placement=worst.placement,
        best_placement=best.placement,
    )


def medea_ends(
    constraints: Constraints,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: MedeaSettings | None = None,
) -> tuple[float, float]:
    """Find the least and the greatest value, by `worth` [space.size], of placements of least violation.

    Raises:
        SolverError: one of the three programs found nothing within the time limit.
    """
    chosen = settings or MedeaSettings()
    found = solve_medea(constraints, group, cluster, chosen)
    worst, best = _ends(weigh(constraints, chosen), found.value, group, cluster, worth, chosen)
    return worst.value, best.value


def _ends(
    weighted: Constraints,
    least: float,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: MedeaSettings,
) -> tuple[ProgramResult, ProgramResult]:
    cost, bounded = weighted.extent_table(cluster.space), _bounded(weighted, cluster)
    worst, best = (
        solve_colocation_program(
            worth,
            group,
            bounded,
            minimise=minimise,
            time_limit=settings.time_limit,
            mip_rel_gap=1e-4,
            extra=(cost, least),
        )
        for minimise in (True, False)
    )
    return worst, best


def weigh(constraints: Constraints, settings: MedeaSettings) -> Constraints:
    """Return the constraints with the weights that `settings` gives them."""
    if settings.weights is not None:
        return constraints.weighted(settings.weights)
    known = set(constraints.apps)
    return constraints.weighted([pair for pair in PUBLISHED_WEIGHTS if {pair[0], pair[1]} <= known])


def check_hard(constraints: Constraints, group: IntArray, cluster: Cluster) -> None:
    """Refuse hard constraints under which an application of `group` fits on no node at all.

    Raises:
        InputError: names the application and a smallest set of constraints that contradict one another.
    """
    hard = [item for item in constraints.items if item.hard]
    space = cluster.space
    within = (space.counts <= group + cluster.existing.sum(axis=0)).all(axis=1)
    for a in np.flatnonzero(group).tolist():
        holds = within & (space.counts[:, a] > 0)
        if _admits(hard, holds & cluster.allowed, space):
            continue
        by_rules = _admits(hard, holds, space)
        conflict = _smallest_conflict(hard, holds & cluster.allowed if by_rules else holds, space)
        named = [str(item) for item in conflict] + ["the cluster's rules"] * by_rules
        raise InputError(f"no node can hold {space.apps[a]}: contradicting constraints: {'; '.join(named)}")


def _admits(hard: list[Constraint], candidates: NDArray[np.bool_], space: ColocationSpace) -> bool:
    """Whether one of the co-locations `candidates` [size] keeps all of `hard`."""
    return bool((candidates & Constraints(space.apps, tuple(hard)).mask(space)).any())


def _smallest_conflict(
    hard: list[Constraint], candidates: NDArray[np.bool_], space: ColocationSpace
) -> list[Constraint]:
    """Return a part of `hard` that excludes all `candidates` [size], and no smaller part of which does."""
    conflict = list(hard)
    for item in hard:
        rest = [kept for kept in conflict if kept is not item]
        if not _admits(rest, candidates, space):
            conflict = rest
    return conflict


def _least(
    weighted: Constraints, cost: FloatArray, group: IntArray, cluster: Cluster, settings: MedeaSettings
) -> tuple[IntArray, float]:
    limits = (settings.time_limit, settings.mip_rel_gap)
    from baselines.medea_models import solve_aggregate_model, solve_container_model

    if settings.formulation == "container":
        return solve_container_model(group, cluster, weighted, *limits)
    if settings.formulation == "aggregate":
        return solve_aggregate_model(group, cluster, weighted, *limits)
    result = solve_colocation_program(
        cost,
        group,
        _bounded(weighted, cluster),
        minimise=True,
        time_limit=settings.time_limit,
        mip_rel_gap=settings.mip_rel_gap,
    )
    return result.placement, result.bound


def _draws(
    constraints: Constraints, group: IntArray, cluster: Cluster, settings: MedeaSettings, found: MedeaResult
) -> list[IntArray]:
    """Return placements no worse than `found`, each the cheapest under random costs per co-location.

    Together they take at most the settings' time limit; a draw that does not end in time is left out.
    """
    end = perf_counter() + settings.time_limit
    weighted = weigh(constraints, settings)
    cost, bounded = weighted.extent_table(cluster.space), _bounded(weighted, cluster)
    placements = []
    for draw in range(settings.draws):
        random = np.random.default_rng([settings.seed, draw]).random(cluster.space.size)
        left = end - perf_counter()
        if left <= 0:
            break
        try:
            result = solve_colocation_program(
                random,
                group,
                bounded,
                minimise=True,
                time_limit=left,
                mip_rel_gap=TIE_GAP,
                extra=(cost, found.value),
            )
        except SolverError:
            continue
        placements.append(result.placement)
    return placements or [found.placement]


def _median(placements: list[IntArray], cluster: Cluster, worth: FloatArray) -> tuple[IntArray, FloatArray]:
    values = np.array([value(placement, cluster, worth) for placement in placements])
    return placements[int(np.argsort(values, kind="stable")[(len(values) - 1) // 2])], values


def _bounded(weighted: Constraints, cluster: Cluster) -> Cluster:
    """Return the cluster with the hard constraints among its rules."""
    allowed = cluster.allowed & weighted.mask(cluster.space)
    return Cluster(cluster.space, cluster.nodes, cluster.existing, allowed)


def _build(materials: Materials) -> PlaceFunction:
    constraints = constraints_of(materials.tables, materials.settings("constraints", ConstraintsSettings))
    return medea_scheduler(constraints, materials.settings("medea", MedeaSettings))


SCHEDULER = Entry(_build, ("medea", "constraints"))
