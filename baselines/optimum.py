"""The exact optimum: the integer program over co-location counts, with its proof.

Where nodes differ it is over what each kind of node may receive, as long as that can be enumerated.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from baselines.contract import Entry, Materials, Progress, WideMaterials
from baselines.greedy import place_greedy
from baselines.local_search import improve
from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import problem_of
from metis.problem.scheduler import Placed, PlaceFunction, WidePlaceFunction
from metis.problem.worth import Worth
from metis.program.colocation_program import solve_colocation_program
from metis.settings import settings


@settings("optimum")
class OptimumSettings:
    """When a placement counts as proven, and when to stop.

    Attributes:
        gap: relative gap between the placement's value and the bound.
        time_limit: seconds per group.
    """

    gap: Annotated[float, Ge(0), Lt(1)] = 1e-6
    time_limit: Annotated[float, Gt(0)] = 120.0


def place_optimum(
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: OptimumSettings | None = None,
    progress: Progress | None = None,
) -> tuple[IntArray, Mapping[str, Any]]:
    """Find the best placement there is of `group` [apps] for `worth` [space.size].

    The search begins with what greedy and local search find, from nothing and from the relaxation rounded
    down, so that at the time limit there is a placement, with its bound.

    Returns:
        The placement, int [nodes, apps], and `bound` (nothing is better), `lp_bound`, `proven`.

    Raises:
        InputError: no placement satisfies the rules.
        SolverError: none was found within the time limit, neither here nor greedily.
    """
    settings = settings or OptimumSettings()
    found = solve_colocation_program(
        worth,
        group,
        cluster,
        time_limit=settings.time_limit,
        mip_rel_gap=settings.gap,
        complete=partial(_complete, group, cluster, worth),
        progress=progress,
    )
    return found.placement, {"bound": found.bound, "lp_bound": found.lp_bound, "proven": found.proven}


def _complete(group: IntArray, cluster: Cluster, worth: FloatArray, part: IntArray) -> IntArray | None:
    """Place greedily what `part` leaves, and improve all; None where rules lead into a dead end."""
    begun = replace(cluster, existing=cluster.existing + part)
    try:
        rest, _ = place_greedy(group - part.sum(axis=0), begun, worth)
    except PlacementError:
        return None
    return improve(part + rest, cluster, worth)[0]


def place_optimum_by_kinds(
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray | Worth,
    settings: OptimumSettings | None = None,
    progress: Progress | None = None,
) -> Placed:
    """Find the best placement there is of `group` [apps] on nodes that differ; see `solve_kinds_program`.

    Returns:
        The placement, int [nodes, apps], and `bound` (nothing is better), `bound_kind`, `lp_bound`, `proven`;
        of nodes that differ `duals`, see `metis.program.shadow_prices`.

    Raises:
        InputError: no placement satisfies the rules, of nodes that differ it names a smallest set of them; or
            what nodes may receive is too much to enumerate.
        SolverError: none was found within the time limit.
    """
    from metis.program.contradiction import refuse_unplaced
    from metis.program.kinds_program import check_enumerable, solve_kinds_program
    from metis.program.shadow_prices import duals_of

    settings = settings or OptimumSettings()
    check_enumerable(group, cluster)
    problem, kind_of = problem_of(group, cluster, worth)
    try:
        found, relaxed = solve_kinds_program(
            problem,
            kind_of,
            time_limit=settings.time_limit,
            mip_rel_gap=settings.gap,
            progress=progress,
        )
    except InputError:
        refuse_unplaced(group, cluster)
        raise
    trace: dict[str, Any] = {
        "bound": found.bound,
        "bound_kind": "proven",
        "lp_bound": found.lp_bound,
        "proven": found.proven,
    }
    if cluster.stated is not None:
        trace["duals"] = duals_of(problem, relaxed).document()
    return found.placement, trace


def _build(materials: Materials) -> PlaceFunction:
    settings = materials.settings("optimum", OptimumSettings)
    return partial(place_optimum, settings=settings, progress=materials.progress)


def _build_wide(materials: WideMaterials) -> WidePlaceFunction:
    settings = materials.settings("optimum", OptimumSettings)
    return partial(place_optimum_by_kinds, settings=settings, progress=materials.progress)


SCHEDULER = Entry(_build, ("optimum",), wide=_build_wide, wide_sections=("optimum",))
