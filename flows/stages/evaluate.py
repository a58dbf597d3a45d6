"""Stage evaluate: judge every placement on the simulator, and on the testbed where it knows the truth."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from flows.build import knows_truth, make_groups, make_testbed, tabulated
from flows.placement_picture import placement_svg
from flows.placing import Decisions, judge, place_optima
from flows.recorded import Dataset, groups_dataset, run_name, told_params, told_tags
from flows.work import Work, read_json
from metis.files import written_whole
from metis.simulate.simulator import FittedSimulator

WORST = {"rps": "min", "ratio": "min", "true_ratio": "min", "gap": "max", "seconds": "max"}


def run(work: Work) -> None:
    """Write `results.csv`, one row per scheduler and group, and one child run per scheduler."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    groups = make_groups(work.settings, tables.space.apps)
    told = told_params(work.settings, groups)
    given = groups_dataset(work.settings, groups, tables.space.apps)
    work.recording.describe(told_tags(told), told, [given])
    decisions = read_decisions(work)
    truth = true_optimum = None
    if knows_truth(work.settings):
        truth = make_testbed(work.settings).truth(tabulated(work.settings))
        true_optimum = place_optima(work.settings, truth, groups, work.progress)
    results = judge(decisions, work.settings, tables, groups, truth, true_optimum)
    with written_whole(work.folder / "results.csv") as file:
        file.write(results.to_csv(index=False).encode())
    _child_runs(work, results, decisions, told, given)


def read_decisions(work: Work) -> dict[str, Decisions]:
    """The decisions of every scheduler among the inputs, by name."""
    return {
        step.partition("/")[2]: Decisions.load(folder / "decisions.npz", read_json(folder / "traces.json"))
        for step, folder in work.inputs.items()
        if step.startswith(("baselines/", "highlevel/"))
    }


def _child_runs(
    work: Work,
    results: pd.DataFrame,
    decisions: Mapping[str, Decisions],
    told: Mapping[str, str],
    given: Dataset,
) -> None:
    """A run per scheduler, under the names that MLflow's compare view puts side by side."""
    for name, rows in results.groupby("scheduler", sort=False):
        numbers = rows.drop(columns=["scheduler", "group"])
        metrics = {str(column): float(numbers[column].mean()) for column in numbers}
        metrics |= {f"{c}_{how}": float(numbers[c].agg(how)) for c, how in WORST.items() if c in numbers}
        params = {"scheduler": str(name), **told}
        step, folder = _placed_by(work, str(name))
        tags = told_tags(params) | {
            "metis.stage": "scheduler",
            "metis.placed_by": work.recording.inputs[step],
        }
        picture = placement_svg(decisions[str(name)].placements[0], tuple(given.columns), f"{name}, group 0")
        files = {"placement.svg": picture, "placements.csv": (folder / "placements.csv").read_bytes()}
        work.recording.child(run_name(params), tags, params, metrics, [given], files)


def _placed_by(work: Work, name: str) -> tuple[str, Path]:
    """The step that placed with the scheduler `name`, and its output."""
    placing = {f"{stage}/{name}" for stage in ("highlevel", "baselines")}
    return next((step, folder) for step, folder in work.inputs.items() if step in placing)
