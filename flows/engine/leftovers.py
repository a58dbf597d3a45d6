"""Runs that are open: those that ended processes left, and those of this one."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from flows.engine.folders import surroundings
from flows.engine.lookup import open_runs
from flows.engine.processes import is_gone
from flows.engine.secrets import masked
from metis.errors import MetisError

ENDED_WITHIN = 1.0  # seconds that a killed process may take to be gone


def close_left(client: Any, root: Path, experiment: str) -> None:
    """Mark runs as killed whose process on this machine has ended without a word: `kill -9`, a power cut.

    Args:
        client: of MLflow.
        root: the tracking folder.
        experiment: name of the experiment.
    """
    for run_id, process in open_runs(root, experiment).items():
        if is_gone(process):
            # a disk that cannot be written is to fail what writes, and not what reads
            with suppress(MetisError), surroundings(str(root)):
                end(client, run_id, "killed without a word", "KILLED")


# runs of this process that have not ended, with the client that can end them
OWN: dict[str, Any] = {}
# sweeps of this process that have not ended: how to mark the runs that their processes leave
SWEEPS: dict[str, Callable[[], None]] = {}


def close_own(reason: str) -> None:
    """Mark the runs that this process and those it started have not ended as killed: it is about to end."""
    end_workers()
    for run_id, client in list(OWN.items()):
        with suppress(Exception):  # nothing is left that could be done about it
            end(client, run_id, reason, "KILLED")
    for close in list(SWEEPS.values()):
        with suppress(Exception):
            close()


@contextmanager
def workers_of(sweep: str, client: Any, root: Path | None, experiment: str) -> Iterator[None]:
    """End the processes of a sweep with it, where it is ended from outside, and mark the runs they leave.

    Args:
        sweep: its run.
        client: of MLflow.
        root: the tracking folder; None for a server, where they stay open.
        experiment: name of the experiment.
    """

    def close() -> None:
        if root is not None:
            close_left(client, root, experiment)

    SWEEPS[sweep] = close
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        end_workers()
        close()
        raise
    finally:
        del SWEEPS[sweep]


def end_workers() -> None:
    """End the processes that run jobs of a sweep: they see no signal that this process alone is sent."""
    started = multiprocessing.active_children()
    for pid in filter(None, [process.pid for process in started]):
        with suppress(ProcessLookupError):  # by number: joblib's processes have no `kill`
            os.kill(pid, signal.SIGKILL)
    for process in started:
        process.join(ENDED_WITHIN)


def ended_by(error: BaseException) -> tuple[str, str]:
    """Return the reason and the status of a run that an error ended."""
    if not isinstance(error, Exception):  # Ctrl-C, SIGTERM, and what Prefect makes of it
        return "interrupted", "KILLED"
    reason = str(error) if isinstance(error, MetisError) else f"{type(error).__name__}: {error}"
    return reason, "FAILED"


def end(client: Any, run_id: str, reason: str, status: str) -> None:
    """Mark a run as ended without a result, with the reason."""
    client.set_tag(run_id, "metis.error", masked(reason)[:4000])
    client.set_terminated(run_id, status)
    OWN.pop(run_id, None)
