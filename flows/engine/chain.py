"""The chain as one Prefect flow whose tasks are steps; what is finished is reused, not done again."""

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Step, flattened
from flows.engine.folders import without_secrets
from flows.engine.log import log_path, step_log
from flows.engine.store import Record, Store
from flows.engine.work import Progress, Work, no_progress
from flows.prefect import server as prefect_server
from flows.stages.steps import chosen_steps, plan
from metis.errors import MetisError, SurroundingsError

# a disk that is full, over its quota, or to be read only: it shows up anywhere, often without a file's name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
Do = Callable[[Progress], Record]
Perform = Callable[[Step, Do], Record]


class StepError(MetisError):
    """A step failed. Names it, with the reason in one line; keeps the exit code of the reason."""

    def __init__(self, step: str, reason: MetisError) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.exit_code = reason.exit_code


@dataclass(frozen=True)
class Outcome:
    """What a run of the chain ends with.

    Attributes:
        records: by step name.
        done: names of the steps that were done; the others were reused.
    """

    records: Mapping[str, Record]
    done: Sequence[str]

    def folder(self, step: str) -> Path | None:
        """The output of a step, if it was among those asked for."""
        record = self.records.get(step)
        return record.folder if record else None


@dataclass(frozen=True)
class Chain:
    """A run of the chain: its settings and steps, where it is recorded, and how it is told.

    Attributes:
        settings: of the run.
        steps: in order.
        store: the record.
        progress: called while a step goes on.
        command: the command that asked for it, for the report.
        name: tells what this run did from what it reused.
        found: finished steps that were found when it was asked for.
    """

    settings: Settings
    steps: Sequence[Step]
    store: Store
    progress: Progress = no_progress
    command: str = "metis run"
    name: str = field(default_factory=lambda: uuid4().hex)
    found: Mapping[str, Record] = field(default_factory=dict)


def run_chain(settings: Settings, progress: Progress = no_progress, command: str = "metis run") -> Outcome:
    """Run the chain: steps that are finished under the same key are reused.

    When all are, neither Prefect nor any server is started.

    Raises:
        StepError: a step failed; what was finished before stays finished.
    """
    chain = make_chain(settings, progress, command)
    finished = reusable(chain.steps, chain.store, settings.rerun)
    if all(step.name in finished or idle(step, settings) for step in chain.steps):
        return Outcome(finished, [])
    chain = replace(chain, found=finished)
    if not settings.tracking.orchestrate:
        return run_steps(chain, lambda step, do: do(chain.progress))
    prefect_server.prepare(chain.store.root)
    from flows.pipeline import run_as_flow

    return run_as_flow(chain)


def make_chain(settings: Settings, progress: Progress = no_progress, command: str = "metis run") -> Chain:
    """The chain that `settings` ask for.

    Raises:
        InputError: they ask for a stage that there is not.
        SurroundingsError: the tracking store cannot be opened.
    """
    steps = chosen_steps(settings, plan(settings))
    return Chain(settings, steps, Store(settings.tracking), progress, without_secrets(command))


def reusable(steps: Sequence[Step], store: Store, rerun: Sequence[str] = ()) -> dict[str, Record]:
    """The finished steps at the head of the chain, up to the first that is missing or to be done again."""
    records: dict[str, Record] = {}
    for step in steps:
        if step.always:
            continue
        again = step.stage in rerun or step.name in rerun
        record = None if again else store.find(step.name, step.key(_digests(step, records)))
        if record is None:
            break
        records[step.name] = record
    return records


def idle(step: Step, settings: Settings) -> bool:
    """Whether a step is done only for the sake of others: hosts are made ready where something needs them."""
    return step.always and step.stage not in (*(settings.stages or ()), *settings.rerun, settings.until)


def run_steps(chain: Chain, perform: Perform) -> Outcome:
    """Do or reuse every step in order; `perform(step, do)` wraps the doing of one."""
    records: dict[str, Record] = {}
    done: list[str] = []
    by_name = {step.name: step for step in chain.steps}

    def reach(step: Step) -> None:
        key = step.key(_digests(step, records))
        again = step.always or step.stage in chain.settings.rerun or step.name in chain.settings.rerun
        record = None if again else _finished(chain, step, key)
        if record is None:
            for before in step.after:
                if before not in records:
                    reach(by_name[before])
            record = perform(step, _doing(chain, step, key, records))
            done.append(step.name)
            say(f"  {step.name}: {record.seconds:.1f} s")
        records[step.name] = record

    for step in chain.steps:
        if step.name not in records and not idle(step, chain.settings):
            reach(step)
    return Outcome(records, done)


def _finished(chain: Chain, step: Step, key: str) -> Record | None:
    found = chain.found.get(step.name)
    return found if found and found.key == key else chain.store.find(step.name, key)


def _doing(chain: Chain, step: Step, key: str, records: Mapping[str, Record]) -> Do:
    store = chain.store

    def do(progress: Progress) -> Record:
        inputs = {name: records[name] for name in (*step.inputs, *step.after)}
        runs = {name: record.run_id for name, record in inputs.items()}
        identity = step.identity(_digests(step, records))
        params = flattened(step.settings)
        tags = {"metis.chain": chain.name, "metis.command": chain.command}
        try:
            with store.recording(step.name, step.stage, key, runs, params, identity, tags) as recording:
                work = Work(
                    settings=chain.settings,
                    folder=recording.folder,
                    scratch=store.root / "cache" / "checkpoints" / key,
                    inputs={name: record.folder for name, record in inputs.items()},
                    recording=recording,
                    progress=progress,
                    command=chain.command,
                    part=step.part,
                )
                _run_logged(step, work, store)
        except Exception as error:
            raise StepError(step.name, _plainly(error, store.root)) from error
        return store.record(recording.run_id)

    return do


def _run_logged(step: Step, work: Work, store: Store) -> None:
    """Run a step with a log, which goes to its MLflow run where it fails."""
    path = log_path(store.root, work.recording.run_id)
    try:
        with step_log(path, f"{step.name}, asked for by: {work.command}", work.progress) as told:
            step.run(replace(work, progress=told))
    except Exception:
        with suppress(MetisError):  # the first failure is what the user must hear of
            store.log_file(work.recording.run_id, path)
        raise


def _plainly(error: Exception, root: Path) -> MetisError:
    """A failure as one line; the traceback of what nobody foresaw is in the step's log."""
    if isinstance(error, MetisError):
        return error
    if isinstance(error, OSError) and (error.filename or error.errno in FULL):
        return SurroundingsError(f"{error.filename or root}: {error.strerror or error}")
    told = " ".join(str(error).split())
    return SurroundingsError(f"{type(error).__name__}: {told[:300]} (`metis status` names the log)")


def _digests(step: Step, records: Mapping[str, Record]) -> dict[str, str]:
    return {name: records[name].digest for name in step.inputs}
