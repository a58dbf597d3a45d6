"""Placing of all groups of a run by one scheduler: the work of stages `baselines` and `highlevel`."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from baselines.constraints import constraints_of
from baselines.registry import learner_of, sections_of
from flows.configuration.objects import make_cluster, make_groups
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.executor import executor_of
from flows.engine.provenance import groups_dataset, run_params, run_tags
from flows.engine.work import Work
from flows.placing.comparison import OPTIMUM
from flows.placing.decisions import (
    Decisions,
    Midway,
    Report,
    before_placing,
    place_groups,
    scheduler_for,
)
from flows.placing.tables import known_in, tables_of
from metis.problem.counts import IntArray
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables

if TYPE_CHECKING:
    from baselines.constraints import ConstraintsSettings

FEWEST_UPDATES = 20  # of a learner for a group; below, what it placed is hardly learned
APPLIST = "interference_applist.csv"


def place_all(work: Work, weights: Callable[[str, Tables | Oracle], Any] | None = None) -> Decisions:
    """Place every group with the scheduler `work.part` and write what it decided.

    Args:
        work: the step.
        weights: gives a learner's trained weights.
    """
    known = tables_of(known_in(work.inputs["simulator"]))
    apps = known.space.apps
    groups = make_groups(work.settings, apps)
    params = run_params(work.settings, groups, work.part)
    given = [groups_dataset(work.settings, groups, apps)]
    work.recording.describe(run_tags(params), params, given)
    tabulated = known if isinstance(known, Tables) else None
    learner = learner_of(work.part, wide=tabulated is None or work.settings.stated)
    trained = weights(learner, known) if weights and learner else None
    options = _options(work)
    place = partial(_place_some, work.settings, work.part, known, trained, options)
    with executor_of(work.settings.runner) as executor:
        together = work.settings.groups.arrive or executor.jobs == 1  # arrivals meet what came before
        if together:
            decisions = place(groups, report=partial(work.progress, work.part))
        else:
            parts = [groups[list(rows)] for rows in executor.parts(len(groups))]
            decisions = Decisions.joined(executor.map(place, parts, partial(work.progress, work.part)))
    if work.part == "medea" and work.settings.medea.ends and tabulated:
        decisions = _with_ends(work, decisions, tabulated, groups, options)
    warn_of_small_budget(work.part, decisions)
    warn_of_unproven(work.part, decisions)
    before = before_placing(work.settings, known)
    decisions.save(work.folder, groups, apps, before)
    held = decisions.placements + before.get("existing", 0)  # a plan is all that runs then
    work.write("placements.csv", _as_csv(held, apps))
    # whole, with seconds and curves: for people, no part of the output
    (work.recording.about / "traces.json").write_text(json.dumps(list(decisions.traces), indent=1))
    _draw(work, decisions.placements[0], apps)
    seconds, cpu = decisions.seconds, decisions.cpu_seconds
    work.recording.metrics({"seconds": seconds.mean(), "seconds_max": seconds.max()})
    work.recording.metrics({"decision_cpu_seconds": cpu.mean(), "decision_cpu_seconds_max": cpu.max()})
    return decisions


def warn_of_small_budget(name: str, decisions: Decisions) -> None:
    """Say so where a learner made too few updates for its placements to mean anything."""
    updates = [int(trace["updates"]) for trace in decisions.traces if "updates" in trace]
    if updates and min(updates) < FEWEST_UPDATES:
        section = sections_of(name)[0]
        say(
            f"{name}: {min(updates)} updates for a group: too small a budget to compare learners; give "
            f"{section}.steps or {section}.cpu_seconds for {FEWEST_UPDATES} or more"
        )


def warn_of_unproven(name: str, decisions: Decisions) -> None:
    """Say so where the optimum reached its time limit: its placement is the best known so far."""
    limited = sum(trace.get("proven") is False for trace in decisions.traces)
    if name == OPTIMUM and limited:
        say(
            f"{name}: not proven for {limited} of {len(decisions.traces)} groups within optimum.time_limit: "
            "the best placement known stands for it, and ratios are to that"
        )


def _options(work: Work) -> "dict[str, ConstraintsSettings]":
    """Return the constraints that their stage found, for the schedulers that are built on them."""
    folder = work.inputs.get("constraints")
    if folder is None:
        return {}
    from baselines.constraints import ConstraintsSettings

    return {"constraints": ConstraintsSettings(path=str(folder / APPLIST))}


def _with_ends(
    work: Work, decisions: Decisions, tables: Tables, groups: IntArray, options: dict[str, Any]
) -> Decisions:
    """Return the decisions with `worst` and `best` in the traces: Medea is indifferent between these two."""
    from baselines.medea import medea_ends

    cluster, objective = make_cluster(work.settings, tables.space), work.settings.objective
    constraints = constraints_of(tables, options["constraints"])
    traces = []
    for i, (group, trace) in enumerate(zip(groups, decisions.traces, strict=True)):
        worth = objective.bind(group, cluster, tables)
        worst, best = medea_ends(constraints, group, cluster, worth, work.settings.medea)
        traces.append({**trace, "worst": worst, "best": best})
        work.progress("medea, worst and best", i + 1, len(groups))
    return replace(decisions, traces=traces)


def _place_some(
    settings: Settings,
    name: str,
    known: Tables | Oracle,
    trained: Any,
    options: dict[str, Any],
    groups: IntArray,
    report: Report | None = None,
) -> Decisions:
    """Place some of the groups; runs on any worker."""
    midway = Midway(report) if report else None
    scheduler = scheduler_for(settings, name, known, lambda learner: trained, options, midway)
    return place_groups(scheduler, settings, known, groups, midway)


def _as_csv(placements: IntArray, apps: tuple[str, ...]) -> bytes:
    import pandas as pd

    groups, nodes, _ = placements.shape
    frame = pd.DataFrame(placements.reshape(groups * nodes, -1), columns=list(apps))
    frame.insert(0, "node", list(range(nodes)) * groups)
    frame.insert(0, "group", [group for group in range(groups) for _ in range(nodes)])
    return frame.to_csv(index=False).encode()


def _draw(work: Work, placement: IntArray, apps: tuple[str, ...]) -> None:
    from flows.report.placement_picture import placement_svg

    picture = placement_svg(placement, apps, f"{work.part}, group 0")
    (work.recording.about / "placement-group-0.svg").write_bytes(picture)
