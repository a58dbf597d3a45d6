"""The chain: its stages in order, the steps of a run, and a run without Prefect."""

from collections.abc import Iterable, Iterator, Mapping

from flows.configuration.settings import Settings
from flows.engine.declaration import Stage, Step
from flows.engine.memo import Memo, Outcome
from flows.engine.store import Store
from flows.engine.work import Progress, no_progress
from flows.placing.given import with_files
from flows.placing.problem import check_problem
from flows.placing.rebalancing import check_rebalancing, group_given
from flows.stages import (
    baselines,
    build,
    constraints,
    deploy,
    evaluate,
    explore,
    highlevel,
    profile,
    rebalance,
    report,
    sample,
    setup,
    simulator,
    subscheduler,
    trial,
    watch,
    week,
)
from metis.errors import InputError

CHAIN: tuple[Stage, ...] = (
    setup.STAGE,
    build.STAGE,
    explore.STAGE,
    profile.STAGE,
    simulator.STAGE,
    constraints.STAGE,
    subscheduler.STAGE,
    highlevel.STAGE,
    baselines.STAGE,
    evaluate.STAGE,
    sample.STAGE,
    rebalance.STAGE,
    week.STAGE,
    report.STAGE,
    deploy.STAGE,
    trial.STAGE,
    watch.STAGE,
)
STAGES: Mapping[str, Stage] = {stage.name: stage for stage in CHAIN}


def all_steps(settings: Settings) -> list[Step]:
    """Return the steps of a run under these settings, in order."""
    return [step for stage in CHAIN for step in stage.steps(settings)]


def chosen_steps(settings: Settings) -> list[Step]:
    """Return the steps that `stages` and `until` ask for, with all that they read, in order.

    Raises:
        InputError: one of `stages`, `until` or `rerun` is no stage; lists those there are. Or moves are to be
            made, which no stage does.
    """
    if settings.apply:
        raise InputError("apply: a run only proposes moves; `metis rebalance apply=true` makes them")
    steps = all_steps(settings)
    by_name = {step.name: step for step in steps}
    stages = list(dict.fromkeys(step.stage.name for step in steps))
    for given in [*(settings.stages or []), *([settings.until] if settings.until else []), *settings.rerun]:
        if given not in stages and given not in by_name:
            raise InputError(f"{given!r} is not a stage of this chain: use {', '.join(stages)}")
    wanted = list(by_name)
    if settings.until:
        last = max(i for i, step in enumerate(steps) if settings.until in (step.name, step.stage.name))
        wanted = [step.name for step in steps[: last + 1]]
    if settings.stages is not None:
        wanted = [s.name for s in steps if s.stage.name in settings.stages or s.name in settings.stages]
    needed = _with_inputs(wanted, by_name)
    return [step for step in steps if step.name in needed]


def asked_for(step: Step, settings: Settings) -> bool:
    """Whether a step is done by itself; hosts are made ready only where something else needs them."""
    return not step.always or step.stage.name in (*(settings.stages or ()), *settings.rerun, settings.until)


def check_problems(settings: Settings) -> None:
    """Refuse groups that the chosen steps cannot place, before minutes of exploring and training for them.

    Raises:
        InputError: see `check_problem` and `check_rebalancing` in `flows.placing`, and `check` of the stages.
    """
    checked: list[Settings] = []
    for step in chosen_steps(settings):
        step.stage.check(step.chosen)
        moves = step.stage.name == "rebalance"
        if moves:  # which may make room for a group that has none beside what runs
            check_rebalancing(step.chosen, group_given(step.chosen))
        elif "group" in step.declared and step.chosen not in checked:
            check_problem(step.chosen)
            checked.append(step.chosen)


def open_memo(settings: Settings, progress: Progress = no_progress, command: str = "metis run") -> Memo:
    """Return the memo of a run: its steps found or made under `settings`."""
    if settings.existing:
        from flows.live.running import with_live

        settings = with_live(settings)
    store = Store(settings.tracking)
    return Memo(with_files(settings, store), STAGES, store, progress, command, again=settings.rerun)


def _with_inputs(names: Iterable[str], by_name: Mapping[str, Step]) -> set[str]:
    needed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += (*by_name[name].inputs, *by_name[name].after)
    return needed


def missing(memo: Memo) -> Iterator[str]:
    """Yield the names of the steps of a run that are left to do, in order."""
    for step in chosen_steps(memo.settings):
        if asked_for(step, memo.settings) and memo.find(step.name) is None:
            yield step.name


def found(memo: Memo) -> Outcome | None:
    """Return the outcome of a run of which nothing is left to do; None where something is."""
    return memo.outcome() if next(missing(memo), None) is None else None


def run_steps(memo: Memo) -> Outcome:
    """Find or make every step that the settings ask for, one after another.

    Raises:
        StepError: a step failed; what was finished before stays finished.
    """
    for step in chosen_steps(memo.settings):
        if asked_for(step, memo.settings):
            memo.obtain(step.name)
    return memo.outcome()
