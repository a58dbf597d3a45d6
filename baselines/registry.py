"""Schedulers by name: what `scheduler=` may say, and how each is made.

A name is one of `ENTRIES`, or `module:function` for a scheduler of your own with the signature
`(group, cluster, worth) -> (placement, trace)`; `+local_search` may follow any of them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metis.errors import InputError
from metis.objectives import Tables
from metis.problem import Cluster, Decision, FloatArray, PlaceFunction, Scheduler, TimedScheduler
from metis.space import IntArray

if TYPE_CHECKING:
    from baselines.constraints import Constraints

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
    """A scheduler that needs no training: the module it is in, how it is made, the settings it reads."""

    module: str
    build: Callable[[Materials], PlaceFunction]
    sections: tuple[str, ...] = ()


def _optimum(materials: Materials) -> PlaceFunction:
    from baselines.optimum import OptimumSettings, place_optimum

    return partial(place_optimum, settings=OptimumSettings(**materials.options.get("optimum", {})))


def _greedy(materials: Materials) -> PlaceFunction:
    from baselines.greedy import place_greedy

    return place_greedy


def _round_robin(materials: Materials) -> PlaceFunction:
    from baselines.round_robin import place_round_robin

    return place_round_robin


def _spread(materials: Materials) -> PlaceFunction:
    from baselines.spread import place_spread

    return place_spread


def _medea(materials: Materials) -> PlaceFunction:
    from baselines.medea import MedeaSettings, medea_scheduler

    options = dict(materials.options.get("medea", {}))
    if options.get("weights") is not None:
        options["weights"] = tuple((s, c, float(w)) for s, c, w in options["weights"])
    return medea_scheduler(constraints_of(materials), MedeaSettings(**options))


def _paragon(materials: Materials) -> PlaceFunction:
    from baselines.paragon import ParagonSettings, paragon_scheduler

    chosen = ParagonSettings(**materials.options.get("paragon", {}))
    return paragon_scheduler(constraints_of(materials), chosen, materials.tables)


ENTRIES: dict[str, Entry] = {
    "optimum": Entry("baselines.optimum", _optimum, ("optimum",)),
    "greedy": Entry("baselines.greedy", _greedy),
    "round_robin": Entry("baselines.round_robin", _round_robin),
    "spread": Entry("baselines.spread", _spread),
    "medea": Entry("baselines.medea", _medea, ("medea", "constraints")),
    "paragon": Entry("baselines.paragon", _paragon, ("paragon", "constraints")),
}


def constraints_of(materials: Materials) -> "Constraints":
    """The interference constraints: of `constraints.path`, else found in the simulator's tables."""
    from baselines.constraints import find_constraints, read_constraints
    from baselines.pairwise import pairwise_curves

    space = materials.tables.space
    chosen = materials.options.get("constraints", {})
    if chosen.get("path"):
        return read_constraints(Path(chosen["path"]), space.apps, space.slots)
    return find_constraints(pairwise_curves(materials.tables), space.apps, chosen.get("threshold", 0.1))


def make_scheduler(name: str, materials: Materials) -> TimedScheduler:
    """The scheduler called `name`.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    base, *improvers = name.split("+")
    function = _base(base, materials)
    for improver in improvers:
        module, attribute, settings = IMPROVERS[_improver(improver)]
        source = import_module(module)
        chosen = getattr(source, settings)(**materials.options.get(improver, {}))
        function = partial(_improved, function, getattr(source, attribute), chosen)
    return TimedScheduler(name, function)


def modules_of(name: str) -> list[str]:
    """The modules whose code decides what the scheduler called `name` answers."""
    base, *improvers = name.split("+")
    own = base.split(":")[0] if ":" in base else _entry(base).module
    return [own, *(IMPROVERS[_improver(i)][0] for i in improvers)]


def sections_of(name: str) -> list[str]:
    """The sections of settings that the scheduler called `name` reads."""
    base, *improvers = name.split("+")
    return [*(() if ":" in base else _entry(base).sections), *map(_improver, improvers)]


def timed_place(scheduler: Scheduler, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
    """`place` after one warm-up, so that `seconds` are those of a program already running."""
    decision = scheduler.place(group, cluster, worth)
    if decision.seconds > WARM_UP_LIMIT:
        return decision
    return scheduler.place(group, cluster, worth)


def _base(name: str, materials: Materials) -> PlaceFunction:
    return _own_scheduler(name) if ":" in name else _entry(name).build(materials)


def _entry(name: str) -> Entry:
    if name not in ENTRIES:
        raise InputError(
            f"scheduler {name!r} is unknown: use one of {', '.join(ENTRIES)}, with +local_search after it if "
            "you like, or module:function for your own"
        )
    return ENTRIES[name]


def _improver(name: str) -> str:
    if name not in IMPROVERS:
        raise InputError(f"{name!r} cannot be put after a scheduler with `+`: use {', '.join(IMPROVERS)}")
    return name


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
