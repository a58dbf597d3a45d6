"""Stage evaluate: judge every placement on the simulator, and on the testbed where it knows the truth."""

import pandas as pd

from flows.build import knows_truth, make_groups, make_testbed, needs_latency
from flows.placing import OPTIMUM, Decisions, judge, place_groups, scheduler_for
from flows.work import Work, read_json
from metis.files import written_whole
from metis.simulators import FittedSimulator

COMPARED = ("rps", "true_rps", "ratio", "true_ratio", "gap", "seconds", "free_nodes")


def run(work: Work) -> None:
    """Write `results.csv`, one row per scheduler and group, and one child run per scheduler."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    groups = make_groups(work.settings, tables.space.apps)
    decisions = read_decisions(work)
    truth = true_optimum = None
    if knows_truth(work.settings):
        truth = make_testbed(work.settings).truth(latency=needs_latency(work.settings))
        true_optimum = place_groups(
            scheduler_for(work.settings, OPTIMUM, truth),
            work.settings,
            truth,
            groups,
            lambda done, total: work.progress("true optimum", done, total),
        )
    results = judge(decisions, work.settings, tables, groups, truth, true_optimum)
    with written_whole(work.folder / "results.csv") as file:
        file.write(results.to_csv(index=False).encode())
    _child_runs(work, results)


def read_decisions(work: Work) -> dict[str, Decisions]:
    """The decisions of every scheduler among the inputs, by name."""
    return {
        step.partition("/")[2]: Decisions.load(folder / "decisions.npz", read_json(folder / "traces.json"))
        for step, folder in work.inputs.items()
        if step.startswith(("baselines/", "highlevel/"))
    }


def _child_runs(work: Work, results: pd.DataFrame) -> None:
    shared = {
        "nodes": work.settings.cluster.nodes,
        "containers": work.settings.group.size,
        "objective": work.settings.objective.kind,
        "simulator": work.settings.simulator.made().kind,
        "seed": work.settings.seed,
    }
    for name, rows in results.groupby("scheduler", sort=False):
        numbers = rows.drop(columns=["scheduler", "group"])
        metrics = {str(column): float(numbers[column].mean()) for column in numbers}
        metrics |= {f"{c}_min": float(numbers[c].min()) for c in COMPARED if c in numbers}
        tags = {"metis.stage": "scheduler", "metis.scheduler": str(name)}
        work.recording.child(f"{name}", tags, {"scheduler": name, **shared}, metrics)
