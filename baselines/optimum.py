"""The exact optimum: the integer program over co-location counts, with its proof."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.program.colocation_program import solve_colocation_program


@dataclass(frozen=True)
class OptimumSettings:
    """When to call an answer proven, and when to stop.

    Attributes:
        gap: relative gap between the placement's value and the bound.
        time_limit: seconds per group.
    """

    gap: float = 1e-6
    time_limit: float = 120.0

    def __post_init__(self) -> None:
        if not 0 <= self.gap < 1 or self.time_limit <= 0:
            raise InputError(
                f"optimum.gap {self.gap:g}, time_limit {self.time_limit:g}: give 0 to 1 and > 0 s"
            )


def place_optimum(
    group: IntArray, cluster: Cluster, worth: FloatArray, settings: OptimumSettings | None = None
) -> tuple[IntArray, Mapping[str, Any]]:
    """The best placement there is of `group` [apps] for `worth` [space.size].

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
