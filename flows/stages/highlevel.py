"""Stage highlevel: one learned scheduler places every group, over the sub-schedulers where it has them."""

from flows.learned import load_weights
from flows.stages.baselines import place_all
from flows.work import Work
from metis.objectives import Tables


def run(work: Work) -> None:
    """Write `decisions.npz`, `placements.csv` and `traces.json` of the scheduler `work.part`."""

    def weights(learner: str, tables: Tables) -> object:
        folder = work.inputs[f"subscheduler/{learner}"]
        return load_weights(work.settings, learner, tables, folder / "weights.npz")

    decisions = place_all(work, weights)
    for i, trace in enumerate(decisions.traces):
        curve = trace.get("curve", [])
        work.recording.curve([{f"group_{i}/{name}": row[name] for name in row} for row in curve])
