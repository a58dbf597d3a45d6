"""The one record: every stage's output is the artifact folder of one MLflow run, found by its key."""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.configuration.sections import TrackingSettings
from flows.engine.database import check, ready, sqlite_uri
from flows.engine.folders import Fetched, alone, check_folder, file_path, is_local, stage_folder, surroundings
from flows.engine.leftovers import OWN, close_left, end, ended_by, workers_of
from flows.engine.lookup import DATABASE, MOST, FoundRun, finished_runs, open_runs
from flows.engine.output import described, files_of, flaw
from flows.engine.processes import is_gone, own_mark
from flows.engine.provenance import Dataset, provenance, versions
from flows.engine.runs import ABOUT, Attempt, Job, Record, Recording, placer_of
from flows.engine.secrets import masked, masked_value
from flows.engine.startup import prepare_mlflow
from flows.engine.view import TAGS
from metis.errors import InputError

__all__ = ["Attempt", "Job", "Record", "Recording", "Store", "sqlite_uri"]
LOG_CHUNK = 1000  # values per request that MLflow accepts
PARAM_CHUNK = 100
COLLISIONS = 5  # tries to log a dataset: MLflow looks whether it is there, and then adds it
CHECK_SECONDS = 0.5  # of looking for damage in the database; `metis doctor` looks for as long as it takes


class Store:
    """The record of finished steps in MLflow; its client is imported when it is first needed.

    Raises:
        InputError, SurroundingsError: the tracking store cannot be opened or written.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        prepare_mlflow()
        self.root = Path(settings.path).absolute()
        self.uri = settings.uri or sqlite_uri(self.root)
        self._name = settings.experiment
        self._remote = settings.uri is not None
        self._looked = False
        self.flaws: dict[str, str] = {}  # by key what is wrong with an output that was found damaged
        self._fetched = Fetched(self.root)
        check_folder(self.root)
        with surroundings(f"{self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)

    @cached_property
    def _client(self) -> Any:
        with surroundings(self.uri):
            from mlflow import MlflowClient

            if not self._remote:  # takes seconds: not while others wait at the lock
                import_module("mlflow.store.tracking.sqlalchemy_store")
        with surroundings(self.uri), alone(self.root):
            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # errors would come with tracebacks
            if not self._remote:
                check(self.root / DATABASE, CHECK_SECONDS)
                ready(self.root)
            client = MlflowClient(self.uri)
            self._experiment = self._experiment_of(client)
            if not self._remote:
                close_left(client, self.root, self._name)
            return client

    @property
    def experiment(self) -> str:
        """Return the id of the experiment."""
        _ = self._client
        return self._experiment

    def _experiment_of(self, client: Any) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(self._name)
        if found:
            return str(found.experiment_id)
        location = None if self._remote else (self.root / "artifacts").as_uri()
        try:
            return str(client.create_experiment(self._name, artifact_location=location, tags=TAGS))
        except MlflowException:  # another machine may just have made it
            found = client.get_experiment_by_name(self._name)
            if found is None:
                raise
            return str(found.experiment_id)

    def _look(self) -> None:
        """Refuse a damaged database, as far as a moment suffices; close what killed processes left."""
        if self._remote or self._looked:
            return
        check(self.root / DATABASE, CHECK_SECONDS)
        self._looked = True
        if any(map(is_gone, open_runs(self.root, self._name).values())):
            _ = self._client

    def find(self, step: str, key: str) -> Record | None:
        """Return the newest finished run of this step and key whose output is whole, if any."""
        self._look()
        self.flaws.pop(key, None)
        runs = None if self._remote else finished_runs(self.root, self._name, step, key)
        with surroundings(self.uri):
            if runs is None:
                wanted = (
                    f"tags.`metis.step` = '{step}' and tags.`metis.key` = '{key}' and status = 'FINISHED'"
                )
                order = ["attributes.start_time DESC"]
                client = self._client
                found = client.search_runs([self.experiment], wanted, order_by=order, max_results=MOST)
                runs = [FoundRun.of(run) for run in found]
            for run in runs:
                record = self._record(run)
                if record is not None:
                    return record
        return None

    def last(self, step: str) -> Attempt | None:
        """Return the newest run of this step, finished or not; None without any."""
        return next(iter(self.attempts(step, most=1)), None)

    def attempts(self, step: str, most: int = 20) -> list[Attempt]:
        """Return the runs of this step, finished or not, newest first."""
        with surroundings(self.uri):
            runs = self._client.search_runs(
                [self.experiment],
                f"tags.`metis.step` = '{step}'",
                order_by=["attributes.start_time DESC"],
                max_results=most,
            )
        return [Attempt.of(run) for run in runs]

    def ids(self, prefix: str) -> list[str]:
        """Return the ids of runs that begin with `prefix`, the newest few."""
        with surroundings(self.uri):
            wanted = f"attributes.run_id LIKE '{prefix}%'"
            runs = self._client.search_runs([self.experiment], wanted, max_results=MOST)
        return [str(run.info.run_id) for run in runs]

    def record(self, run_id: str) -> Record:
        """Return a finished step by the id of its run.

        Raises:
            InputError: there is no such run, it did not finish, or its output is damaged.
        """
        from mlflow.exceptions import MlflowException

        with surroundings(self.uri):
            try:
                run = self._client.get_run(run_id)
            except MlflowException as error:
                if not _absent(error):
                    raise
                raise InputError(f"MLflow run {run_id!r}: there is none under {self.root}") from None
            if placer := placer_of(run.data.tags, lambda parent: self._client.get_run(parent).data.tags):
                return self.record(placer)
            record = self._record(FoundRun.of(run)) if run.info.status == "FINISHED" else None
        if record is None:
            raise InputError(f"MLflow run {run_id!r}: it has no whole output (status {run.info.status})")
        return record

    def _folder(self, run: FoundRun) -> Path:
        """Return where a run's artifacts lie; fetched first from a store that is not on this machine."""
        if is_local(run.artifact_uri):
            return file_path(run.artifact_uri)

        from mlflow.exceptions import MlflowException

        def fetch(folder: Path) -> None:
            try:
                for name in files_of(run.tags):
                    self._client.download_artifacts(run.run_id, name, str(folder))
            except MlflowException as error:
                if not _absent(error):
                    raise  # a server that is away is no damage

        return self._fetched.fetch(run.run_id, lambda folder: not flaw(run.tags, folder), fetch)

    def _record(self, run: FoundRun) -> Record | None:
        if "metis.digest" not in run.tags:
            return None
        folder, key, content = self._folder(run), run.tags.get("metis.key", ""), run.tags["metis.digest"]
        if wrong := flaw(run.tags, folder):  # damaged or deleted by hand: done again
            self.flaws.setdefault(key, wrong)
            return None
        return Record(run.run_id, key, content, folder, run.seconds, run.cpu_seconds)

    @contextmanager
    def recording(
        self,
        step: str,
        stage: str,
        key: str,
        inputs: Mapping[str, str],
        params: Mapping[str, Any],
        identity: Mapping[str, str],
        more: Mapping[str, str] | None = None,
    ) -> Iterator[Recording]:
        """Record a step while it is done: its run ends FINISHED with its files, or FAILED with the reason.

        `identity` is what the key was made of, for `metis status`; `more` are further tags.
        """
        tags = {
            **(more or {}),
            "metis.step": step,
            "metis.stage": stage,
            "metis.key": key,
            "metis.inputs": json.dumps(dict(inputs), sort_keys=True),
            "metis.identity": json.dumps(dict(identity), sort_keys=True),
        }
        with self._recorded(step, tags, params, inputs) as recording:
            yield recording

    @contextmanager
    def child_recording(self, parent: str, name: str, params: Mapping[str, Any]) -> Iterator[Recording]:
        """Record a job of a sweep, as a run below `parent`."""
        tags = {"mlflow.parentRunId": parent, "metis.stage": "job"}
        with self._recorded(name, tags, params, {}) as recording:
            yield recording

    @contextmanager
    def parent(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """Record a run that others are below; FINISHED when the block ends well."""
        run_id = self._start(name, {**tags, "metis.stage": "sweep"}).run_id
        try:
            with workers_of(run_id, self._client, None if self._remote else self.root, self._name):
                yield run_id
        except BaseException as error:
            self._fail(run_id, error)
            raise
        with surroundings(self.uri):
            self._finish(run_id)

    def children(self, parent: str) -> list[Job]:
        """Return the jobs below a sweep, oldest first."""
        with surroundings(self.uri):
            runs = self._client.search_runs(
                [self.experiment],
                f"tags.`mlflow.parentRunId` = '{parent}' and tags.`metis.stage` = 'job'",
                order_by=["attributes.start_time ASC"],
                max_results=10_000,
            )
            return [
                Job(
                    name=str(run.info.run_name),
                    status=str(run.info.status),
                    error=run.data.tags.get("metis.error", "ended without a word"),
                    folder=self._folder(FoundRun.of(run)) if run.info.status == "FINISHED" else None,
                )
                for run in runs
            ]

    def origin(self, run_id: str) -> tuple[str, str]:
        """Return when a run began, as text, and which run of the chain it was part of."""
        with surroundings(self.uri):
            run = self._client.get_run(run_id)
        began = datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC).astimezone()
        return began.isoformat(timespec="milliseconds"), run.data.tags.get("metis.chain", "")

    def log_file(self, run_id: str, path: Path) -> None:
        """Add a file to a run's artifacts."""
        with surroundings(self.uri):
            self._client.log_artifact(run_id, str(path))

    def _start(self, name: str, tags: Mapping[str, str]) -> Any:
        """Start a run; return MLflow's description of it, with `run_id` and `artifact_uri`."""
        with surroundings(self.uri):
            tags = _public(provenance() | {"metis.process": own_mark()} | dict(tags))
            begun = self._client.create_run(self.experiment, tags=tags, run_name=masked(name)).info
            OWN[begun.run_id] = self._client
            return begun

    @contextmanager
    def _recorded(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], inputs: Mapping[str, str]
    ) -> Iterator[Recording]:
        started = self._start(name, tags)
        try:
            with stage_folder(self.root) as folder:
                (folder / "output").mkdir()
                recording = Recording(started.run_id, folder / "output", inputs, self)
                recording.params(params)
                (recording.about / "versions.json").write_text(json.dumps(versions(), indent=1))
                yield recording
                self._keep(recording, at_hand=is_local(started.artifact_uri))
        except BaseException as error:
            self._fail(started.run_id, error)
            raise

    def _keep(self, recording: Recording, *, at_hand: bool) -> None:
        run_id, output = recording.run_id, recording.folder
        kept = described(output)
        with surroundings(self.uri):
            self._client.log_artifacts(run_id, str(output))
            self._client.log_artifacts(run_id, str(recording.about), ABOUT)
            self.log(run_id, tags=kept)
            self._finish(run_id)
            if not at_hand:
                self._fetched.keep(run_id, output)

    def _finish(self, run_id: str) -> None:
        self._client.set_terminated(run_id, "FINISHED")
        OWN.pop(run_id, None)

    def _fail(self, run_id: str, error: BaseException) -> None:
        try:
            with surroundings(self.uri):
                end(self._client, run_id, *ended_by(error))
        except Exception:  # the first failure is the one to report
            logging.getLogger(__name__).debug("could not record the failure", exc_info=True)

    def log_curve(self, run_id: str, rows: Sequence[Mapping[str, float]], steps: Sequence[int]) -> None:
        """Log rows of numbers in requests of `LOG_CHUNK` values."""
        values = _metrics(rows, steps)
        with surroundings(self.uri):
            for start in range(0, len(values), LOG_CHUNK):
                self._client.log_batch(run_id, metrics=values[start : start + LOG_CHUNK])

    def log(
        self,
        run_id: str,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Log settings, tags and numbers, in one request where they fit."""
        from mlflow.entities import Param, RunTag

        given = [Param(name, masked_value(name, value)[:6000]) for name, value in (params or {}).items()]
        first, later = given[:PARAM_CHUNK], given[PARAM_CHUNK:]
        named = [RunTag(name, value) for name, value in _public(tags or {}).items()]
        with surroundings(self.uri):
            if first or named or metrics:
                self._client.log_batch(run_id, _metrics([metrics or {}], [0]), first, named)
            for start in range(0, len(later), PARAM_CHUNK):
                self._client.log_batch(run_id, params=later[start : start + PARAM_CHUNK])

    def log_datasets(self, run_id: str, datasets: Sequence[Dataset]) -> None:
        """Log which data a run was given."""
        if not datasets:
            return
        logged = [one.logged() for one in datasets]
        with surroundings(self.uri), alone(self.root, ".datasets"):
            for left in reversed(range(COLLISIONS)):
                try:
                    self._client.log_inputs(run_id, datasets=logged)
                    return
                except Exception as error:  # another machine may log the same one to the same server
                    if not left or "unique" not in str(error).lower():
                        raise

    def child(
        self,
        parent: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        datasets: Sequence[Dataset] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> str:
        """Record a finished child run of `parent`; return its id."""
        run_id = str(self._start(name, {**tags, "mlflow.parentRunId": parent}).run_id)
        self.log(run_id, params, metrics=metrics)
        self.log_datasets(run_id, datasets)
        with surroundings(self.uri), TemporaryDirectory(dir=self.root, prefix=".child-") as folder:
            for file, content in (files or {}).items():
                (Path(folder) / file).write_bytes(content)
            self._client.log_artifacts(run_id, folder)
            self._finish(run_id)
        return run_id


def _metrics(rows: Sequence[Mapping[str, float]], steps: Sequence[int]) -> list[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    return [
        Metric(name, float(value), now, step)
        for row, step in zip(rows, steps, strict=True)
        for name, value in row.items()
    ]


def _public(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags without secrets: a command may hold a server's password."""
    return {name: masked(str(value)) for name, value in tags.items()}


def _absent(error: Any) -> bool:
    """Whether an error says that a run or file does not exist, and not that the server is away."""
    return bool(error.error_code == "RESOURCE_DOES_NOT_EXIST" or error.get_http_status_code() == 404)
