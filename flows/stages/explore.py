"""Stage explore: profile and simulator in a loop, measuring only what pays for the groups of the run."""

import pandas as pd

from flows.exploring import explore_groups
from flows.work import Work
from metis.files import written_whole


def run(work: Work) -> None:
    """Write `profile.npz`, `history.csv` and `measured.json`; an exploration that was stopped goes on."""
    found = explore_groups(work.settings, work.scratch / "profile.npz", work.progress)
    found.profile.save(work.folder / "profile.npz")
    history = pd.DataFrame(found.history)
    with written_whole(work.folder / "history.csv") as file:
        file.write(history.drop(columns="proposed").to_csv(index=False).encode())
    work.write_json("measured.json", {"measured": found.measured, "quarantined": found.quarantined})
    numbers = history.drop(columns=["proposed", "round"]).dropna(axis=1)
    work.recording.curve([{str(k): float(v) for k, v in row.items()} for row in numbers.to_dict("records")])
    work.recording.metrics({"measurements": found.measurements, "hours": found.hours})
