"""The one record: every stage's output is the artifact folder of one MLflow run, found by its key."""

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.keys import folder_digest
from flows.settings import TrackingSettings
from metis.errors import MetisError, SurroundingsError

# which of its two faces the MLflow UI shows
VIEW = {"mlflow.experimentKind": "custom_model_development"}
LOG_CHUNK = 1000  # values per request that MLflow accepts


@dataclass(frozen=True)
class Record:
    """A finished stage: where its output lies, and the digest of it."""

    run_id: str
    key: str
    digest: str
    folder: Path
    seconds: float


@dataclass(frozen=True)
class Attempt:
    """The last try of a step: what became of it, since when, and what its key was made of (JSON)."""

    run_id: str
    status: str
    error: str
    since: str
    identity: str


@dataclass(frozen=True)
class Job:
    """A job of a sweep, as recorded."""

    name: str
    status: str
    error: str
    folder: Path | None


@dataclass
class Recording:
    """A stage being done: write files into `folder`; the rest goes to the stage's MLflow run."""

    run_id: str
    folder: Path
    _store: "Store"

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers."""
        self._store.log_curve(self.run_id, [dict(values)], [step])

    def curve(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log a learning curve, one row per step, in few requests."""
        self._store.log_curve(self.run_id, rows, list(range(1, len(rows) + 1)))

    def params(self, values: Mapping[str, Any]) -> None:
        """Log settings."""
        self._store.log_params(self.run_id, values)

    def child(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, Any], metrics: Mapping[str, float]
    ) -> str:
        """A finished child run, for MLflow's compare view."""
        return self._store.child(self.run_id, name, tags, params, metrics)


class Store:
    """MLflow, as stages see it.

    Raises:
        SurroundingsError: the tracking store cannot be opened or written.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("DO_NOT_TRACK", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
        self.root = Path(settings.path).absolute()
        with surroundings(f"{self.root}"):
            self.root.mkdir(parents=True, exist_ok=True)
        self.uri = settings.uri or sqlite_uri(self.root)
        with surroundings(self.uri), _alone(self.root):
            from mlflow import MlflowClient

            for name in ("mlflow", "alembic"):
                logging.getLogger(name).setLevel(logging.CRITICAL)  # errors would come with tracebacks
            self._client = MlflowClient(self.uri)
            self.experiment = self._experiment(settings.experiment, remote=settings.uri is not None)

    def _experiment(self, name: str, *, remote: bool) -> str:
        found = self._client.get_experiment_by_name(name)
        if found:
            return str(found.experiment_id)
        location = None if remote else (self.root / "artifacts").as_uri()
        return str(self._client.create_experiment(name, artifact_location=location, tags=VIEW))

    def find(self, step: str, key: str) -> Record | None:
        """The newest finished run of this step and key whose output is whole, if any."""
        with surroundings(self.uri):
            runs = self._client.search_runs(
                [self.experiment],
                f"tags.`metis.step` = '{step}' and tags.`metis.key` = '{key}' and status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                max_results=5,
            )
            for run in runs:
                record = self._record(run)
                if record is not None:
                    return record
        return None

    def last(self, step: str) -> Attempt | None:
        """The newest run of this step, whatever became of it."""
        with surroundings(self.uri):
            runs = self._client.search_runs(
                [self.experiment],
                f"tags.`metis.step` = '{step}'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        if not runs:
            return None
        run = runs[0]
        since = datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC).astimezone()
        return Attempt(
            run_id=str(run.info.run_id),
            status=str(run.info.status),
            error=run.data.tags.get("metis.error", ""),
            since=since.isoformat(timespec="seconds"),
            identity=run.data.tags.get("metis.identity", ""),
        )

    def _folder(self, run: Any) -> Path:
        """Where a run's artifacts lie; fetched first from a store that is not on this machine."""
        from mlflow.artifacts import download_artifacts

        uri = run.info.artifact_uri
        if uri.startswith("file:"):
            return Path(_file_path(uri))
        target = self.root / "downloads" / run.info.run_id
        target.mkdir(parents=True, exist_ok=True)
        return Path(download_artifacts(run_id=run.info.run_id, dst_path=str(target), tracking_uri=self.uri))

    def _record(self, run: Any) -> Record | None:
        tags = run.data.tags
        folder = self._folder(run)
        files = json.loads(tags.get("metis.files", "[]"))
        if folder_digest(folder, files) != tags.get("metis.digest"):
            return None  # damaged or deleted by hand: done again
        seconds = (run.info.end_time - run.info.start_time) / 1000
        return Record(run.info.run_id, tags["metis.key"], tags["metis.digest"], folder, seconds)

    @contextmanager
    def recording(
        self,
        step: str,
        stage: str,
        key: str,
        inputs: Mapping[str, str],
        params: Mapping[str, Any],
        identity: Mapping[str, str],
    ) -> Iterator[Recording]:
        """Do a step: its run ends FINISHED with its files, or FAILED with the reason."""
        tags = {
            "metis.step": step,
            "metis.stage": stage,
            "metis.key": key,
            "metis.inputs": json.dumps(dict(inputs), sort_keys=True),
            "metis.identity": json.dumps(dict(identity), sort_keys=True),
        }
        with self._recorded(step, tags, params) as recording:
            yield recording

    @contextmanager
    def child_recording(self, parent: str, name: str, params: Mapping[str, Any]) -> Iterator[Recording]:
        """Do a job of a sweep: a run below `parent`."""
        tags = {"mlflow.parentRunId": parent, "metis.stage": "job"}
        with self._recorded(name, tags, params) as recording:
            yield recording

    @contextmanager
    def parent(self, name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """A run that others are below; FINISHED when the block ends well."""
        with surroundings(self.uri):
            run = self._client.create_run(
                self.experiment, tags={**tags, "metis.stage": "sweep"}, run_name=name
            )
        try:
            yield str(run.info.run_id)
        except BaseException as error:
            self._fail(run.info.run_id, error)
            raise
        with surroundings(self.uri):
            self._client.set_terminated(run.info.run_id, "FINISHED")

    def children(self, parent: str) -> list[Job]:
        """The jobs below a sweep, oldest first."""
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
                    folder=self._folder(run) if run.info.status == "FINISHED" else None,
                )
                for run in runs
            ]

    def log_file(self, run_id: str, path: Path) -> None:
        """Add a file to a run's artifacts."""
        with surroundings(self.uri):
            self._client.log_artifact(run_id, str(path))

    @contextmanager
    def _recorded(self, name: str, tags: Mapping[str, str], params: Mapping[str, Any]) -> Iterator[Recording]:
        with surroundings(self.uri):
            run_id = self._client.create_run(self.experiment, tags=dict(tags), run_name=name).info.run_id
        try:
            with _stage_folder(self.root) as folder:
                recording = Recording(run_id, folder, self)
                recording.params(params)
                yield recording
                self._keep(run_id, folder)
        except BaseException as error:
            self._fail(run_id, error)
            raise

    def _keep(self, run_id: str, folder: Path) -> None:
        files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        with surroundings(self.uri):
            self._client.log_artifacts(run_id, str(folder))
            self._client.set_tag(run_id, "metis.files", json.dumps(files))
            self._client.set_tag(run_id, "metis.digest", folder_digest(folder, files))
            self._client.set_terminated(run_id, "FINISHED")

    def _fail(self, run_id: str, error: BaseException) -> None:
        reason = str(error) if isinstance(error, MetisError) else f"{type(error).__name__}: {error}"
        try:
            self._client.set_tag(run_id, "metis.error", reason[:4000])
            killed = isinstance(error, KeyboardInterrupt | SystemExit)
            self._client.set_terminated(run_id, "KILLED" if killed else "FAILED")
        except Exception:  # the first failure is what the user must hear of
            logging.getLogger(__name__).debug("could not record the failure", exc_info=True)

    def log_curve(self, run_id: str, rows: Sequence[Mapping[str, float]], steps: Sequence[int]) -> None:
        """Log rows of numbers in requests of `LOG_CHUNK` values."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        values = [
            Metric(name, float(value), now, step)
            for row, step in zip(rows, steps, strict=True)
            for name, value in row.items()
        ]
        with surroundings(self.uri):
            for start in range(0, len(values), LOG_CHUNK):
                self._client.log_batch(run_id, metrics=values[start : start + LOG_CHUNK])

    def log_params(self, run_id: str, values: Mapping[str, Any]) -> None:
        """Log settings."""
        from mlflow.entities import Param

        params = [Param(name, str(value)[:6000]) for name, value in values.items()]
        with surroundings(self.uri):
            for start in range(0, len(params), 100):
                self._client.log_batch(run_id, params=params[start : start + 100])

    def child(
        self,
        parent: str,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
    ) -> str:
        """A finished child run of `parent`."""
        with surroundings(self.uri):
            run_id = str(
                self._client.create_run(
                    self.experiment, tags={**tags, "mlflow.parentRunId": parent}, run_name=name
                ).info.run_id
            )
            self.log_params(run_id, params)
            self.log_curve(run_id, [dict(metrics)], [0])
            self._client.set_terminated(run_id, "FINISHED")
        return run_id


@contextmanager
def _stage_folder(root: Path) -> Iterator[Path]:
    """A folder for a stage's files meanwhile; locked, so that a live one is told from a dead one."""
    with _alone(root):
        _sweep_up(root)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=".stage-"))
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep_up(root: Path) -> None:
    """Remove the stage folders of processes that were killed."""
    for left in root.glob(".stage-*"):
        held = os.open(left, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            pass  # somebody is at work in it
        finally:
            os.close(held)


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One process at a time: two that create the tables of a fresh store at once would break it."""
    with (root / ".opening").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # let go by closing, and by the kernel when a process dies
        yield


def sqlite_uri(root: Path) -> str:
    """The SQLite tracking URI of a folder. SQLAlchemy takes the path as it stands, `%` aside."""
    return f"sqlite:///{str(root / 'mlflow.db').replace('%', '%25')}"


@contextmanager
def surroundings(where: str) -> Iterator[None]:
    """Turn what a store may throw into one clear line."""
    try:
        yield
    except MetisError:
        raise
    except OSError as error:
        raise SurroundingsError(f"{where}: {error.strerror or error}") from None
    except Exception as error:
        kind = f"{type(error).__module__}.{type(error).__name__}"
        if not kind.startswith(("mlflow", "sqlalchemy", "alembic", "sqlite3")):
            raise
        text = " ".join(str(error).split())
        if "out-of-date database schema" in text or "Can't locate revision" in text:
            text = "the database is of another version of MLflow; upgrade metis, or move the file away"
        raise SurroundingsError(f"{where}: {text[:300]}") from None


def _file_path(uri: str) -> str:
    from urllib.parse import unquote, urlparse

    return unquote(urlparse(uri).path)
