"""Stage explore: profile and simulator in a loop, measuring only what pays for the groups of the run."""

import pandas as pd

from flows.build import knows_truth, tabulated
from flows.exploring import explore_groups, testbed_for
from flows.report.exploration import exploration_figure
from flows.work import Work
from metis.explore.loop import Exploration
from metis.files import written_whole
from metis.problem.tables import Tables

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of the intervals whose coverage is told


def run(work: Work) -> None:
    """Write `profile.npz`, `history.csv`, `measured.json` and `exploration.svg`; what was stopped goes on.

    Where the testbed knows the truth also `calibration.csv`: of intervals, level and coverage.
    """
    with testbed_for(work.settings, work.inputs) as testbed:
        found = explore_groups(work.settings, testbed, work.scratch / "profile.npz", work.progress)
        truth = testbed.truth(tabulated(work.settings)) if knows_truth(work.settings) else None
    found.profile.save(work.folder / "profile.npz")
    history = pd.DataFrame(found.history)
    with written_whole(work.folder / "history.csv") as file:
        file.write(history.drop(columns="proposed").to_csv(index=False).encode())
    work.write_json("measured.json", {"measured": found.measured, "quarantined": found.quarantined})
    numbers = history.drop(columns=["proposed", "round"]).dropna(axis=1)
    work.recording.curve([{str(k): float(v) for k, v in row.items()} for row in numbers.to_dict("records")])
    work.recording.metrics({"measurements": found.measurements, "hours": found.hours})
    calibration = None if truth is None else _calibration(found, truth)
    figure = exploration_figure(history.assign(acquisition="plans"), calibration)
    with written_whole(work.folder / "exploration.svg") as file:
        file.write(figure)
    if calibration is not None:
        with written_whole(work.folder / "calibration.csv") as file:
            file.write(calibration.to_csv(index=False).encode())


def _calibration(found: Exploration, truth: Tables) -> pd.DataFrame:
    covered = [found.belief.covered(truth, level) for level in LEVELS]
    return pd.DataFrame({"level": LEVELS, "coverage": covered})
