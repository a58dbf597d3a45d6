"""Runs that their processes left open: closed by the next command."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from flows.engine.folders import surroundings, without_secrets
from flows.engine.lookup import open_runs
from flows.engine.processes import is_gone
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


def end(client: Any, run_id: str, reason: str, status: str) -> None:
    """Mark a run as ended without a result, with the reason."""
    client.set_tag(run_id, "metis.error", without_secrets(reason)[:4000])
    client.set_terminated(run_id, status)
