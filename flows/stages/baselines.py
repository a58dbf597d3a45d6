"""Stage baselines: one scheduler that needs no training of ours places every group."""

from flows.build import make_groups
from flows.placing import place_groups, scheduler_for
from flows.work import Work
from metis.simulators import FittedSimulator


def run(work: Work) -> None:
    """Write `decisions.npz` and `traces.json` of the scheduler `work.part`."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    groups = make_groups(work.settings, tables.space.apps)
    scheduler = scheduler_for(work.settings, work.part, tables)
    decisions = place_groups(
        scheduler, work.settings, tables, groups, lambda done, total: work.progress(work.part, done, total)
    )
    decisions.save(work.folder / "decisions.npz", groups)
    work.write_json("traces.json", list(decisions.traces))
    work.recording.metrics({"seconds_mean": decisions.seconds.mean(), "seconds_max": decisions.seconds.max()})
