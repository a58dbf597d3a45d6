"""Comparison of placements with the exact optimum, on the simulator and on the testbed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from flows.configuration.settings import Settings
from flows.engine.work import Progress
from flows.placing.decisions import Decisions, Midway, cluster_before, place_groups, scheduler_for
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import evaluate, gap, value
from metis.problem.tables import Tables

if TYPE_CHECKING:
    import pandas as pd

OPTIMUM = "optimum"
FROM_TRACES = ("worst", "best", "updates", "episodes")


def place_optima(settings: Settings, truth: Tables, groups: IntArray, progress: Progress) -> Decisions:
    """Return the exact optimum of every group on the testbed's tables, not timed."""
    midway = Midway(partial(progress, "true optimum"))
    scheduler = scheduler_for(settings, OPTIMUM, truth, progress=midway)
    return place_groups(scheduler, settings, truth, groups, midway, timed=False)


def timings(decisions: Mapping[str, Decisions]) -> "pd.DataFrame":
    """Return the seconds of every decision: columns scheduler, group, seconds, cpu_seconds."""
    import pandas as pd

    rows = [
        {"scheduler": name, "group": i, "seconds": float(wall), "cpu_seconds": float(cpu)}
        for name, decided in decisions.items()
        for i, (wall, cpu) in enumerate(zip(decided.seconds, decided.cpu_seconds, strict=True))
    ]
    return pd.DataFrame(rows)


def judge(
    decisions: Mapping[str, Decisions],
    settings: Settings,
    tables: Tables,
    groups: IntArray,
    truth: Tables | None = None,
    true_optimum: Decisions | None = None,
    drawn: Sequence[Tables] = (),
) -> "pd.DataFrame":
    """Return one row per scheduler and group.

    Columns: scheduler, group, rps, value, bound, ratio (value / the optimum's value), gap (1 - value /
    bound), free_nodes, slo_<level>; with a testbed also true_rps, true_value, true_best (the value of the
    true optimum), true_ratio (true_value / true_best) and true_slo_<level>; with `medea.ends` worst and
    best, the values between which Medea is indifferent; of learners their updates and episodes; of a
    simulator that knows its errors drawn_<k>, the value were its k-th draw true. `ratio` measures against
    the optimum on the simulator's tables, which need not be the best in truth: `true_best` is the limit.

    Args:
        decisions: by scheduler; `optimum` must be among them.
        settings: cluster and objective.
        tables: the simulator's.
        groups: int [groups, apps].
        truth: the testbed's tables.
        true_optimum: the optimum's decisions on `truth`.
        drawn: tables that could be true as well, of a simulator that knows its errors.
    """
    import pandas as pd  # slow to import, and placing alone does not need it

    if truth is not None and truth.space != tables.space:
        raise InputError(
            f"testbed: measures {', '.join(truth.space.apps)} on {truth.space.slots} slots, "
            f"the profile {', '.join(tables.space.apps)} on {tables.space.slots}; both must be alike"
        )
    objective = settings.objective
    rows = []
    for i, group in enumerate(groups):
        for name, decided in decisions.items():
            cluster = cluster_before(decided, i, settings, tables)
            worth = objective.bind(group, cluster, tables)
            best, bound = _optimum_of(decisions[OPTIMUM], i, group, cluster, worth, settings)
            placement = decided.placements[i]
            judged = evaluate(placement, cluster, tables, worth)
            row: dict[str, Any] = {
                "scheduler": name,
                "group": i,
                "rps": judged.rps,
                "value": judged.value,
                "bound": bound,
                "ratio": ratio(judged.value, best),
                "gap": gap(judged.value, bound),
                "free_nodes": judged.free_nodes,
                **{f"slo_{level}": share for level, share in judged.slo.items()},
            }
            row |= {name: decided.traces[i][name] for name in FROM_TRACES if name in decided.traces[i]}
            for k, could_be in enumerate(drawn):  # columns that flows.report.intervals reads
                row[f"drawn_{k}"] = value(placement, cluster, objective.bind(group, cluster, could_be))
            if truth is not None:
                true_worth = objective.bind(group, cluster, truth)
                true_best, _ = _optimum_of(true_optimum, i, group, cluster, true_worth, settings)
                real = evaluate(placement, cluster, truth, true_worth)
                row |= {
                    "true_rps": real.rps,
                    "true_value": real.value,
                    "true_best": true_best,
                    "true_ratio": ratio(real.value, true_best),
                    **{f"true_slo_{level}": share for level, share in real.slo.items()},
                }
            rows.append(row)
    return pd.DataFrame(rows)


def _optimum_of(
    known: Decisions | None,
    i: int,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: Settings,
) -> tuple[float, float]:
    """Return value and bound of the optimum for group i on this very cluster: known, or solved now."""
    if known is not None and not settings.groups.arrive:
        placement, bound = known.placements[i], float(known.traces[i]["bound"])
    else:
        from baselines.optimum import place_optimum

        placement, trace = place_optimum(group, cluster, worth, settings.optimum)
        bound = float(trace["bound"])
    own = value(placement, cluster, worth)
    return own, max(bound, own)


def ratio(own: float, best: float) -> float:
    """Return the value `own` as a share of `best`; 1 where both are 0."""
    return own / best if best > 0 else 1.0
