"""The exact optimum: the integer program over co-location counts, with its proof."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from baselines.contract import Entry, Materials
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
    group: IntArray, cluster: Cluster, worth: FloatArray, settings: OptimumSettings | None = None
) -> tuple[IntArray, Mapping[str, Any]]:
    """Find the best placement there is of `group` [apps] for `worth` [space.size].

    Returns:
        The placement, int [nodes, apps], and `bound` (nothing is better), `lp_bound`, `proven`.

    Raises:
        InputError: no placement satisfies the rules.
        SolverError: none was found within the time limit.
    """
    settings = settings or OptimumSettings()
    found = solve_colocation_program(
        worth, group, cluster, time_limit=settings.time_limit, mip_rel_gap=settings.gap
    )
    return found.placement, {"bound": found.bound, "lp_bound": found.lp_bound, "proven": found.proven}


def _build(materials: Materials) -> PlaceFunction:
    return partial(place_optimum, settings=materials.settings("optimum", OptimumSettings))


SCHEDULER = Entry(_build, ("optimum",))
