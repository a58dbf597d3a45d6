"""Recorded runs as rows of a table: parameters, metrics and tags of each by name, no artifact read.

From MLflow's SQLite file as `flows.engine.lookup` reads it, a thousand runs in tens of milliseconds; from a
tracking server by MLflow's client.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flows.configuration.sections import TrackingSettings
from flows.engine.database import check
from flows.engine.folders import check_folder, surroundings
from flows.engine.lookup import DATABASE, read_only
from flows.engine.startup import prepare_mlflow
from metis.errors import InputError

Value = str | int | float | None
Row = Mapping[str, Value]
OF_ITSELF = ("run", "name", "status", "when", "duration")  # columns that every run has
PAGE = 1000  # runs a request
LEFT_OUT = (
    "metis.identity",
    "metis.files",
    "metis.inputs",
    "metis.versions",
    "mlflow.",
)  # long, for machines
HERE = """
FROM runs JOIN experiments ON experiments.experiment_id = runs.experiment_id
LEFT JOIN tags AS stages ON stages.run_uuid = runs.run_uuid AND stages.key = 'metis.stage'
WHERE experiments.name = :experiment AND runs.lifecycle_stage = 'active'
AND (:stage IS NULL OR stages.value = :stage)
"""
RUNS = f"SELECT runs.run_uuid, runs.name, runs.status, runs.start_time, runs.end_time {HERE}"
VALUES = {
    kind: f"SELECT run_uuid, key, value FROM {kind} WHERE run_uuid IN (SELECT runs.run_uuid {HERE})"
    for kind in ("tags", "params", "latest_metrics")
}


def recorded_rows(tracking: TrackingSettings, stage: str | None) -> list[Row]:
    """Return the runs of a stage, newest first, each as a mapping from column to value.

    A row has `OF_ITSELF`: id, name, status, begin and seconds from begin to end; the run's tags, parameters
    and last metrics by name, the later of these before the earlier where a name is used twice. Texts that
    read as numbers are numbers; what a run does not have is absent.

    Args:
        tracking: where runs are recorded.
        stage: the tag `metis.stage`; None for runs of all stages.

    Raises:
        InputError: nothing was recorded there.
        SurroundingsError: the store cannot be read.
    """
    found = (
        _by_client(tracking, stage)
        if tracking.uri
        else _by_file(Path(tracking.path).absolute(), tracking, stage)
    )
    return sorted(found, key=lambda row: str(row["when"]), reverse=True)


def _by_file(root: Path, tracking: TrackingSettings, stage: str | None) -> list[Row]:
    check_folder(root)
    database = root / DATABASE
    if not database.is_file():
        raise InputError(
            f"{root}: nothing is recorded there yet; `metis run` does, tracking.path= names another"
        )
    wanted = {"experiment": tracking.experiment, "stage": stage}
    with surroundings(str(database)):
        check(database, 0.5)
        with closing(read_only(database)) as connection:
            rows = {run[0]: _of_itself(*run) for run in connection.execute(RUNS, wanted)}
            for kind in VALUES:
                for run_id, name, value in connection.execute(VALUES[kind], wanted):
                    _enter(rows[run_id], name, value)
    return list(rows.values())


def _by_client(tracking: TrackingSettings, stage: str | None) -> list[Row]:
    prepare_mlflow()
    uri = str(tracking.uri)
    wanted = "" if stage is None else "tags.`metis.stage` = '{}'".format(stage.replace("'", ""))
    rows: list[Row] = []
    with surroundings(uri):
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(tracking.experiment)
        if experiment is None:
            raise InputError(f"tracking.experiment={tracking.experiment}: nothing is recorded under it yet")
        for run in _pages(client, str(experiment.experiment_id), wanted):
            info, data = run.info, run.data
            row = _of_itself(info.run_id, info.run_name, info.status, info.start_time, info.end_time)
            for values in (data.tags, data.params, data.metrics):
                for name, value in values.items():
                    _enter(row, name, value)
            rows.append(row)
    return rows


def _pages(client: Any, experiment: str, wanted: str) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_runs([experiment], wanted, max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _of_itself(run_id: str, name: str, status: str, begun: int, ended: int | None) -> dict[str, Value]:
    when = datetime.fromtimestamp(begun / 1000, tz=UTC).astimezone().isoformat(timespec="milliseconds")
    duration = (ended - begun) / 1000 if ended else None
    return dict(zip(OF_ITSELF, (run_id, name, status, when, duration), strict=True))


def _enter(row: dict[str, Value], name: str, value: Any) -> None:
    if name.startswith(LEFT_OUT) or name in OF_ITSELF:
        return
    read = number(value)
    row[name] = str(value) if read is None else read


def number(value: Any) -> int | float | None:
    """Return a value as a number; None where it is none, or not finite."""
    if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 16:
        return int(value)
    try:
        read = float(value)
    except (TypeError, ValueError):
        return None
    return read if math.isfinite(read) else None


def columns_of(rows: Sequence[Row]) -> list[str]:
    """Return the names of all columns that any row has."""
    return list(dict.fromkeys(name for row in rows for name in row))
