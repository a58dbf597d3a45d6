"""Stage baselines: one scheduler that does not learn places every group."""

from collections.abc import Sequence

from baselines.registry import learner_of, learns, modules_of, sections_of
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.placing.groups import place_all
from flows.stages.shared import PROBLEM, all_schedulers


def run(work: Work) -> None:
    """Write `decisions.npz`, `placements.csv`, `traces.json`, `timings.csv` of the scheduler `work.part`."""
    place_all(work)


def placing_settings(settings: Settings, part: str) -> tuple[str, ...]:
    """Return the settings that decide where the scheduler `part` places: the problem, and its own sections.

    Interference constraints count by the output of their stage, not by how they were found.
    """
    sections = sections_of(part, wide=settings.by_oracle)
    return (*PROBLEM, *(name for name in sections if name != "constraints"), "seed")


def placing_inputs(settings: Settings, part: str) -> tuple[str, ...]:
    """Return the steps that the scheduler `part` reads."""
    constraints = ("constraints",) if "constraints" in sections_of(part, wide=settings.by_oracle) else ()
    learner = learner_of(part, wide=settings.by_oracle)
    return ("simulator", *constraints, *((f"subscheduler/{learner}",) if learner else ()))


def placing_modules(settings: Settings, part: str) -> tuple[str, ...]:
    """Return the modules whose source counts for the scheduler `part`."""
    # beside what runs the output is a plan of both; those of before it was are not to be found again
    beside = ("metis.problem.placement_files",) if settings.existing else ()
    return ("metis.problem.cluster", "metis.problem.objectives", *beside, *modules_of(part))


def _schedulers(settings: Settings) -> Sequence[str]:
    return [name for name in all_schedulers(settings) if not learns(name)]


STAGE = Stage(
    name="baselines",
    about="Place every group with the schedulers that do not learn.",
    run=run,
    settings=placing_settings,
    unkeyed=("runner", "simulator.kind", "testbed.kind", "apps.names", "apps.count"),
    inputs=placing_inputs,
    modules=placing_modules,
    parts=_schedulers,
    timed=True,
)
