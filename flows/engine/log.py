"""The log of a step: a file that grows while the step goes on, and stays where it failed or was killed."""

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from flows.engine.secrets import masked
from flows.engine.work import Progress

REPORT_EVERY = 5.0  # seconds between two lines of progress


def log_path(root: Path, run_id: str) -> Path:
    """Return the path of the log of an MLflow run, below the tracking folder `root`."""
    return root / "logs" / f"{run_id}.log"


@contextmanager
def step_log(path: Path, about: str, progress: Progress) -> Iterator[Progress]:
    """Keep a log at `path` while the block goes on; the progress that it yields is written there, too.

    It is removed when the block ends well: what a step did is in its MLflow run.

    Args:
        path: of the log.
        about: its first line: the step and the command.
        progress: receives it as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", buffering=1) as file:
        _line(file, about)
        warned = _Warnings(file)
        logging.getLogger().addHandler(warned)
        try:
            yield _also_to(file, progress)
        except BaseException:
            file.write(masked(traceback.format_exc()))
            raise
        finally:
            logging.getLogger().removeHandler(warned)
    path.unlink()


class _Warnings(logging.Handler):
    """Writes warnings and errors of libraries to the log; lower levels are left out."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(logging.WARNING)
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        _line(self._file, f"{record.name}: {record.getMessage()}")


def _also_to(file: TextIO, progress: Progress) -> Progress:
    last = time.monotonic()

    def report(text: str, done: float, total: int, known: str = "") -> None:
        nonlocal last
        progress(text, done, total, known)
        if done == total or time.monotonic() - last >= REPORT_EVERY:
            last = time.monotonic()
            _line(file, f"{text}: {done:g} of {total}{known}")

    return report


def _line(file: TextIO, text: str) -> None:
    file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {masked(text)}\n")
