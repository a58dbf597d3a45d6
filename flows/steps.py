"""The chain as steps: which there are under given settings, and which of them are asked for."""

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from baselines.registry import learner_of, learns, modules_of
from flows.build import knows_truth, tabulated
from flows.hosted import asks_for, hosts_steps, measured_on, ready, running_steps
from flows.keys import file_digest
from flows.learned import LEARNERS, learner_settings
from flows.placing import OPTIMUM, scheduler_options
from flows.settings import Settings
from flows.step import Step, with_file
from metis.errors import InputError


def plan(settings: Settings) -> list[Step]:
    """The steps of a run, in order."""
    parts = settings.model_dump(mode="json")
    groups = _groups_settings(settings)
    problem = {
        "cluster": placed_on(settings),
        "rules": parts["rules"],
        "objective": parts["objective"],
        "existing": file_digest(Path(settings.existing)) if settings.existing else None,
        "groups": groups,
    }
    testbed = _testbed_settings(settings)
    apps = {"names": settings.apps.names}
    profile: dict[str, Any] = {"profile": _profile_settings(settings), "testbed": testbed, "apps": apps}
    profile["slots"] = settings.cluster.slots
    simulator = {"simulator": parts["simulator"], "quantities": tabulated(settings)}
    schedulers = all_schedulers(settings)
    placing = [_placing_step(name, settings, problem) for name in schedulers]
    placed = tuple(step.name for step in placing)
    judging = {**problem, "testbed": testbed, "optimum": parts["optimum"], "apps": apps}
    judging["truth"] = knows_truth(settings)
    exploring = settings.profile.kind == "explore" or "explore" in (settings.stages or [])
    measured_by: tuple[str, ...] = ("metis.measure.testbed", "metis.measure.published")
    setup: tuple[str, ...] = ("setup",)
    if settings.testbed.kind == "swarm":
        # hours of machines: measured again when what is measured changes, not when a line of ours does
        profile |= measured_on(settings)
        measured_by, setup = ("metis.measure.published",), ()
    explored = ("explore",) if settings.profile.kind == "explore" else ()
    measuring = (*setup, *explored)
    return [
        *hosts_steps(settings),
        *([_explore_step(settings)] if exploring else []),
        Step("profile", "profile", measuring, profile, measured_by, after=ready(settings)),
        Step("simulator", "simulator", ("profile",), simulator, ("metis.simulate.fitting",)),
        Step(
            "constraints",
            "constraints",
            ("simulator",),
            with_file(parts["constraints"]),
            ("baselines.constraints", "baselines.pairwise"),
        ),
        *_training_steps(schedulers, settings),
        *placing,
        Step(
            "evaluate",
            "evaluate",
            ("simulator", *placed),
            judging,
            ("flows.placing", "flows.stages.evaluate"),
        ),
        Step(
            "report",
            "report",
            ("simulator", "profile", "constraints", *placed, "evaluate", *explored),
            judging,
            ("flows.report", "flows.stages.report"),
        ),
        *running_steps(settings, placed),
    ]


def all_schedulers(settings: Settings) -> list[str]:
    """The schedulers of a run, each once; the optimum is always among them, as what all are held against."""
    deployed = [settings.scheduler] if asks_for(settings, "deploy") and not settings.placement else []
    return list(dict.fromkeys([OPTIMUM, *settings.schedulers, *deployed]))


def chosen_steps(settings: Settings, steps: list[Step]) -> list[Step]:
    """The steps that `stages` and `until` ask for, with all that they read.

    Raises:
        InputError: one of `stages`, `until` or `rerun` is no stage; lists those there are.
    """
    by_name = {step.name: step for step in steps}
    stages = list(dict.fromkeys(step.stage for step in steps))
    for given in [*(settings.stages or []), *([settings.until] if settings.until else []), *settings.rerun]:
        if given not in stages and given not in by_name:
            raise InputError(f"{given!r} is not a stage of this chain: use {', '.join(stages)}")
    wanted = list(by_name)
    if settings.until:
        last = max(i for i, step in enumerate(steps) if settings.until in (step.name, step.stage))
        wanted = [step.name for step in steps[: last + 1]]
    if settings.stages is not None:
        wanted = [s.name for s in steps if s.stage in settings.stages or s.name in settings.stages]
    needed = _with_inputs(wanted, by_name)
    return [step for step in steps if step.name in needed]


def _with_inputs(names: Iterable[str], by_name: Mapping[str, Step]) -> set[str]:
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += (*by_name[name].inputs, *by_name[name].after)
    return needed


def explore_settings(settings: Settings) -> dict[str, Any]:
    """All that an exploration depends on."""
    parts = settings.model_dump(mode="json")
    return {
        "explore": parts["explore"],
        "testbed": _testbed_settings(settings),
        "cluster": placed_on(settings),
        "rules": parts["rules"],
        "objective": parts["objective"],
        "groups": _groups_settings(settings),
        **measured_on(settings),
    }


def _explore_step(settings: Settings) -> Step:
    modules = ("metis.explore.loop", "flows.exploring")
    setup = () if settings.testbed.kind == "swarm" else ("setup",)
    return Step("explore", "explore", setup, explore_settings(settings), modules, after=ready(settings))


def _training_steps(schedulers: Iterable[str], settings: Settings) -> list[Step]:
    learners = dict.fromkeys(learner for learner in map(learner_of, schedulers) if learner)
    return [
        Step(
            f"subscheduler/{learner}",
            "subscheduler",
            ("simulator",),
            {**learner_settings(settings, learner), "seed": settings.seed},
            LEARNERS[learner],
            part=learner,
        )
        for learner in learners
    ]


def _placing_step(name: str, settings: Settings, problem: Mapping[str, Any]) -> Step:
    options = {**problem, "options": scheduler_options(settings, name), "seed": settings.seed}
    inputs = ["simulator"]
    if options["options"].pop("constraints", None) is not None:
        inputs.append("constraints")  # the constraints themselves count, not how they were found
    learner = learner_of(name)
    if learner:
        inputs.append(f"subscheduler/{learner}")
    modules = ("metis.problem", "metis.problem.objectives", *modules_of(name))
    stage = "highlevel" if learns(name) else "baselines"
    return Step(f"{stage}/{name}", stage, tuple(inputs), options, modules, part=name)


def placed_on(settings: Settings) -> dict[str, Any]:
    """What of the cluster counts for a placement: not what its hosts are called, nor where they are."""
    return {"nodes": settings.cluster.nodes, "slots": settings.cluster.slots}


def _profile_settings(settings: Settings) -> dict[str, Any]:
    """What decides what is measured, files by digest; how many at once does not."""
    chosen = with_file(settings.profile.model_dump(mode="json", exclude={"at_once"}))
    for name in ("onto", "colocations"):
        if isinstance(chosen[name], str):
            chosen[name] = file_digest(Path(chosen[name]))
    return chosen


def _groups_settings(settings: Settings) -> dict[str, Any]:
    if settings.group.counts is not None:
        return {"counts": settings.group.counts}
    chosen = with_file(settings.groups.model_dump(mode="json"))
    return chosen if settings.groups.path else {**chosen, "size": settings.group.size}


def _testbed_settings(settings: Settings) -> dict[str, Any]:
    chosen = with_file(settings.testbed.model_dump(mode="json"))
    table = settings.testbed.coefficients or str(files("metis.measure.data") / "seven_apps.yaml")
    return chosen if settings.testbed.path else {**chosen, "coefficients": file_digest(Path(table))}
