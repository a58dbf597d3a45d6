"""Runs that are open: those that ended processes left, and those of this one."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.engine.folders import surroundings
from flows.engine.lookup import open_runs
from flows.engine.processes import is_gone
from flows.engine.secrets import masked
from metis.errors import MetisError


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


def close_own(reason: str) -> None:
    """Mark the runs that this process has begun and not ended as killed: it is about to end."""
    for run_id, client in list(OWN.items()):
        with suppress(Exception):  # nothing is left that could be done about it
            end(client, run_id, reason, "KILLED")


def end(client: Any, run_id: str, reason: str, status: str) -> None:
    """Mark a run as ended without a result, with the reason."""
    client.set_tag(run_id, "metis.error", masked(reason)[:4000])
    client.set_terminated(run_id, status)
    OWN.pop(run_id, None)
