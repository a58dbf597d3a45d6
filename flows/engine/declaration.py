"""What a stage declares: inputs, settings that it reads, modules whose source counts, its function."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from flows.configuration.settings import Settings, counted, plain
from flows.engine.keys import digest, source_digest
from flows.engine.work import Work

Names = tuple[str, ...]
# the same for every part of a stage, or by settings and part
ByPart = Names | Callable[[Settings, str], Names]


class UndeclaredSettingError(Exception):
    """A stage read a setting that it does not declare: its key would miss it."""


@dataclass(frozen=True)
class Stage:
    """A stage of the chain, declared beside its function.

    Attributes:
        name: of the stage, which is also that of its module.
        about: what it does, in one sentence.
        run: the function; writes its output into `Work.folder`.
        settings: dotted names of the settings that decide its output.
        unkeyed: of settings that it reads although they do not change its output: how many at once, where.
        derived: further values that decide its output, by name; `Work.derived` holds them.
        inputs: steps whose output it reads, and whose output counts.
        after: steps whose output it reads although that does not count: the same co-locations on the same
            images are the same profile, whatever address a host had.
        optional: inputs that it can do without: they are read where making them is not costly.
        costly: whether making it takes hours of machines, so that it is not made as a by-product.
        modules: modules whose source counts, with all of ours that they import.
        parts: what it is done for, one step each, for instance schedulers; None for a single step.
        present: whether it belongs to the chain under some settings.
        always: whether it is done again whenever another step needs it: hosts may have gone since.
        timed: whether it measures its own seconds, so that nothing may run beside it.
        check: refuses settings under which its function is certain to fail, before its inputs are made.
        view: the settings as this stage takes them, where it is not done for those of the run.
        doing: the stage being done, in words: `simulator: being fitted by another run`.
    """

    name: str
    about: str
    run: Callable[[Work], None]
    settings: ByPart = ()
    unkeyed: ByPart = ()
    derived: Mapping[str, Callable[[Settings], Any]] = field(default_factory=dict)
    inputs: ByPart = ()
    after: Callable[[Settings], Names] = lambda settings: ()
    optional: Names = ()
    costly: Callable[[Settings], bool] = lambda settings: False
    modules: ByPart = ()
    parts: Callable[[Settings], Sequence[str]] | None = None
    present: Callable[[Settings], bool] = lambda settings: True
    always: Callable[[Settings], bool] = lambda settings: False
    timed: bool = False
    check: Callable[[Settings], None] = lambda settings: None
    view: Callable[[Settings], Settings] = lambda settings: settings
    doing: str = "made"

    def steps(self, settings: Settings) -> "list[Step]":
        """Return its steps under these settings, in order; none where it does not belong to the chain."""
        if not self.present(settings):
            return []
        return [self.step(settings, part) for part in (self.parts(settings) if self.parts else ("",))]

    def step(self, settings: Settings, part: str = "") -> "Step":
        """Return its step for one part."""
        return Step(
            stage=self,
            part=part,
            chosen=self.view(settings),
            inputs=_by_part(self.inputs, settings, part),
            after=self.after(settings),
            modules=_by_part(self.modules, settings, part),
        )


@dataclass(frozen=True)
class Step:
    """A stage to be done for one part, under given settings.

    Attributes:
        stage: the declaration.
        part: for instance a scheduler's name; empty for a stage with a single step.
        chosen: all settings of the run, as the stage takes them; the stage's function sees those declared.
        inputs: names of the steps whose output it reads.
        after: names of further steps that it reads, whose output does not count.
        modules: whose source counts.
    """

    stage: Stage
    part: str
    chosen: Settings
    inputs: Names
    after: Names
    modules: Names

    @property
    def name(self) -> str:
        """`stage`, or `stage/part`."""
        return f"{self.stage.name}/{self.part}" if self.part else self.stage.name

    @property
    def always(self) -> bool:
        """Whether it is done again whenever another step needs it."""
        return self.stage.always(self.chosen)

    @property
    def declared(self) -> Names:
        """Dotted names of the settings that decide its output."""
        return _by_part(self.stage.settings, self.chosen, self.part)

    @property
    def unkeyed(self) -> Names:
        """Dotted names of settings that it also reads, which do not change its output."""
        return _by_part(self.stage.unkeyed, self.chosen, self.part)

    def settings(self) -> Settings:
        """Return what its function may read: the declared settings, and an error for all others."""
        names = (*self.declared, *self.unkeyed)
        return cast(Settings, Declared(self.chosen, names, f"stage {self.stage.name}"))

    def derived(self) -> dict[str, Any]:
        """Return the derived values."""
        return {name: derive(self.chosen) for name, derive in self.stage.derived.items()}

    def values(self) -> dict[str, Any]:
        """Return the settings and derived values that decide its output, by name; files by their digest."""
        found = counted(plain(self.chosen), self.declared)
        kept = {name: value for name, value in found.items() if name not in self.unkeyed}
        return flattened(kept | self.derived())

    def identity(self, digests: Mapping[str, str]) -> dict[str, str]:
        """Return what its key is made of, by name: settings, inputs and source.

        Args:
            digests: of the outputs of its inputs.
        """
        values = {name: digest(value) for name, value in self.values().items()}
        inputs = {f"output of {name}": digests[name] for name in self.inputs}
        return values | inputs | {f"source of {module}": source_digest(module) for module in self.modules}

    def key(self, digests: Mapping[str, str]) -> str:
        """Return its key, given the digests of its inputs' outputs."""
        return digest([self.name, self.identity(digests)])


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{prefix}.{name}" if prefix else str(name)
        flat |= flattened(value, dotted) if isinstance(value, Mapping) and value else {dotted: value}
    return flat


class Declared:
    """Settings of which only the declared ones can be read.

    Raises:
        UndeclaredSettingError: another one is read; names it and where to declare it.
    """

    def __init__(self, whole: Any, names: Names, reader: str, prefix: str = "") -> None:
        self.__dict__.update(_whole=whole, _names=names, _reader=reader, _prefix=prefix)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        dotted = f"{self._prefix}{name}"
        attribute = getattr(type(self._whole), name, None)
        if isinstance(attribute, property) and attribute.fget is not None:
            return attribute.fget(self)  # reads other settings, which must be declared themselves
        if any(dotted == known or dotted.startswith(f"{known}.") for known in self._names):
            return getattr(self._whole, name)
        if any(known.startswith(f"{dotted}.") for known in self._names):
            return Declared(getattr(self._whole, name), self._names, self._reader, f"{dotted}.")
        raise UndeclaredSettingError(
            f"{self._reader} reads {dotted!r}, which it does not declare: add it to its settings"
        )

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"settings cannot be changed: {name}")


def _by_part(given: ByPart, settings: Settings, part: str) -> Names:
    return given(settings, part) if callable(given) else given
