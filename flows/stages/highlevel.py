"""Stage highlevel: one learned scheduler places every group, over the sub-schedulers where it has them."""

from collections.abc import Mapping, Sequence
from typing import Any

from flows.configuration.objects import make_groups, make_objective
from flows.engine.work import Work
from flows.placing.decisions import Decisions, met_by
from flows.placing.training import load_weights
from flows.stages.baselines import place_all
from metis.problem.tables import Tables
from metis.simulate.simulator import FittedSimulator


def run(work: Work) -> None:
    """Write `decisions.npz`, `placements.csv` and `traces.json` of the scheduler `work.part`."""

    def weights(learner: str, tables: Tables) -> object:
        folder = work.inputs[f"subscheduler/{learner}"]
        return load_weights(work.settings, learner, tables, folder / "weights.npz")

    decisions = place_all(work, weights)
    if any("curve" in trace for trace in decisions.traces):
        _log_curves(work, decisions)


def _log_curves(work: Work, decisions: Decisions) -> None:
    """The learning curve of each group, with `ratio`: the best so far to the linear relaxation's bound."""
    from metis.program.relaxation import relax

    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    groups = make_groups(work.settings, tables.space.apps)
    for i, (group, trace) in enumerate(zip(groups, decisions.traces, strict=True)):
        rows: Sequence[Mapping[str, Any]] = trace.get("curve", [])
        if not rows:
            continue
        cluster = met_by(decisions, i, work.settings, tables)
        worth = make_objective(work.settings).bind(group, cluster, tables)
        bound = relax(worth, group, cluster).bound
        curve = [{**row, "ratio": row["best"] / bound if bound > 0 else 1.0} for row in rows]
        named = [{f"group_{i}/{name}": row[name] for name in row} for row in curve]
        work.recording.curve(named, f"curve-group-{i}")
