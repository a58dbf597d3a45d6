"""The memo: a step's output is found under its key, or made, by one process at a time."""

import errno
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event, RLock
from uuid import uuid4

from filelock import FileLock, Timeout

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage, Step
from flows.engine.log import log_path, step_log
from flows.engine.runs import Record
from flows.engine.secrets import masked
from flows.engine.store import Store
from flows.engine.work import Progress, Work, no_progress
from metis.errors import InputError, MetisError, SurroundingsError

# a disk that is full, over its quota, or read only: it shows up anywhere, often without a file's name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
AT_ONCE = 0.05  # seconds of waiting for a lock after which its holder is taken to be making the step


class StepError(MetisError):
    """A step failed. Names it, with the reason in one line; keeps the exit code of the reason.

    Attributes:
        step: its name.
        goes_on: whether the same command goes on where this stopped: not where the user has to mend it, and
            nothing was done that it would find.
    """

    def __init__(self, step: str, reason: MetisError, done: Sequence[str] = ()) -> None:
        super().__init__(masked(f"{step}: {reason}"))
        self.step = step
        self.exit_code = reason.exit_code
        self.goes_on = bool(done) or not isinstance(reason, InputError)


class InterruptedStepError(KeyboardInterrupt):
    """The run was interrupted while this step went on in a thread."""


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
        """Return the output of a step, if it was among those asked for."""
        record = self.records.get(step)
        return record.folder if record else None


@dataclass
class Memo:
    """Outputs of steps under given settings.

    Attributes:
        settings: of the run.
        stages: the declarations, by name.
        store: the record of what is finished.
        progress: receives how far a step is.
        command: the command that asked for it, for the record.
        again: names of stages and steps to be done although they are finished.
        records: what was found or made, by step name.
        done: names of the steps that were made.
        failures: what was raised while steps were made side by side.
        interrupted: set where the run is to end: steps that report progress end then.
        name: of the run, for the record.
    """

    settings: Settings
    stages: Mapping[str, Stage]
    store: Store
    progress: Progress = no_progress
    command: str = "metis run"
    again: Sequence[str] = ()
    records: dict[str, Record] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    interrupted: Event = field(default_factory=Event)
    name: str = field(default_factory=lambda: uuid4().hex)
    _mutex: RLock = field(default_factory=RLock)
    _checked: set[str] = field(default_factory=set)

    def step(self, name: str) -> Step:
        """Return the step called `stage` or `stage/part`.

        Raises:
            InputError: there is no such stage.
        """
        stage, _, part = name.partition("/")
        if stage not in self.stages:
            raise InputError(f"{stage!r} is not a stage: use {', '.join(self.stages)}")
        return self.stages[stage].step(self.settings, part)

    def find(self, name: str) -> Record | None:
        """Return a step's output if it and all that it reads are finished under these settings."""
        known = self.records.get(name)
        if known is not None:
            return known
        step = self.step(name)
        if step.always or self._wanted_again(step):
            return None
        digests = self._found_digests(step)
        record = None if digests is None else self.store.find(step.name, step.key(digests))
        if record is not None:
            with self._mutex:
                self.records[name] = record
        return record

    def obtain(self, name: str, progress: Progress | None = None) -> Record:
        """Return a step's output: found under its key, else made, after what it reads.

        Args:
            name: of the step.
            progress: receives how far making it is; None for that of the memo.

        Raises:
            InputError: settings under which it or one that it reads is certain to fail.
            StepError: it or one that it reads failed.
        """
        known = self.records.get(name)
        if known is not None:
            return known
        self._check(name)
        step = self.step(name)
        digests = self._obtained_digests(step)
        key = step.key(digests)
        always = step.always or self._wanted_again(step)
        record = None if always else self.store.find(step.name, key)
        if record is None:
            for before in step.after:  # first: they may be needed by others that wait for this one
                self.obtain(before)
            with self._alone(step, key):
                record = None if always else self.store.find(step.name, key)
                if record is None:
                    record = self._made(step, key, digests, progress or self.progress)
        with self._mutex:
            self.records[name] = record
        return record

    def affordable(self, name: str) -> bool:
        """Whether a step is finished, or can be made without hours of measuring."""
        if self.find(name) is not None:
            return True
        step = self.step(name)
        return not step.stage.costly(self.settings) and all(map(self.affordable, step.inputs))

    def outcome(self) -> Outcome:
        """Return what was found and made so far."""
        return Outcome(dict(self.records), list(self.done))

    def _check(self, name: str) -> None:
        """Refuse what a step, or one that it needs, would refuse only after what they read was made."""
        if name in self._checked or name in self.records:
            return
        step = self.step(name)
        step.stage.check(step.chosen)
        for before in step.inputs:
            if before not in step.stage.optional:
                self._check(before)
        self._checked.add(name)

    def _wanted_again(self, step: Step) -> bool:
        return step.stage.name in self.again or step.name in self.again

    def _found_digests(self, step: Step) -> dict[str, str] | None:
        digests = {}
        for name in step.inputs:
            record = self.find(name)
            if record is None and (name not in step.stage.optional or self.affordable(name)):
                return None
            digests[name] = record.digest if record else ""
        return digests

    def _obtained_digests(self, step: Step) -> dict[str, str]:
        """Return the digests of the inputs, left empty where the step does without one."""
        digests = {}
        for name in step.inputs:
            left_out = name in step.stage.optional and not self.affordable(name)
            digests[name] = "" if left_out else self.obtain(name).digest
        return digests

    @contextmanager
    def _alone(self, step: Step, key: str) -> Iterator[None]:
        """Hold the lock of a key, which no other process or thread holds meanwhile."""
        folder = self.store.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{key}.lock", thread_local=False)
        try:
            lock.acquire(timeout=AT_ONCE)
        except Timeout:
            say(f"{step.name}: being {step.stage.doing} by another run, waiting")
            lock.acquire(poll_interval=0.2)
        try:
            yield
        finally:
            lock.release()

    def _made(self, step: Step, key: str, digests: Mapping[str, str], progress: Progress) -> Record:
        damaged = self.store.flaws.pop(key, "")
        if damaged:
            say(f"{step.name}: its output was damaged ({damaged}) and is made again")
        record = self._recorded(step, key, digests, progress)
        with self._mutex:
            self.done.append(step.name)
        say(f"  {step.name}: {record.seconds:.1f} s, {record.cpu_seconds:.1f} CPU s")
        return record

    def _recorded(self, step: Step, key: str, digests: Mapping[str, str], progress: Progress) -> Record:
        names = [name for name in (*step.inputs, *step.after) if name in self.records]
        inputs = {name: self.records[name] for name in names}
        runs = {name: record.run_id for name, record in inputs.items()}
        identity = step.identity({name: digests.get(name, "") for name in step.inputs})
        tags = {"metis.chain": self.name, "metis.command": masked(self.command)}
        store = self.store
        (store.root / "checkpoints").mkdir(exist_ok=True)
        try:
            with store.recording(
                step.name, step.stage.name, key, runs, step.values(), identity, tags
            ) as recording:
                work = Work(
                    settings=step.settings(),
                    folder=recording.folder,
                    scratch=store.root / "checkpoints" / key,
                    inputs={name: record.folder for name, record in inputs.items()},
                    recording=recording,
                    derived=step.derived(),
                    progress=self._interruptible(progress),
                    command=self.command,
                    part=step.part,
                    again=self._wanted_again(step),
                    spent=self._spent(step),
                )
                began = time.process_time()
                # a step that reports nothing of its own is not silent either
                work.progress(step.name, 0, 1)
                _run_logged(step, work, store)
                work.progress(step.name, 1, 1)
                recording.metrics({"cpu_seconds": time.process_time() - began})
        except Exception as error:
            raise StepError(step.name, one_line(error, store.root), self.done) from error
        return store.record(recording.run_id)

    def _spent(self, step: Step) -> dict[str, float]:
        """Return the CPU seconds of the steps that `step` reads, directly or not, in the order of reading."""
        spent: dict[str, float] = {}
        for name in (*step.after, *step.inputs):
            if name in self.records and name not in spent:
                spent |= self._spent(self.step(name)) | {name: self.records[name].cpu_seconds}
        return spent

    def _interruptible(self, progress: Progress) -> Progress:
        """Return progress that ends a step whose run was interrupted: only the main thread sees Ctrl-C."""

        def report(text: str, done: float, total: int, known: str = "") -> None:
            if self.interrupted.is_set():
                raise InterruptedStepError
            progress(text, done, total, known)

        return report


def _run_logged(step: Step, work: Work, store: Store) -> None:
    """Run a step with a log, which goes to its MLflow run where it fails."""
    path = log_path(store.root, work.recording.run_id)
    try:
        with step_log(path, f"{step.name}, asked for by: {work.command}", work.progress) as progress:
            step.stage.run(replace(work, progress=progress))
    except Exception:
        with suppress(MetisError):  # the first failure is what the user must see
            store.log_file(work.recording.run_id, path)
        raise


def one_line(error: Exception, root: Path) -> MetisError:
    """Return a failure as one line; the traceback of an unforeseen one is in the step's log."""
    if isinstance(error, MetisError):
        return error
    if isinstance(error, OSError) and (error.filename or error.errno in FULL):
        return SurroundingsError(f"{error.filename or root}: {error.strerror or error}")
    message = " ".join(str(error).split())
    return SurroundingsError(f"{type(error).__name__}: {message[:300]} (`metis status` names the log)")
