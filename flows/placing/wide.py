"""Placing and judging where co-locations are too many to tabulate: worth by an oracle, a bound by columns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from baselines.columns import proves
from flows.configuration.settings import Settings
from flows.engine.work import Progress
from flows.placing.comparison import ratio
from flows.placing.decisions import Decisions, cluster_before
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.evaluation import evaluate, gap, value
from metis.problem.kinds import problem_of
from metis.problem.oracle import Oracle, worth_of
from metis.problem.tables import Tables
from metis.problem.worth import Worth

if TYPE_CHECKING:
    import pandas as pd

    from metis.problem.counts import FloatArray
    from metis.program.shadow_prices import Duals

COLUMNS = "columns"
BOUNDING = ("optimum", COLUMNS)  # schedulers that record a bound of theirs, the tightest first


class Bound(NamedTuple):
    """A bound on all placements.

    Attributes:
        value: no placement is better, as far as `kind` goes.
        kind: `proven` or `estimated`.
        duals: prices of the relaxation; None where they were not kept.
    """

    value: float
    kind: str
    duals: "Duals | None" = None


def bound_of(group: IntArray, cluster: Cluster, worth: "FloatArray | Worth", settings: Settings) -> Bound:
    """Return a bound on all placements by columns.

    Args:
        group: containers to place, int [apps].
        cluster: where to.
        worth: of co-locations.
        settings: `columns`.
    """
    from metis.program.column_program import bound_by_columns
    from metis.program.shadow_prices import duals_of

    problem, kind_of = problem_of(group, cluster, worth)
    chosen = settings.columns
    relaxed = bound_by_columns(
        problem, kind_of, width=chosen.width, seconds=chosen.seconds, proving=proves(problem, chosen)
    )
    duals = None if cluster.stated is None else duals_of(problem, relaxed)
    return Bound(relaxed.bound, relaxed.bound_kind, duals)


def bound_in(trace: Mapping[str, Any]) -> Bound:
    """Return the bound that a scheduler of `BOUNDING` recorded in its trace where worth is by an oracle."""
    from metis.program.shadow_prices import Duals

    duals = Duals.of(trace["duals"]) if "duals" in trace else None
    return Bound(float(trace["bound"]), str(trace["bound_kind"]), duals)


def judge_wide(
    decisions: Mapping[str, Decisions],
    settings: Settings,
    known: Tables | Oracle,
    groups: IntArray,
    progress: Progress,
    truth: Tables | Oracle | None = None,
    drawn: Sequence[Tables | Oracle] = (),
) -> "pd.DataFrame":
    """Return one row per scheduler and group, as `flows.placing.comparison.judge` does.

    Columns: scheduler, group, rps, value, bound, bound_kind, ratio (value / bound), gap (1 - ratio),
    free_nodes, slo_<level>; with a testbed also true_rps, true_value, true_best (a bound on it), true_ratio.
    The bound is that of `optimum` or `columns` where one of them is among those that placed. Of a simulator
    that knows its errors drawn_<k>, the value were its k-th draw true.

    Args:
        decisions: by scheduler.
        settings: cluster, objective and `columns`.
        known: the simulator, by tables or an oracle.
        groups: int [groups, apps].
        progress: called after every group.
        truth: the testbed's tables or oracle, where it judges beside the simulator.
        drawn: what could be true as well, of a simulator that knows its errors.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for i, group in enumerate(groups):
        bound, kind = 0.0, ""
        judged: list[dict[str, Any]] = []
        for name, decided in decisions.items():
            cluster = cluster_before(decided, i, settings, known)
            worth = worth_of(settings.objective, group, cluster, known)
            if settings.groups.arrive or not kind:
                # of the cluster as each meets it, where groups arrive
                found_already = None if settings.groups.arrive else known_bound(decisions, i)
                bound, kind, _ = found_already or bound_of(group, cluster, worth, settings)
            found = evaluate(decided.placements[i], cluster, known, worth)
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
                    **_in_truth(decided.placements[i], group, cluster, settings, truth),
                    **_in_draws(decided.placements[i], group, cluster, settings, drawn),
                }
            )
        if not settings.groups.arrive:  # one bound for all
            highest = max(row["bound"] for row in judged)
            judged = [row | {"bound": highest} for row in judged]
        if truth is not None:
            _rate_in_truth(judged, group, cluster, settings, truth)
        for row in judged:
            row["gap"] = gap(row["value"], row["bound"])
            row["ratio"] = 1 - row["gap"]
        rows += judged
        progress("bound", i + 1, len(groups))
    return pd.DataFrame(rows)


def _in_draws(
    placement: IntArray,
    group: IntArray,
    cluster: Cluster,
    settings: Settings,
    drawn: Sequence[Tables | Oracle],
) -> dict[str, float]:
    """Return the value of a placement by each draw, in columns that `flows.report.intervals` reads."""
    worths = (worth_of(settings.objective, group, cluster, could_be) for could_be in drawn)
    return {f"drawn_{k}": value(placement, cluster, worth) for k, worth in enumerate(worths)}


def _in_truth(
    placement: IntArray,
    group: IntArray,
    cluster: Cluster,
    settings: Settings,
    truth: Tables | Oracle | None,
) -> dict[str, float]:
    """Return what the testbed knows of a placement; nothing where there is none."""
    if truth is None:
        return {}
    real = evaluate(placement, cluster, truth, worth_of(settings.objective, group, cluster, truth))
    slo = {f"true_slo_{level}": share for level, share in real.slo.items()}
    return {"true_rps": real.rps, "true_value": real.value, **slo}


def _rate_in_truth(
    judged: list[dict[str, Any]],
    group: IntArray,
    cluster: Cluster,
    settings: Settings,
    truth: Tables | Oracle,
) -> None:
    """Add to every row the bound by what the testbed knows, and the share of it that is reached."""
    worth = worth_of(settings.objective, group, cluster, truth)
    best = max(bound_of(group, cluster, worth, settings).value, *(row["true_value"] for row in judged))
    for row in judged:
        row |= {"true_best": best, "true_ratio": ratio(row["true_value"], best)}


def known_bound(decisions: Mapping[str, Decisions], i: int) -> Bound | None:
    """Return the bound that one of the schedulers found for group i; None where none of them knows one."""
    for name in BOUNDING:
        if name in decisions:
            return bound_in(decisions[name].traces[i])
    return None
