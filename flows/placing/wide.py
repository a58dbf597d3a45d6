"""Placing and judging where co-locations are too many to tabulate: worth by an oracle, a bound by columns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flows.configuration.settings import Settings
from flows.engine.work import Progress
from flows.placing.decisions import Decisions, cluster_before
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.evaluation import evaluate, gap
from metis.problem.kinds import problem_of
from metis.problem.oracle import Oracle, worth_of
from metis.problem.worth import Worth

if TYPE_CHECKING:
    import pandas as pd

    from metis.problem.counts import FloatArray

COLUMNS = "columns"


def bound_of(
    group: IntArray, cluster: Cluster, worth: "FloatArray | Worth", settings: Settings
) -> tuple[float, str]:
    """Return a bound on all placements, and whether it is `proven` or `estimated`.

    Args:
        group: containers to place, int [apps].
        cluster: where to.
        worth: of co-locations.
        settings: `columns`.
    """
    from metis.program.column_program import bound_by_columns

    problem, kind_of = problem_of(group, cluster, worth)
    chosen = settings.columns
    relaxed = bound_by_columns(problem, kind_of, width=chosen.width, seconds=chosen.seconds)
    return relaxed.bound, relaxed.bound_kind


def judge_wide(
    decisions: Mapping[str, Decisions],
    settings: Settings,
    oracle: Oracle,
    groups: IntArray,
    progress: Progress,
) -> "pd.DataFrame":
    """Return one row per scheduler and group, as `flows.placing.comparison.judge` does.

    Columns: scheduler, group, rps, value, bound, bound_kind, ratio (value / bound), gap (1 - ratio),
    free_nodes, slo_<level>. The bound is that of the scheduler `columns` where it is among those that placed.

    Args:
        decisions: by scheduler.
        settings: cluster, objective and `columns`.
        oracle: the simulator.
        groups: int [groups, apps].
        progress: called after every group.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for i, group in enumerate(groups):
        bound, kind = 0.0, ""
        judged: list[dict[str, Any]] = []
        for name, decided in decisions.items():
            cluster = cluster_before(decided, i, settings, oracle)
            worth = worth_of(settings.objective, group, cluster, oracle)
            if settings.groups.arrive or not kind:
                known = _known_bound(decisions, i, settings)
                bound, kind = known or bound_of(group, cluster, worth, settings)
            found = evaluate(decided.placements[i], cluster, oracle, worth)
            own = max(bound, found.value)  # an estimated bound may be passed
            judged.append(
                {
                    "scheduler": name,
                    "group": i,
                    "rps": found.rps,
                    "value": found.value,
                    "bound": own,
                    "bound_kind": kind,
                    "free_nodes": found.free_nodes,
                    **{f"slo_{level}": share for level, share in found.slo.items()},
                }
            )
        if not settings.groups.arrive:  # one bound for all
            highest = max(row["bound"] for row in judged)
            judged = [row | {"bound": highest} for row in judged]
        for row in judged:
            row["gap"] = gap(row["value"], row["bound"])
            row["ratio"] = 1 - row["gap"]
        rows += judged
        progress("bound", i + 1, len(groups))
    return pd.DataFrame(rows)


def _known_bound(decisions: Mapping[str, Decisions], i: int, settings: Settings) -> tuple[float, str] | None:
    """Return the bound that the scheduler `columns` found for group i, where all met the same cluster."""
    if settings.groups.arrive or COLUMNS not in decisions:
        return None
    trace = decisions[COLUMNS].traces[i]
    return float(trace["bound"]), str(trace["bound_kind"])
