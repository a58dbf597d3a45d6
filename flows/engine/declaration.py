"""A step of the chain: what it reads, what of the settings counts, whose source counts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.engine.keys import digest, file_digest, source_digest

if TYPE_CHECKING:
    from flows.engine.work import Work


@dataclass(frozen=True)
class Step:
    """One step of the chain; a stage has one, or one per scheduler.

    Attributes:
        name: `stage` or `stage/part`.
        stage: the stage it belongs to.
        inputs: names of the steps whose output it reads.
        settings: what it reads of the settings, files by digest.
        modules: modules whose source counts, with all of ours that they import.
        part: which of several alike.
        after: names of further steps that it reads, whose output does not count: the same co-locations on
            the same images are the same profile, whatever address a host had.
        always: whether it is done again whenever another step needs it: hosts may have gone since.
    """

    name: str
    stage: str
    inputs: tuple[str, ...]
    settings: Mapping[str, Any]
    modules: tuple[str, ...]
    part: str = field(default="")
    after: tuple[str, ...] = ()
    always: bool = False

    def key(self, digests: Mapping[str, str]) -> str:
        """Its key, given the digests of its inputs' outputs."""
        return digest([self.name, self.identity(digests)])

    def identity(self, digests: Mapping[str, str]) -> dict[str, str]:
        """What its key is made of, by name: settings, inputs and source, so that a change can be told."""
        settings = {name: digest(value) for name, value in flattened(self.settings).items()}
        inputs = {f"output of {name}": digests[name] for name in self.inputs}
        return settings | inputs | {f"source of {module}": source_digest(module) for module in self.modules}

    @property
    def run(self) -> "Callable[[Work], None]":
        """The stage's function; its module is imported only now."""
        function: Callable[[Work], None] = import_module(f"flows.stages.{self.stage}").run
        return function


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        dotted = f"{prefix}.{name}" if prefix else str(name)
        flat |= flattened(value, dotted) if isinstance(value, Mapping) and value else {dotted: value}
    return flat


def with_file(section: dict[str, Any]) -> dict[str, Any]:
    """A section whose `path` is replaced by the digest of the file: a moved file is the same input."""
    path = section.get("path")
    return section | {"path": file_digest(Path(path))} if path else section
