"""Stage highlevel: one learned scheduler places every group, over the sub-schedulers where it has them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from baselines.registry import learns
from flows.configuration.objects import make_groups
from flows.configuration.settings import Settings
from flows.engine.work import Work
from flows.placing.groups import place_all
from flows.placing.tables import tables_in
from flows.stages.baselines import STAGE as BASELINES
from flows.stages.shared import all_schedulers

if TYPE_CHECKING:
    from flows.placing.decisions import Decisions
    from metis.problem.oracle import Oracle
    from metis.problem.tables import Tables


def run(work: Work) -> None:
    """Write `decisions.npz`, `placements.csv`, `traces.json`, `timings.csv` of the scheduler `work.part`."""

    def weights(learner: str, known: "Tables | Oracle") -> object:
        from flows.placing.training import load_weights

        return load_weights(
            work.settings, learner, known, work.inputs[f"subscheduler/{learner}"] / "weights.npz"
        )

    decisions = place_all(work, weights)
    if any("curve" in trace for trace in decisions.traces):
        _log_curves(work, decisions)


def _log_curves(work: Work, decisions: "Decisions") -> None:
    """Log the learning curve of each group, with `ratio`: the best so far to the bound of the relaxation."""
    from flows.placing.decisions import cluster_before
    from metis.program.relaxation import relax

    tables = tables_in(work.inputs["simulator"])
    groups = make_groups(work.settings, tables.space.apps)
    for i, (group, trace) in enumerate(zip(groups, decisions.traces, strict=True)):
        rows: Sequence[Mapping[str, Any]] = trace.get("curve", [])
        if not rows:
            continue
        cluster = cluster_before(decisions, i, work.settings, tables)
        worth = work.settings.objective.bind(group, cluster, tables)
        bound = relax(worth, group, cluster).bound
        curve = [{**row, "ratio": row["best"] / bound if bound > 0 else 1.0} for row in rows]
        named = [{f"group_{i}/{name}": row[name] for name in row} for row in curve]
        work.recording.curve(named, f"curve-group-{i}")


def _schedulers(settings: Settings) -> Sequence[str]:
    return [name for name in all_schedulers(settings) if learns(name)]


STAGE = replace(
    BASELINES,
    name="highlevel",
    about="Place every group with the learned schedulers.",
    run=run,
    parts=_schedulers,
)
