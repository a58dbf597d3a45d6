"""Finished runs looked up in the SQLite file of MLflow itself, without importing MLflow.

Importing it takes two seconds, this a millisecond. Nothing but the tables of MLflow keeps state; a test holds
what is found here against what the client of MLflow returns.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATABASE = "mlflow.db"
MOST = 5  # runs looked at: the newest whose output is whole is taken
FINISHED = """
SELECT runs.run_uuid, runs.artifact_uri, runs.start_time, runs.end_time
FROM runs
JOIN experiments ON experiments.experiment_id = runs.experiment_id
JOIN tags AS keys ON keys.run_uuid = runs.run_uuid AND keys.key = 'metis.key' AND keys.value = :key
JOIN tags AS steps ON steps.run_uuid = runs.run_uuid AND steps.key = 'metis.step' AND steps.value = :step
WHERE experiments.name = :experiment AND runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
ORDER BY runs.start_time DESC LIMIT :most
"""
OPEN = """
SELECT runs.run_uuid, tags.value FROM runs
JOIN experiments ON experiments.experiment_id = runs.experiment_id
JOIN tags ON tags.run_uuid = runs.run_uuid AND tags.key = 'metis.process'
WHERE experiments.name = :experiment AND runs.status = 'RUNNING' AND runs.lifecycle_stage = 'active'
"""
TAGS = "SELECT key, value FROM tags WHERE run_uuid = ?"
CPU_SECONDS = "SELECT value FROM latest_metrics WHERE run_uuid = ? AND key = 'cpu_seconds'"


@dataclass(frozen=True)
class FoundRun:
    """A finished run as MLflow knows it.

    Attributes:
        run_id: of the run.
        artifact_uri: where its artifacts lie.
        tags: by name.
        seconds: from its start to its end.
        cpu_seconds: of the process while it was done; NaN where they were not recorded.
    """

    run_id: str
    artifact_uri: str
    tags: Mapping[str, str]
    seconds: float
    cpu_seconds: float

    @classmethod
    def of(cls, run: Any) -> "FoundRun":
        """Return a run of MLflow's client in this form."""
        seconds = ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000
        cpu = float(run.data.metrics.get("cpu_seconds", float("nan")))
        return cls(str(run.info.run_id), str(run.info.artifact_uri), run.data.tags, seconds, cpu)


def finished_runs(root: Path, experiment: str, step: str, key: str) -> list[FoundRun] | None:
    """Return the finished runs of a step and key, newest first; None where the file cannot be read so.

    Args:
        root: folder of the database.
        experiment: name of the experiment.
        step: name of the step.
        key: of the step.
    """
    database = root / DATABASE
    if not database.is_file():
        return []
    wanted = {"experiment": experiment, "step": step, "key": key, "most": MOST}
    try:
        with closing(read_only(database)) as connection:
            return [_found(connection, *row) for row in connection.execute(FINISHED, wanted)]
    except sqlite3.Error:
        return None  # another version of MLflow, or a damaged file: its client knows what to say


def open_runs(root: Path, experiment: str) -> dict[str, str]:
    """Return the process of every run that has not ended, by the run's id; see `flows.engine.processes`."""
    try:
        with closing(read_only(root / DATABASE)) as connection:
            return dict(connection.execute(OPEN, {"experiment": experiment}).fetchall())
    except sqlite3.Error:
        return {}


def read_only(database: Path) -> sqlite3.Connection:
    """Open a database without writing to it, nor creating it."""
    return sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)


def _found(connection: sqlite3.Connection, run_id: str, uri: str, start: int, end: int) -> FoundRun:
    tags = dict(connection.execute(TAGS, (run_id,)))
    cpu = connection.execute(CPU_SECONDS, (run_id,)).fetchone()
    return FoundRun(run_id, uri, tags, (end - start) / 1000, float(cpu[0]) if cpu else float("nan"))
