"""Stage evaluate: judge every placement on the simulator, and on the testbed where it knows the truth."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from baselines.registry import learns
from flows.configuration.objects import knows_truth, make_groups, make_truth
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.provenance import Dataset, groups_dataset, run_name, run_params, run_tags
from flows.engine.work import TIMINGS, Work, read_json
from flows.placing.tables import known_in, notes_on, tables_of
from flows.stages.shared import PROBLEM, TESTBED, all_schedulers, packaged_coefficients
from metis.problem.tables import Tables
from metis.simulate.model_oracle import ModelOracle
from metis.simulate.simulator import FittedSimulator

if TYPE_CHECKING:
    import pandas as pd

    from flows.placing.decisions import Decisions

RESULTS, NOTES = "results.csv", "notes.json"
WORST = {
    "rps": "min",
    "true_rps": "min",
    "ratio": "min",
    "true_ratio": "min",
    "gap": "max",
    "seconds": "max",
    "cpu_seconds": "max",
}


def run(work: Work) -> None:
    """Write `results.csv` and `timings.csv`, a row per scheduler and group, and a child run per scheduler.

    And `notes.json` where a person should know more of them.
    """
    from flows.placing.comparison import judge, place_optima, timings
    from flows.placing.wide import judge_wide

    known = known_in(work.inputs["simulator"])
    apps = tables_of(known).space.apps
    groups = make_groups(work.settings, apps)
    params = run_params(work.settings, groups)
    given = groups_dataset(work.settings, groups, apps)
    work.recording.describe(run_tags(params), params, [given])
    decisions = read_decisions(work.inputs)
    settings, known_true = work.settings, work.derived["truth"]
    if isinstance(known, FittedSimulator) and not settings.stated:
        truth = make_truth(settings) if known_true else None
        assert truth is None or isinstance(truth, Tables)
        true_optimum = None if truth is None else place_optima(settings, truth, groups, work.progress)
        drawn = list(known.drawn())
        results = judge(decisions, settings, known.tables, groups, truth, true_optimum, drawn)
    else:
        could_be = list(known.drawn()) if isinstance(known, ModelOracle) else []
        true = make_truth(settings) if known_true else None
        results = judge_wide(decisions, settings, tables_of(known), groups, work.progress, true, could_be)
    seconds = timings(decisions)
    work.write(RESULTS, results.to_csv(index=False).encode())
    work.write(TIMINGS, seconds.to_csv(index=False).encode())
    if notes := notes_on(known, settings):
        work.write_json(NOTES, notes)
    _child_runs(work, results.merge(seconds, on=["scheduler", "group"]), decisions, params, given)


def read_decisions(inputs: Mapping[str, Path]) -> "dict[str, Decisions]":
    """Return the decisions of every scheduler among the inputs of a stage, by name."""
    from flows.placing.decisions import Decisions

    return {
        step.partition("/")[2]: Decisions.load(folder)
        for step, folder in inputs.items()
        if step.startswith(("baselines/", "highlevel/"))
    }


def read_results(folder: Path) -> "pd.DataFrame":
    """Return the output of this stage: one row per scheduler and group, with the seconds of each decision."""
    import pandas as pd

    results = pd.read_csv(folder / RESULTS)
    return results.merge(pd.read_csv(folder / TIMINGS), on=["scheduler", "group"])


def read_notes(folder: Path) -> list[str]:
    """Return what a person should know of the results of this stage, a sentence each."""
    path = folder / NOTES
    return [str(note) for note in read_json(path)] if path.is_file() else []


def _child_runs(
    work: Work,
    results: "pd.DataFrame",
    decisions: "Mapping[str, Decisions]",
    params: Mapping[str, str],
    given: Dataset,
) -> None:
    """Record a run per scheduler, under the names that MLflow's compare view puts side by side."""
    from flows.report.intervals import drawn_columns
    from flows.report.placement_picture import placement_svg

    for name, rows in results.groupby("scheduler", sort=False):
        no_numbers = ["scheduler", "group", "bound_kind", *drawn_columns(rows)]
        numbers = rows.drop(columns=no_numbers, errors="ignore")
        metrics = {str(column): float(numbers[column].mean()) for column in numbers}
        metrics |= {f"{c}_{how}": float(numbers[c].agg(how)) for c, how in WORST.items() if c in numbers}
        own = {"scheduler": str(name), **params}
        step, folder = _placed_by(work, str(name))
        tags = run_tags(own) | {
            "metis.stage": "scheduler",
            "metis.placed_by": work.recording.inputs[step],
        }
        picture = placement_svg(decisions[str(name)].placements[0], tuple(given.columns), f"{name}, group 0")
        files = {"placement.svg": picture, "placements.csv": (folder / "placements.csv").read_bytes()}
        work.recording.child(run_name(own), tags, own, metrics, [given], files)


def _placed_by(work: Work, name: str) -> tuple[str, Path]:
    """Return the step that placed with the scheduler `name`, and its output."""
    placing = {f"{stage}/{name}" for stage in ("highlevel", "baselines")}
    return next((step, folder) for step, folder in work.inputs.items() if step in placing)


def placing_steps(settings: Settings) -> tuple[str, ...]:
    """Return the names of the steps that place, one per scheduler of the run."""
    names = all_schedulers(settings)
    return tuple(f"{'highlevel' if learns(name) else 'baselines'}/{name}" for name in names)


STAGE = Stage(
    name="evaluate",
    about="Judge every placement: RPS, gap to the optimum, seconds.",
    run=run,
    settings=lambda settings, part: (*PROBLEM, *TESTBED, "columns" if settings.by_oracle else "optimum"),
    unkeyed=("simulator.kind", "seed"),
    derived={"truth": knows_truth, "coefficients": packaged_coefficients},
    inputs=lambda settings, part: ("simulator", *placing_steps(settings)),
    modules=("flows.placing.comparison", "flows.placing.wide"),
    doing="evaluated",
)
