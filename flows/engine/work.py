"""What a stage is given: settings, input folders, a folder to write into, and ways to tell how it goes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flows.configuration.settings import Settings
from flows.engine.store import Recording
from metis.files import written_whole


class Progress(Protocol):
    """Told what is being done, how much of it is, of how much, and what is known of it so far."""

    def __call__(self, text: str, done: int, total: int, known: str = "") -> None:
        """Tell it."""
        ...


def no_progress(text: str, done: int, total: int, known: str = "") -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Work:
    """One step of the chain being done.

    Attributes:
        settings: of the whole run; a stage reads only what its step declares.
        folder: where its output goes.
        scratch: a folder kept from one try of this step to the next, for checkpoints.
        inputs: output folders of the steps it reads, by step name.
        recording: its MLflow run.
        progress: called with a text, how much is done, and of how much.
        command: the command that asked for it.
        part: what a step of several alike does, for instance which scheduler.
    """

    settings: Settings
    folder: Path
    scratch: Path
    inputs: Mapping[str, Path]
    recording: Recording
    progress: Progress = field(default=no_progress)
    command: str = "metis run"
    part: str = ""

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file into the output."""
        with written_whole(self.folder / name) as file:
            file.write(json.dumps(value, indent=1, sort_keys=True).encode())


def read_json(path: Path) -> Any:
    """Read a JSON file of an input."""
    return json.loads(path.read_text(encoding="utf-8"))
