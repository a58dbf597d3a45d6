"""Stage baselines: one scheduler that does not learn places every group."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd

from baselines.registry import learner_of
from flows.build import make_cluster, make_groups, make_objective
from flows.placing import Decisions, Tell, joined, place_groups, scheduler_for
from flows.recorded import groups_dataset, told_params, told_tags
from flows.runner import runner_of
from flows.settings import Settings
from flows.stages.constraints import APPLIST
from flows.work import Work
from metis.files import written_whole
from metis.problem.counts import IntArray
from metis.problem.tables import Tables
from metis.simulate.simulator import FittedSimulator


def run(work: Work) -> None:
    """Write `decisions.npz`, `placements.csv` and `traces.json` of the scheduler `work.part`."""
    place_all(work)


def place_all(work: Work, weights: Callable[[str, Tables], Any] | None = None) -> Decisions:
    """Place every group with the scheduler `work.part` and write what it decided.

    Args:
        work: the step.
        weights: gives a learner's trained weights.
    """
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    groups = make_groups(work.settings, tables.space.apps)
    params = told_params(work.settings, groups, work.part)
    given = [groups_dataset(work.settings, groups, tables.space.apps)]
    work.recording.describe(told_tags(params), params, given)
    learner = learner_of(work.part)
    trained = weights(learner, tables) if weights and learner else None
    place = partial(_place_some, _with_constraints(work), work.part, tables, trained)
    with runner_of(work.settings.runner) as runner:
        together = work.settings.groups.arrive or runner.jobs == 1  # what arrives meets what came before
        if together:
            decisions = place(groups, partial(work.progress, work.part))
        else:
            parts = [groups[list(rows)] for rows in runner.parts(len(groups))]
            decisions = joined(runner.map(place, parts, partial(work.progress, work.part)))
    if work.part == "medea" and work.settings.medea.made().ends:
        decisions = _with_ends(work, decisions, tables, groups)
    decisions.save(work.folder / "decisions.npz", groups)
    _write_csv(work, decisions.placements, tables.space.apps)
    work.write_json("traces.json", list(decisions.traces))
    _draw(work, decisions.placements[0], tables.space.apps)
    work.recording.metrics({"seconds": decisions.seconds.mean(), "seconds_max": decisions.seconds.max()})
    return decisions


def _with_ends(work: Work, decisions: Decisions, tables: Tables, groups: IntArray) -> Decisions:
    """The traces with `worst` and `best`: Medea is indifferent between these two."""
    from baselines.constraints import constraints_of
    from baselines.medea import medea_ends

    settings = _with_constraints(work)
    cluster, objective = make_cluster(settings, tables.space), make_objective(settings)
    constraints = constraints_of(tables, settings.constraints.made())
    traces = []
    for i, (group, trace) in enumerate(zip(groups, decisions.traces, strict=True)):
        worth = objective.bind(group, cluster, tables)
        worst, best = medea_ends(constraints, group, cluster, worth, settings.medea.made())
        traces.append({**trace, "worst": worst, "best": best})
        work.progress("medea, worst and best", i + 1, len(groups))
    return replace(decisions, traces=traces)


def _place_some(
    settings: Settings, name: str, tables: Tables, trained: Any, groups: IntArray, tell: Tell | None = None
) -> Decisions:
    """Some of the groups, on whatever worker this is."""
    scheduler = scheduler_for(settings, name, tables, lambda learner: trained)
    return place_groups(scheduler, settings, tables, groups, tell)


def _write_csv(work: Work, placements: IntArray, apps: tuple[str, ...]) -> None:
    groups, nodes, _ = placements.shape
    frame = pd.DataFrame(placements.reshape(groups * nodes, -1), columns=list(apps))
    frame.insert(0, "node", list(range(nodes)) * groups)
    frame.insert(0, "group", [group for group in range(groups) for _ in range(nodes)])
    with written_whole(work.folder / "placements.csv") as file:
        file.write(frame.to_csv(index=False).encode())


def _draw(work: Work, placement: IntArray, apps: tuple[str, ...]) -> None:
    from flows.placement_picture import placement_svg

    picture = placement_svg(placement, apps, f"{work.part}, group 0")
    (work.recording.about / "placement-group-0.svg").write_bytes(picture)


def _with_constraints(work: Work) -> Settings:
    """The settings with the constraints stage's file, for the schedulers that live on it."""
    folder = work.inputs.get("constraints")
    if folder is None:
        return work.settings
    constraints = work.settings.constraints.model_copy(update={"path": str(folder / APPLIST)})
    return work.settings.model_copy(update={"constraints": constraints})
