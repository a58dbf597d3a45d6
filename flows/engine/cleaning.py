"""Old runs and files of a tracking store: what nothing newer needs, and copies long unused."""

import json
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from flows.configuration.sections import GcSettings
from flows.engine.store import Store
from metis.errors import InputError, SurroundingsError

DAY = 86_400.0
RUNNING, YOUNG, NEWEST, NEEDED = "running", "young", "newest of their step", "needed by those"
WHY = (RUNNING, YOUNG, NEWEST, NEEDED)  # why a run stays
CACHES = ("cache", "checkpoints", "downloads", "locks", "logs", "plans", "sweeps")


@dataclass(frozen=True)
class Old:
    """A run or file that may be deleted.

    Attributes:
        what: a run's name with its id, or a file's name.
        why: `failed`, `superseded`, or `cached`.
        days: its age.
        bytes: on disk.
        run_id: of a run.
        path: of its file or folder.
    """

    what: str
    why: str
    days: float
    bytes: int
    run_id: str | None = None
    path: Path | None = None


def find_old(store: Store, settings: GcSettings) -> list[Old]:
    """Return runs and cached files that may be deleted, oldest first; see `survey`."""
    return survey(store, settings)[0]


def survey(store: Store, settings: GcSettings) -> tuple[list[Old], dict[str, int]]:
    """Return what may be deleted, oldest first, and how many runs stay, by the reason.

    A run stays while it is young or open; a finished one also where it is among the newest `keep` of its
    step, and whatever one that stays stands on, at any remove.
    """
    if not store.uri.startswith("sqlite:"):
        raise InputError(f"{store.uri}: a tracking server is cleaned where it runs, with `mlflow gc`")
    now = time.time()
    runs = _all_runs(store)
    kept = _kept(runs, settings, now)
    old = [
        Old(
            f"{run.info.run_name} {run.info.run_id[:8]}",
            "superseded" if run.info.status == "FINISHED" else "failed",
            _age(run, now),
            _size(_folder(run)),
            run_id=run.info.run_id,
            path=_folder(run).parent,  # named after the run; MLflow leaves it behind, empty
        )
        for run in runs
        if run.info.run_id not in kept
    ]
    old += [
        Old(str(path.relative_to(store.root)), "cached", age, _size(path), path=path)
        for path in _cached(store.root)
        if (age := (now - path.stat().st_mtime) / DAY) >= settings.days
    ]
    reasons = Counter(kept.values())
    return sorted(old, key=lambda one: -one.days), {why: reasons[why] for why in WHY if reasons[why]}


def delete_old(store: Store, old: Iterable[Old]) -> None:
    """Delete for good what `find_old` found.

    Raises:
        SurroundingsError: MLflow could not; what it said last.
    """
    from mlflow import MlflowClient

    client = MlflowClient(store.uri)
    runs = [one.run_id for one in old if one.run_id]
    for run in runs:
        client.delete_run(run)
    if runs:
        _forget(store.uri, runs)
    for one in old:
        if one.path is None:
            continue
        if one.path.is_dir():
            shutil.rmtree(one.path, ignore_errors=True)
        else:
            one.path.unlink(missing_ok=True)


def _forget(uri: str, runs: Sequence[str]) -> None:
    """Have `mlflow gc` delete runs for good, in this process: another takes seconds to import MLflow."""
    from mlflow.cli import gc

    words = ["--backend-store-uri", uri, "--tracking-uri", uri, "--run-ids", ",".join(runs)]
    try:
        with redirect_stdout(StringIO()):  # a line for each run
            gc.main(words, standalone_mode=False)
    except Exception as error:  # of MLflow's, SQLAlchemy's or click's
        said = (str(error).strip().splitlines() or ["no word"])[-1]
        raise SurroundingsError(f"mlflow gc: {said}") from None


def _all_runs(store: Store) -> list[Any]:
    from mlflow import MlflowClient

    client, runs, token = MlflowClient(store.uri), [], None
    while True:
        page = client.search_runs([store.experiment], max_results=5000, page_token=token)
        runs += list(page)
        token = page.token
        if not token:
            return runs


def _kept(runs: Sequence[Any], settings: GcSettings, now: float) -> dict[str, str]:
    """Return the ids of the runs that stay, with the reason, one of `WHY`."""
    by_id = {run.info.run_id: run for run in runs}
    newest: dict[str, int] = defaultdict(int)
    kept: dict[str, str] = {}
    for run in sorted(runs, key=lambda run: -run.info.start_time):
        young = _age(run, now) < settings.days
        finished = run.info.status == "FINISHED"
        step = run.data.tags.get("metis.step")
        if finished and step:
            newest[step] += 1
        if run.info.status == "RUNNING":
            kept[run.info.run_id] = RUNNING
        elif young:
            kept[run.info.run_id] = YOUNG
        elif finished and step and newest[step] <= settings.keep:
            kept[run.info.run_id] = NEWEST
    waiting = list(kept)
    while waiting:
        run_id = waiting.pop()
        tags = by_id[run_id].data.tags
        needed = [*json.loads(tags.get("metis.inputs", "{}")).values(), tags.get("mlflow.parentRunId")]
        fresh = [one for one in needed if one in by_id and one not in kept]
        kept |= dict.fromkeys(fresh, NEEDED)
        waiting += fresh
    # what hangs below a run that stays, stays
    below = [run.info.run_id for run in runs if run.data.tags.get("mlflow.parentRunId") in kept]
    return dict.fromkeys(below, NEEDED) | kept


def _age(run: Any, now: float) -> float:
    return float(now - run.info.start_time / 1000) / DAY


def _folder(run: Any) -> Path:
    from urllib.parse import unquote, urlparse

    return Path(unquote(urlparse(run.info.artifact_uri).path))


def _cached(root: Path) -> list[Path]:
    """Yield what can be deleted one by one: files of caches, folders of downloads."""
    found = [path for name in CACHES if (root / name).is_dir() for path in (root / name).iterdir()]
    return [path for path in found if str(path.relative_to(root)) not in CACHES]


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return path.stat().st_size if path.is_file() else 0
