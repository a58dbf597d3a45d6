"""What Prefect's UI shows of a run: progress of long steps, results, links to MLflow and the report."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any, cast
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.engine.links import run_link
from flows.engine.memo import Memo, Outcome
from flows.engine.runs import Record
from flows.engine.work import Progress

LONG = 2.0  # seconds after which a step is worth a progress artifact
EVERY = 2.0  # seconds between two updates of it
COLUMNS = ("true_rps", "true_ratio", "rps", "ratio", "seconds", "cpu_seconds", "free_nodes")


class StepProgress:
    """Reports the progress of a step to `progress`, and of a long one to Prefect's UI."""

    def __init__(self, step: str, progress: Progress) -> None:
        self._step = step
        self._progress = progress
        self._last = time.monotonic() - EVERY + LONG
        self._artifact: UUID | None = None
        self._shown = True

    def __call__(self, text: str, done: float, total: int, known: str = "") -> None:
        """Report progress; the first report of a long step creates its artifact."""
        self._progress(text, done, total, known)
        ended = done >= total and self._artifact is not None
        if not self._shown or (time.monotonic() - self._last < EVERY and not ended):
            return
        self._last = time.monotonic()
        share, described = 100.0 * done / max(total, 1), f"{self._step}: {text}, {done:.3g} of {total}{known}"
        self._shown = _shown(lambda: self._show(share, described))

    def _show(self, share: float, described: str) -> None:
        if self._artifact is None:
            key = _key("progress", self._step)
            self._artifact = cast(UUID, create_progress_artifact(share, key=key, description=described))
        else:
            update_progress_artifact(self._artifact, share, description=described)


def show_run(memo: Memo, step: str, record: Record) -> None:
    """Link the MLflow run of a step."""
    link = run_link(memo.settings.tracking, memo.store.experiment, record.run_id)
    text, about = f"{step} in MLflow", f"{step} took {record.seconds:.1f} s"
    _shown(lambda: create_link_artifact(link, text, key=_key("mlflow", step), description=about))


def show_results(outcome: Outcome) -> None:
    """Show the table of schedulers, best first, where a run evaluated them."""
    folder = outcome.folder("evaluate")
    if folder is None:
        return
    from flows.report.data import ranking, truth_known
    from flows.stages.evaluate import read_results

    results = read_results(folder)
    columns = [name for name in COLUMNS if name in results]
    means = results.groupby("scheduler")[columns].mean().loc[ranking(results)]
    rows = means.round(4).reset_index().to_dict("records")
    table = [{str(name): value for name, value in row.items()} for row in rows]
    groups = results["group"].nunique()
    order = "in truth" if truth_known(results) else "as predicted"
    about = f"Means over {groups} groups, best first {order}; ratio: share of the optimum of the simulator."
    _shown(lambda: create_table_artifact(table, key="results", description=about))


def show_page(memo: Memo, outcome: Outcome) -> None:
    """Link the report page of a run, as MLflow shows it."""
    record = outcome.records.get("report")
    if record is None:
        return
    run = run_link(memo.settings.tracking, memo.store.experiment, record.run_id)
    link, about = f"{run}/artifacts/report.html", f"The same page as a file: {record.folder / 'report.html'}"
    _shown(lambda: create_link_artifact(link, link_text="report.html", key="report", description=about))


def _key(kind: str, step: str) -> str:
    """Return a key as Prefect allows it: small letters, digits and dashes."""
    return f"{kind}-{re.sub(r'[^a-z0-9]+', '-', step.lower()).strip('-')}"


def _shown(show: Callable[[], Any]) -> bool:
    """Show an artifact; a UI that is away never fails a step."""
    try:
        show()
    except Exception:
        logging.getLogger(__name__).debug("Prefect could not be reached", exc_info=True)
        return False
    return True
