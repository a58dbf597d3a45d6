"""The chain as one Prefect flow whose tasks are steps; what is finished is reused, not done again."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.console import say
from flows.settings import Settings
from flows.steps import Step, chosen_steps, flattened, plan
from flows.store import Record, Store
from flows.work import Progress, Work, no_progress
from metis.errors import MetisError, SurroundingsError

PREFECT_DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    # Prefect logs a failed task with its traceback; we say in one line which step failed, and why
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "true",
}


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
    """

    settings: Settings
    steps: Sequence[Step]
    store: Store
    progress: Progress = no_progress
    command: str = "metis run"


def run_chain(settings: Settings, progress: Progress = no_progress, command: str = "metis run") -> Outcome:
    """Run the chain: steps that are finished under the same key are reused.

    When all are, neither Prefect nor any server is started.

    Raises:
        StepError: a step failed; what was finished before stays finished.
    """
    store = Store(settings.tracking)
    steps = chosen_steps(settings, plan(settings))
    finished = reusable(steps, store, settings.rerun)
    if len(finished) == len(steps):
        return Outcome(finished, [])
    chain = Chain(settings, steps, store, progress, command)
    if not settings.tracking.orchestrate:
        return run_steps(chain, lambda step, do: do())
    for name, value in PREFECT_DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(store.root / "prefect"))
    from flows.orchestration import run_as_flow

    return run_as_flow(chain)


def reusable(steps: Sequence[Step], store: Store, rerun: Sequence[str] = ()) -> dict[str, Record]:
    """The finished steps at the head of the chain, up to the first that is missing or to be done again."""
    records: dict[str, Record] = {}
    for step in steps:
        again = step.stage in rerun or step.name in rerun
        record = None if again else store.find(step.name, step.key(_digests(step, records)))
        if record is None:
            break
        records[step.name] = record
    return records


Perform = Callable[[Step, Callable[[], Record]], Record]


def run_steps(chain: Chain, perform: Perform) -> Outcome:
    """Do or reuse every step in order; `perform(step, do)` wraps the doing of one."""
    records: dict[str, Record] = {}
    done: list[str] = []
    for step in chain.steps:
        key = step.key(_digests(step, records))
        again = step.stage in chain.settings.rerun or step.name in chain.settings.rerun
        record = None if again else chain.store.find(step.name, key)
        if record is None:
            record = perform(step, _doing(chain, step, key, records))
            done.append(step.name)
            say(f"  {step.name}: {record.seconds:.1f} s")
        records[step.name] = record
    return Outcome(records, done)


def _doing(chain: Chain, step: Step, key: str, records: Mapping[str, Record]) -> Callable[[], Record]:
    store = chain.store

    def do() -> Record:
        inputs = {name: records[name] for name in step.inputs}
        runs = {name: record.run_id for name, record in inputs.items()}
        identity = step.identity(_digests(step, records))
        params = flattened(step.settings)
        try:
            with store.recording(step.name, step.stage, key, runs, params, identity) as recording:
                work = Work(
                    settings=chain.settings,
                    folder=recording.folder,
                    scratch=store.root / "cache" / "checkpoints" / key,
                    inputs={name: record.folder for name, record in inputs.items()},
                    recording=recording,
                    progress=chain.progress,
                    command=chain.command,
                    part=step.part,
                )
                step.run(work)
        except MetisError as error:
            raise StepError(step.name, error) from error
        except OSError as error:  # a full disk shows up anywhere
            told = f"{error.filename or store.root}: {error.strerror or error}"
            raise StepError(step.name, SurroundingsError(told)) from error
        record = store.find(step.name, key)
        if record is None:
            raise RuntimeError(f"{step.name}: its output cannot be read back")
        return record

    return do


def _digests(step: Step, records: Mapping[str, Record]) -> dict[str, str]:
    return {name: records[name].digest for name in step.inputs}
