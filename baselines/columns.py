"""Columns: column generation without learning, a dive, exchanges; it needs no table of co-locations."""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from baselines.contract import Entry, Materials, Progress, WideMaterials
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem, problem_of
from metis.problem.scheduler import Placed
from metis.problem.worth import Worth
from metis.settings import settings

Place = Callable[[IntArray, Cluster, FloatArray | Worth], Placed]


@settings("columns")
class ColumnsSettings:
    """How columns are searched, and when to stop.

    Attributes:
        width: co-locations of equally many containers that a search pursues at first; it grows where the
            proof needs more.
        seconds: wall time per group, from the placement that it begins with to the last rounding; one step of
            a long search may pass it.
        prove: whether limits are sought that prove the bound, which takes longer than finding the columns;
            null: by `columns` of fewer than 64 applications, whose limits may close; not by `metis`.
        quick: whether rounding ends 0.25 % below the bound, or after a quarter of its attempts; null: by
            `metis` of fewer than 64 applications, not by `columns`.
    """

    width: Annotated[int, Ge(1), Le(1_000_000)] = 1024
    seconds: Annotated[float, Gt(0)] = 120.0
    prove: bool | None = None
    quick: bool | None = None


def place_columns(
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray | Worth,
    settings: ColumnsSettings | None = None,
    progress: Progress | None = None,
    predict: Callable[[Problem], FloatArray] | None = None,
) -> Placed:
    """Place `group` [apps] by column generation on `worth`, a table [space.size] or an oracle.

    Args:
        group: containers to place, int [apps].
        cluster: where to.
        worth: of co-locations.
        settings: of the search.
        progress: receives what is known midway.
        predict: gives prices [apps] to begin with, as a learner does.

    Returns:
        The placement, int [nodes, apps], and `bound`, `bound_kind` (`proven` or `estimated`), `rounds`,
        `columns`, `priced`; of nodes that differ `duals`, see `metis.program.shadow_prices`.

    Raises:
        InputError: no placement satisfies the rules; of nodes that differ it names a smallest set of them.
    """
    from metis.program.column_program import FULL, QUICK, solve_column_program
    from metis.program.contradiction import refuse_unplaced
    from metis.program.shadow_prices import duals_of

    settings = settings or ColumnsSettings()
    problem, kind_of = problem_of(group, cluster, worth)
    try:
        found = solve_column_program(
            problem,
            kind_of,
            width=settings.width,
            seconds=settings.seconds,
            progress=progress,
            prices=predict(problem) if predict else None,
            proving=proves(problem, settings, learned=predict is not None),
            effort=QUICK if hurries(problem, settings, learned=predict is not None) else FULL,
        )
    except InputError:
        refuse_unplaced(group, cluster)
        raise
    trace: dict[str, Any] = {
        "bound": found.bound,
        "bound_kind": found.bound_kind,
        "rounds": found.rounds,
        "columns": found.columns,
        "priced": found.priced,
    }
    if cluster.stated is not None:
        trace["duals"] = duals_of(problem, found.relaxed).document()
    return found.placement, trace


def proves(problem: Problem, settings: ColumnsSettings, *, learned: bool = False) -> bool:
    """Whether limits are sought that prove the bound.

    Args:
        problem: what is placed where.
        settings: that say so, or leave it to be decided: then where limits may close.
        learned: whether prices were learned to save time.
    """
    from metis.program.generation import fills_master

    if settings.prove is not None:
        return settings.prove
    return not learned and not fills_master(problem)


def hurries(problem: Problem, settings: ColumnsSettings, *, learned: bool) -> bool:
    """Whether rounding ends early: where the settings say so, or prices were learned to save time."""
    from metis.program.generation import fills_master

    if settings.quick is not None:
        return settings.quick
    return learned and not fills_master(problem)


def _build(materials: Materials | WideMaterials) -> Place:
    chosen = materials.settings("columns", ColumnsSettings)
    return partial(place_columns, settings=chosen, progress=materials.progress)


SCHEDULER = Entry(_build, ("columns",), wide=_build, wide_sections=("columns",))
