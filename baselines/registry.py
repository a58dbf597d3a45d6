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
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import Decision, PlaceFunction, Scheduler, TimedScheduler
from metis.problem.tables import Tables

if TYPE_CHECKING:
    from baselines.constraints import Constraints

IMPROVERS = {"local_search": ("baselines.local_search", "improve", "LocalSearchSettings")}
VALUE = "metis.learn.value.scheduler"
WARM_UP_LIMIT = 5.0  # seconds; what takes longer is not measurably slower the first time


@dataclass(frozen=True)
class Materials:
    """What schedulers may need beside group, cluster and worth.

    Attributes:
        tables: the simulator's tables.
        options: settings per scheduler, by the entry's section name.
        seed: of random choices.
        weights: the trained weights of a learner (`value`: ValueWeights, `paper`: SubSchedulers).
    """

    tables: Tables
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seed: int = 0
    weights: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class Entry:
    """A scheduler: the module it is in, how it is made, what it reads.

    Attributes:
        module: where its code is.
        build: makes the place function.
        sections: sections of settings that it reads.
        learner: whose trained weights it needs, `value` or `paper`; None for no training beforehand.
        learns: whether it learns at all, be it for each group anew.
    """

    module: str
    build: Callable[[Materials], PlaceFunction]
    sections: tuple[str, ...] = ()
    learner: str | None = None
    learns: bool = False


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


def _value(highlevel: str) -> Callable[[Materials], PlaceFunction]:
    """The value learner's scheduler with one of its high levels."""

    def build(materials: Materials) -> PlaceFunction:
        from metis.learn.value.scheduler import ValueScheduler

        options: dict[str, Any] = dict(materials.options.get("decode", {}))
        return ValueScheduler(_weights(materials, "value"), highlevel, **options).arrange

    return build


def _metis(materials: Materials) -> PlaceFunction:
    """The best of ours: the whole cluster filled at once, then local search."""
    return _with_improver("local_search", _value("flat")(materials), materials)


def _metis_paper(materials: Materials) -> PlaceFunction:
    from metis.learn.paper.high_level import PaperScheduler

    return PaperScheduler(_weights(materials, "paper"), _group_settings(materials, "highlevel"))


def _vanilla_rl(materials: Materials) -> PlaceFunction:
    from baselines.vanilla_rl import VanillaRl

    return VanillaRl(_group_settings(materials, "vanilla_rl"))


def _divide_conquer(materials: Materials) -> PlaceFunction:
    from baselines.divide_conquer import DivideConquer

    return DivideConquer(_group_settings(materials, "divide_conquer"))


def _group_settings(materials: Materials, section: str) -> Any:
    from metis.learn.paper.high_level import GroupSettings
    from metis.learn.paper.reinforce import ReinforceSettings

    options = dict(materials.options.get(section, {}))
    return GroupSettings(**options | {"learn": ReinforceSettings(**options.get("learn", {}))})


def _weights(materials: Materials, learner: str) -> Any:
    if materials.weights is None:
        raise InputError(f"this scheduler needs trained weights: give Materials.weights for {learner!r}")
    return materials.weights(learner)


ENTRIES: dict[str, Entry] = {
    "optimum": Entry("baselines.optimum", _optimum, ("optimum",)),
    "greedy": Entry("baselines.greedy", _greedy),
    "round_robin": Entry("baselines.round_robin", _round_robin),
    "spread": Entry("baselines.spread", _spread),
    "medea": Entry("baselines.medea", _medea, ("medea", "constraints")),
    "paragon": Entry("baselines.paragon", _paragon, ("paragon", "constraints")),
    "metis": Entry(VALUE, _metis, ("decode", "local_search"), "value", learns=True),
    "metis-flat": Entry(VALUE, _value("flat"), ("decode",), "value", learns=True),
    "metis-deal": Entry(VALUE, _value("deal"), ("decode",), "value", learns=True),
    "metis-learned": Entry(VALUE, _value("learned"), ("decode",), "value", learns=True),
    "metis-paper": Entry("metis.learn.paper.high_level", _metis_paper, ("highlevel",), "paper", learns=True),
    "vanilla_rl": Entry("baselines.vanilla_rl", _vanilla_rl, ("vanilla_rl",), learns=True),
    "divide_conquer": Entry("baselines.divide_conquer", _divide_conquer, ("divide_conquer",), learns=True),
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
        function = _with_improver(improver, function, materials)
    return TimedScheduler(name, function)


def modules_of(name: str) -> list[str]:
    """The modules whose code decides what the scheduler called `name` answers."""
    base = name.split("+")[0]
    own = base.split(":")[0] if ":" in base else _entry(base).module
    chained = [IMPROVERS[section][0] for section in sections_of(name) if section in IMPROVERS]
    return [own, *chained]


def check_name(name: str) -> str:
    """The same name, once it is sure that there is such a scheduler: before anything is trained for another.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    modules_of(name)
    return name


def learner_of(name: str) -> str | None:
    """Whose trained weights the scheduler called `name` needs, if any."""
    base = name.split("+")[0]
    return None if ":" in base else _entry(base).learner


def learns(name: str) -> bool:
    """Whether the scheduler called `name` learns."""
    base = name.split("+")[0]
    return ":" not in base and _entry(base).learns


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


def _with_improver(improver: str, function: PlaceFunction, materials: Materials) -> PlaceFunction:
    module, attribute, settings = IMPROVERS[_improver(improver)]
    source = import_module(module)
    chosen = getattr(source, settings)(**materials.options.get(improver, {}))
    return partial(_improved, function, getattr(source, attribute), chosen)


def _own_scheduler(name: str) -> PlaceFunction:
    module, _, attribute = name.partition(":")
    try:
        function: PlaceFunction = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"scheduler {name!r}: {error}") from None
    if not callable(function):
        raise InputError(f"scheduler {name!r}: {attribute} is no function (group, cluster, worth)")
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
