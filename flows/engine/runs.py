"""Runs of MLflow as the rest of flows sees them: finished steps, attempts, jobs of sweeps, recordings."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from flows.engine.provenance import Dataset

ABOUT = "about"  # artifacts for people: no part of the output, so that they change no digest


@dataclass(frozen=True)
class Record:
    """A finished step.

    Attributes:
        run_id: its MLflow run.
        key: of the step.
        digest: of its output, timings left out.
        folder: where its output lies.
        seconds: wall time that it took.
        cpu_seconds: CPU time of the process meanwhile; NaN where it was not recorded.
    """

    run_id: str
    key: str
    digest: str
    folder: Path
    seconds: float
    cpu_seconds: float = float("nan")


@dataclass(frozen=True)
class Attempt:
    """The last try of a step: what became of it, since when, and what its key was made of (JSON)."""

    run_id: str
    status: str
    error: str
    since: str
    identity: str

    @classmethod
    def of(cls, run: Any) -> "Attempt":
        """Return a run of MLflow's client in this form."""
        since = datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC).astimezone()
        return cls(
            run_id=str(run.info.run_id),
            status=str(run.info.status),
            error=run.data.tags.get("metis.error", ""),
            since=since.isoformat(timespec="seconds"),
            identity=run.data.tags.get("metis.identity", ""),
        )


@dataclass(frozen=True)
class Job:
    """A job of a sweep, as recorded."""

    name: str
    status: str
    error: str
    folder: Path | None


class RunLog(Protocol):
    """What a recording writes to: the store, see `flows.engine.store.Store`."""

    @property
    def experiment(self) -> str:
        """Return the id of the experiment."""
        ...

    def log_curve(self, run_id: str, rows: Sequence[Mapping[str, float]], steps: Sequence[int]) -> None:
        """Log rows of numbers."""
        ...

    def log(
        self, run_id: str, params: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Log settings and tags."""
        ...

    def log_datasets(self, run_id: str, datasets: Sequence[Dataset]) -> None:
        """Log which data a run was given."""
        ...

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
        """Record a finished child run; return its id."""
        ...


@dataclass
class Recording:
    """A stage being done: write files into `folder`; the rest goes to the stage's MLflow run.

    Attributes:
        run_id: of the run.
        folder: for the output.
        inputs: the run of every step that it reads, by step name.
    """

    run_id: str
    folder: Path
    inputs: Mapping[str, str]
    _store: RunLog

    @property
    def about(self) -> Path:
        """A folder for what people look at: pictures, curves; no part of the output."""
        folder = self.folder.parent / ABOUT
        folder.mkdir(exist_ok=True)
        return folder

    @property
    def experiment(self) -> str:
        """The id of the experiment that the run belongs to."""
        return self._store.experiment

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Log numbers."""
        self._store.log_curve(self.run_id, [dict(values)], [step])

    def curve(self, rows: Sequence[Mapping[str, float]], name: str = "curve") -> None:
        """Log a learning curve, one row per step, in few requests, and keep it as a table."""
        self._store.log_curve(self.run_id, rows, list(range(1, len(rows) + 1)))
        columns = list(dict.fromkeys(column for row in rows for column in row))
        with (self.about / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(rows)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log settings."""
        self._store.log(self.run_id, params=values)

    def describe(
        self, tags: Mapping[str, str], params: Mapping[str, Any], datasets: Sequence[Dataset] = ()
    ) -> None:
        """Describe the run by the scheme of flows.engine.provenance, and the data that it was given."""
        self._store.log(self.run_id, params=params, tags=tags)
        self._store.log_datasets(self.run_id, datasets)

    def child(
        self,
        name: str,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        datasets: Sequence[Dataset] = (),
        files: Mapping[str, bytes] | None = None,
    ) -> str:
        """Record a finished child run, for MLflow's compare view; `files` are its artifacts by name."""
        return self._store.child(self.run_id, name, tags, params, metrics, datasets, files)


def placer_of(tags: Mapping[str, str], tags_of: Callable[[str], Mapping[str, str]]) -> str | None:
    """Return the id of the run that placed what a run that `metis runs` shows judges; None for another run.

    Where it was not noted yet, it is among the inputs of the run's parent.

    Args:
        tags: of the run.
        tags_of: returns the tags of another run by its id.
    """
    if "metis.placed_by" in tags or "metis.digest" in tags or "mlflow.parentRunId" not in tags:
        return tags.get("metis.placed_by")
    inputs = json.loads(tags_of(tags["mlflow.parentRunId"]).get("metis.inputs", "{}"))
    judged = f"/{tags.get('metis.scheduler')}"
    return next((str(run_id) for step, run_id in inputs.items() if step.endswith(judged)), None)
