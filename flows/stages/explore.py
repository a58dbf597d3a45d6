"""Stage explore: profile and simulator in a loop, measuring only what pays for the groups of `demand`."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.configuration.objects import (
    knows_truth,
    make_testbed,
)
from flows.configuration.sections import GroupSettings, GroupsSettings
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import TIMINGS, Work
from flows.placing.exploring import by_plans
from flows.stages.shared import (
    LIVE,
    MEASURED,
    PROBLEM,
    TESTBED,
    asks_for,
    check_files,
    hosts_ready,
    is_profiled,
    measures_live,
    packaged_coefficients,
    workload_digests,
)
from metis.errors import SurroundingsError
from metis.measure.profile import never_measured
from metis.problem.objectives import tabulated
from metis.problem.rules import Rules

if TYPE_CHECKING:
    import pandas as pd

    from metis.explore.loop import Exploration
    from metis.explore.rounds import Explored
    from metis.measure.testbed import Testbed
    from metis.problem.tables import Tables

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)  # of the intervals whose coverage is shown
PLANNING_GAP = 1e-4  # plans that only propose what to measure need no proof beyond
TIMED = ("seconds",)  # columns of the history that differ each time


def run(work: Work) -> None:
    """Write `profile.npz`, `simulator.npz` (what it believes), `history.csv`, `measured.json`.

    A stopped exploration goes on.

    Where the testbed knows the truth also `calibration.csv`: of intervals, level and coverage.
    """
    import pandas as pd

    from flows.placing.exploring import explore_groups, write_believed
    from flows.report.exploration import exploration_figure
    from metis.explore.loop import Exploration
    from metis.measure.testbed import refuse_types
    from metis.simulate.replay import FileTestbed

    calibration = None
    with testbed_for(work.settings, work.inputs) as testbed:
        if isinstance(testbed, FileTestbed):
            refuse_types(testbed.profile, "exploring")
        found = explore_groups(work.settings, testbed, work.scratch / "profile.npz", work.progress)
        if knows_truth(work.settings) and isinstance(found, Exploration):
            calibration = _calibration(found, testbed.truth(tabulated(work.settings.objective)))
    if measures_live(work.settings):
        refuse_unmeasured(found)
    write_believed(found, work.folder, work.settings.explore.seed)
    history = pd.DataFrame(found.history)
    kept = history.drop(columns=["proposed", *TIMED])
    work.write("history.csv", kept.to_csv(index=False).encode())
    work.write_json("measured.json", {"measured": found.measured, "quarantined": found.quarantined})
    document = exploration_document(found)
    rows = [{k: v for k, v in row.items() if k not in TIMED} for row in document["history"]]
    outcome = {k: v for k, v in document.items() if k not in TIMED}
    work.write_json("exploration.json", {**outcome, "history": rows})
    work.write(TIMINGS, history[list(TIMED)].to_csv(index=False).encode())
    numbers = history.drop(columns=["proposed", "round"]).dropna(axis=1)
    work.recording.curve([{str(k): float(v) for k, v in row.items()} for row in numbers.to_dict("records")])
    work.recording.metrics({"measurements": found.measurements, "hours": found.hours})
    figure = exploration_figure(history.assign(acquisition="plans"), calibration)
    (work.recording.about / "exploration.svg").write_bytes(figure)
    if calibration is not None:
        work.write("calibration.csv", calibration.to_csv(index=False).encode())


def refuse_unmeasured(found: "Explored") -> None:
    """Report what hosts could not measure, and refuse an exploration that lacks an application altogether.

    Raises:
        SurroundingsError: an application was never measured; the same command tries again.
    """
    for colocation, why in found.quarantined.items():
        say(f"  not measured: {colocation}: {why.removeprefix(f'{colocation}: ')}")
    unknown = never_measured(found.profile)
    if unknown:
        first = next(iter(found.quarantined.values()), "")
        raise SurroundingsError(
            f"never measured: {', '.join(unknown)} ({first}); the same command tries again and keeps the rest"
        )


def exploration_document(found: "Explored") -> dict[str, Any]:
    """Return an exploration as JSON-able values; what is unknown is null."""
    return {
        "ratio": _known(found.ratio),
        "measurements": found.measurements,
        "rounds": found.rounds,
        "seconds": found.seconds,
        "hours": found.hours,
        "ended": found.ended,
        "quarantined": found.quarantined,
        "history": [{name: _known(value) for name, value in row.items()} for row in found.history],
    }


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def testbed_for(settings: Settings, inputs: Mapping[str, Path]) -> "Iterator[Testbed]":
    """Open the testbed of a run, on a live cluster by the hosts and images of the stages setup and build.

    Args:
        settings: of the run.
        inputs: output folders of `setup` and `build`, where the cluster is live.
    """
    if not measures_live(settings):
        yield make_testbed(settings)
        return
    from flows.live.profile import live_testbed

    with live_testbed(settings, inputs) as testbed:
        yield testbed


def _calibration(found: "Exploration", truth: "Tables") -> "pd.DataFrame":
    import pandas as pd

    covered = [found.belief.covered(truth, level) for level in LEVELS]
    return pd.DataFrame({"level": LEVELS, "coverage": covered})


def explored_problem(settings: Settings) -> Settings:
    """Return the settings with the problem to explore for: that of `demand`, so that one profile serves all.

    A live cluster is explored for the run's own groups: there each measurement costs minutes of machines.
    """
    demand = settings.demand
    if demand.kind == "run" or measures_live(settings):
        return settings
    slots = settings.cluster.slots
    size = demand.size if slots is None else min(demand.size, max(demand.nodes * slots // 2, 1))
    return replace(
        settings,
        cluster=replace(settings.cluster, nodes=demand.nodes, types=()),
        apps=replace(settings.apps, requests={}),
        group=GroupSettings(size=size),
        groups=GroupsSettings(count=demand.count, seed=demand.seed),
        rules=Rules(),
        existing=None,
    )


def _declared(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    planned = ("columns", "simulator.resources", "simulator.members") if by_plans(settings) else ()
    onto = ("profile.onto",) if settings.newcomer is not None else ()
    measured = MEASURED if measures_live(settings) else ()
    return ("explore", "newcomer", *PROBLEM, *TESTBED, *planned, *onto, *measured)


STAGE = Stage(
    name="explore",
    about="Measure only what pays for the groups to be placed.",
    run=run,
    settings=_declared,
    unkeyed=lambda settings, part: (
        (*LIVE, "profile.path", "profile.repeats", "simulator.kind")
        if measures_live(settings)
        else ("profile.path", "simulator.kind")
    ),
    derived={"coefficients": packaged_coefficients, "workloads": workload_digests},
    inputs=lambda settings, part: () if settings.cluster.live else ("setup",),
    after=hosts_ready,
    check=check_files,
    modules=lambda settings, part: ("metis.explore.plans" if by_plans(settings) else "metis.explore.loop",),
    view=explored_problem,
    present=lambda settings: (
        (settings.profile.explored and (is_profiled(settings) or asks_for(settings, "profile")))
        or asks_for(settings, "explore")
    ),
    costly=measures_live,
    doing="explored",
)
