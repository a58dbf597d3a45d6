"""Schedulers by name: what `scheduler=` may say, and how each is made.

A name is one of `ENTRIES`, or `module:function` for a scheduler of your own with the signature
`(group, cluster, worth) -> (placement, trace)`; `+local_search` may follow any of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import Any

from metis.errors import InputError
from metis.objectives import Tables
from metis.problem import Cluster, Decision, FloatArray, PlaceFunction, Scheduler, TimedScheduler
from metis.space import IntArray

IMPROVERS = {"local_search": ("baselines.local_search", "improve", "LocalSearchSettings")}
WARM_UP_LIMIT = 5.0  # seconds; what takes longer is not measurably slower the first time


@dataclass(frozen=True)
class Materials:
    """What schedulers may need beside group, cluster and worth.

    Attributes:
        tables: the simulator's tables.
        options: settings per scheduler, by the entry's section name.
        seed: of random choices.
        trained: makes the place function of a learned scheduler, training what is missing.
    """

    tables: Tables
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    trained: Callable[[str], PlaceFunction] | None = None


@dataclass(frozen=True)
class Entry:
    """A scheduler: where it is, its settings class there, and the section that fills it.

    With `builder`, `function` takes `Materials` (and the settings) and returns the place function.
    """

    module: str
    function: str
    settings: str | None = None
    section: str | None = None
    builder: bool = False


ENTRIES: dict[str, Entry] = {
    "optimum": Entry("baselines.optimum", "place_optimum", "OptimumSettings", "optimum"),
    "greedy": Entry("baselines.greedy", "place_greedy"),
    "round_robin": Entry("baselines.round_robin", "place_round_robin"),
    "spread": Entry("baselines.spread", "place_spread"),
}


def make_scheduler(name: str, materials: Materials) -> TimedScheduler:
    """The scheduler called `name`.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    base, *improvers = name.split("+")
    function = _base(base, materials)
    for improver in improvers:
        if improver not in IMPROVERS:
            raise InputError(f"scheduler {name!r}: {improver!r} cannot be put after one; use local_search")
        module, attribute, settings = IMPROVERS[improver]
        chosen = _settings(module, settings, improver, materials)
        function = partial(_improved, function, getattr(import_module(module), attribute), chosen)
    return TimedScheduler(name, function)


def modules_of(name: str) -> list[str]:
    """The modules whose code decides what the scheduler called `name` answers."""
    base, *improvers = name.split("+")
    own = base.split(":")[0] if ":" in base else _entry(base).module
    return [own, *(IMPROVERS[i][0] for i in improvers if i in IMPROVERS)]


def section_of(name: str) -> list[str]:
    """The sections of settings that the scheduler called `name` reads."""
    base, *improvers = name.split("+")
    section = None if ":" in base else _entry(base).section
    return [*([section] if section else []), *improvers]


def timed_place(scheduler: Scheduler, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
    """`place` after one warm-up, so that `seconds` are those of a program already running."""
    decision = scheduler.place(group, cluster, worth)
    if decision.seconds > WARM_UP_LIMIT:
        return decision
    return scheduler.place(group, cluster, worth)


def _base(name: str, materials: Materials) -> PlaceFunction:
    if ":" in name:
        return _own_scheduler(name)
    entry = _entry(name)
    chosen = _settings(entry.module, entry.settings, entry.section, materials)
    function = getattr(import_module(entry.module), entry.function)
    if entry.builder:
        built: PlaceFunction = function(materials, chosen)
        return built
    return partial(function, settings=chosen) if entry.settings else function


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise InputError(
            f"scheduler {name!r} is unknown: use one of {', '.join(ENTRIES)}, with +local_search after it if "
            "you like, or module:function for your own"
        )
    return ENTRIES[name]


def _settings(module: str, name: str | None, section: str | None, materials: Materials) -> Any:
    if name is None:
        return None
    values = materials.options.get(section or "", {})
    return getattr(import_module(module), name)(**values)


def _own_scheduler(name: str) -> PlaceFunction:
    module, _, attribute = name.partition(":")
    try:
        function: PlaceFunction = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"scheduler {name!r}: {error}") from None
    return function


def _improved(
    first: PlaceFunction,
    improve: Callable[..., tuple[IntArray, Mapping[str, Any]]],
    settings: Any,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
) -> tuple[IntArray, Mapping[str, Any]]:
    placement, trace = first(group, cluster, worth)
    better, steps = improve(placement, cluster, worth, settings)
    return better, {**trace, **steps}
