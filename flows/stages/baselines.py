"""Stage baselines: one scheduler that needs no training of ours places every group."""

from flows.build import make_groups
from flows.placing import place_groups, scheduler_for
from flows.settings import ConstraintsSettings, Settings
from flows.stages.constraints import APPLIST
from flows.work import Work
from metis.simulators import FittedSimulator


def run(work: Work) -> None:
    """Write `decisions.npz` and `traces.json` of the scheduler `work.part`."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    groups = make_groups(work.settings, tables.space.apps)
    scheduler = scheduler_for(_with_constraints(work), work.part, tables)
    decisions = place_groups(
        scheduler, work.settings, tables, groups, lambda done, total: work.progress(work.part, done, total)
    )
    decisions.save(work.folder / "decisions.npz", groups)
    work.write_json("traces.json", list(decisions.traces))
    work.recording.metrics({"seconds_mean": decisions.seconds.mean(), "seconds_max": decisions.seconds.max()})


def _with_constraints(work: Work) -> Settings:
    """The settings with the constraints stage's file, for the schedulers that live on it."""
    folder = work.inputs.get("constraints")
    if folder is None:
        return work.settings
    return work.settings.model_copy(update={"constraints": ConstraintsSettings(path=str(folder / APPLIST))})
