"""The exact optimum: the integer program over co-location counts, with its proof."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from baselines.contract import Entry, Materials, Progress
from baselines.greedy import place_greedy
from baselines.local_search import improve
from metis.errors import PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import PlaceFunction
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


def _build(materials: Materials) -> PlaceFunction:
    settings = materials.settings("optimum", OptimumSettings)
    return partial(place_optimum, settings=settings, progress=materials.progress)


SCHEDULER = Entry(_build, ("optimum",))
