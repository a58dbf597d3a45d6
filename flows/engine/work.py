"""What a stage is given: settings, input folders, a folder to write into, its MLflow run, progress."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flows.configuration.settings import Settings
from metis.files import written_whole

if TYPE_CHECKING:
    from flows.engine.runs import Recording

# beside an output and no part of it: wall-clock and CPU seconds, which differ each time
TIMINGS = "timings.csv"


class Progress(Protocol):
    """Receives how far a long computation is."""

    def __call__(self, text: str, done: float, total: int, known: str = "") -> None:
        """Receive one report: what is being done, how much of how much, and what is known so far."""
        ...


def no_progress(text: str, done: float, total: int, known: str = "") -> None:
    """Ignore the report."""


@dataclass(frozen=True)
class Work:
    """One step being done.

    Attributes:
        settings: those that the stage declares; reading another one is an error.
        folder: where its output goes.
        scratch: a folder kept from one try of this step to the next, for checkpoints.
        inputs: output folders of the steps it reads, by step name.
        recording: its MLflow run.
        derived: further values that the stage declares, by name.
        progress: receives how far it is.
        command: the command that asked for it.
        part: what a stage of several steps does now, for instance a scheduler's name.
        again: whether it is done although it was finished.
        spent: CPU seconds that each step took on which this one rests, by step name, whenever it was made.
    """

    settings: Settings
    folder: Path
    scratch: Path
    inputs: Mapping[str, Path]
    recording: "Recording"
    derived: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = field(default=no_progress)
    command: str = "metis run"
    part: str = ""
    again: bool = False
    spent: Mapping[str, float] = field(default_factory=dict)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file into the output."""
        self.write(name, json.dumps(value, indent=1, sort_keys=True).encode())

    def write(self, name: str, content: bytes) -> None:
        """Write a file into the output, whole or not at all."""
        with written_whole(self.folder / name) as file:
            file.write(content)


def read_json(path: Path) -> Any:
    """Read a JSON file of an input."""
    return json.loads(path.read_text(encoding="utf-8"))
