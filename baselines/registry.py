"""Schedulers by name: the values of `scheduler=`, and where each is.

A name is a key of `SCHEDULERS`, or `module:function` for a scheduler of your own with the signature
`(group, cluster, worth) -> (placement, trace)`; `+local_search` may follow either. A scheduler is added by
a file that exports `SCHEDULER = Entry(...)` (see `baselines.contract`) and a line in `SCHEDULERS`.
"""

from difflib import get_close_matches
from importlib import import_module
from typing import Any

from baselines.contract import Entry, Improver, Materials, WideMaterials, improved
from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.scheduler import (
    Decision,
    Placed,
    PlaceFunction,
    Scheduler,
    TimedScheduler,
    WidePlaceFunction,
)
from metis.problem.worth import Worth

# name -> module, whose `SCHEDULER` is the entry, or module:constant where a module holds several
SCHEDULERS: dict[str, str] = {
    "optimum": "baselines.optimum",
    "columns": "baselines.columns",
    "greedy": "baselines.greedy",
    "round_robin": "baselines.round_robin",
    "spread": "baselines.spread",
    "medea": "baselines.medea",
    "paragon": "baselines.paragon",
    "metis": "baselines.metis",
    "metis-flat": "baselines.metis:FLAT",
    "metis-deal": "baselines.metis:DEAL",
    "metis-learned": "baselines.metis:LEARNED",
    "metis-paper": "baselines.metis_paper",
    "vanilla_rl": "baselines.vanilla_rl",
    "divide_conquer": "baselines.divide_conquer",
}
# name -> module, whose `IMPROVER` may follow a scheduler after `+`
IMPROVERS: dict[str, str] = {"local_search": "baselines.local_search"}

WARM_UP_LIMIT = 5.0  # seconds; what takes longer is not measurably slower the first time


def make_scheduler(name: str, materials: Materials) -> TimedScheduler:
    """Build the scheduler called `name`.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    base, *improvers = name.split("+")
    place = _users_function(base) if ":" in base else entry_of(base).build(materials)
    for improver in improvers:
        place = improved(place, _improver_of(improver).build(materials))
    return TimedScheduler(name, place)


def make_wide_scheduler(name: str, materials: WideMaterials | None = None) -> TimedScheduler:
    """Build the scheduler called `name` for a space too large to tabulate; it takes the worth as an oracle.

    Args:
        name: of the scheduler.
        materials: that it may need; None for the defaults of all settings.

    Raises:
        InputError: there is none of that name, or it needs a table; lists those there are.
    """
    check_wide(name)
    materials = materials or WideMaterials()
    base, *improvers = name.split("+")
    if ":" in base:
        place: Any = _users_function(base)
    else:
        made = entry_of(base).wide
        assert made is not None  # checked
        place = made(materials)
    place = _naming_rules(place)
    for improver in improvers:
        improve = _improver_of(improver).wide
        assert improve is not None  # checked
        place = improved(place, improve(materials))
    return TimedScheduler(name, place)


def _naming_rules(place: WidePlaceFunction) -> WidePlaceFunction:
    """Return `place` so that where it finds no node, the rules that contradict one another are named."""

    def place_or_name(group: IntArray, cluster: Cluster, worth: Worth) -> Placed:
        try:
            return place(group, cluster, worth)
        except PlacementError:
            from metis.program.contradiction import refuse_unplaced

            refuse_unplaced(group, cluster)
            raise

    return place_or_name


def check_wide(name: str, *, stated: bool = False) -> None:
    """Refuse a scheduler that needs all co-locations tabulated, and all nodes alike.

    Args:
        name: of the scheduler.
        stated: whether nodes differ, rather than co-locations being too many.

    Raises:
        InputError: there is none of that name, or it needs a table; lists those that do without.
    """
    check_name(name)
    base, *improvers = name.split("+")

    needs_table = ":" not in base and entry_of(base).wide is None
    if needs_table or any(_improver_of(improver).wide is None for improver in improvers):
        others = ", ".join(one for one in SCHEDULERS if entry_of(one).wide is not None)
        lacks = (
            "keeps no node types, resources and rules of nodes or fault domains"
            if stated
            else "needs a table of all co-locations, and these are too many to tabulate"
        )
        raise InputError(
            f"scheduler {name!r} {lacks}: use "
            f"{others}, with +local_search after it if you like, or module:function for your own"
        )


def check_name(name: str) -> str:
    """Return `name` if there is such a scheduler, so that a wrong one is refused before any training.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    modules_of(name)
    return name


def modules_of(name: str) -> list[str]:
    """Return the modules whose code decides where the scheduler called `name` places containers."""
    base, *improvers = name.split("+")
    return [base.split(":")[0] if ":" in base else _location(base)[0], *map(_improver_module, improvers)]


def sections_of(name: str, *, wide: bool = False) -> list[str]:
    """Return the sections of settings that the scheduler called `name` reads.

    Args:
        name: of the scheduler.
        wide: where co-locations are too many to tabulate.
    """
    base, *improvers = name.split("+")
    own: tuple[str, ...] = ()
    if ":" not in base:
        own = entry_of(base).wide_sections if wide else entry_of(base).sections
    return [*own, *(section for improver in improvers for section in _improver_of(improver).sections)]


def learner_of(name: str, *, wide: bool = False) -> str | None:
    """Return the learner whose trained weights the scheduler called `name` needs, if any.

    Args:
        name: of the scheduler.
        wide: where co-locations are too many to tabulate.
    """
    base = name.split("+")[0]
    if ":" in base:
        return None
    return entry_of(base).wide_learner if wide else entry_of(base).learner


def learns(name: str) -> bool:
    """Whether the scheduler called `name` learns."""
    base = name.split("+")[0]
    return ":" not in base and entry_of(base).learns


def entry_of(name: str) -> Entry:
    """Return the entry that the file of the scheduler called `name`, a key of `SCHEDULERS`, exports.

    Raises:
        InputError: there is none of that name; lists those there are.
    """
    module, constant = _location(name)
    entry: Entry = getattr(import_module(module), constant)
    return entry


def timed_place(
    scheduler: Scheduler, group: IntArray, cluster: Cluster, worth: FloatArray | Worth
) -> Decision:
    """Place after one warm-up, so that the times are those of a program already running."""
    decision = scheduler.place(group, cluster, worth)
    if decision.seconds > WARM_UP_LIMIT:
        return decision
    return scheduler.place(group, cluster, worth)


def _location(name: str) -> tuple[str, str]:
    """Return module and constant of a scheduler's entry."""
    if name not in SCHEDULERS:
        near = get_close_matches(name, SCHEDULERS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(
            f"scheduler {name!r} is unknown: {hint}use one of {', '.join(SCHEDULERS)}, with +local_search "
            "after it if you like, or module:function for your own"
        )
    module, _, constant = SCHEDULERS[name].partition(":")
    return module, constant or "SCHEDULER"


def _improver_module(name: str) -> str:
    if name not in IMPROVERS:
        raise InputError(f"{name!r} cannot be put after a scheduler with `+`: use {', '.join(IMPROVERS)}")
    return IMPROVERS[name]


def _improver_of(name: str) -> Improver:
    improver: Improver = import_module(_improver_module(name)).IMPROVER
    return improver


def _users_function(name: str) -> PlaceFunction:
    module, _, attribute = name.partition(":")
    try:
        function: PlaceFunction = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"scheduler {name!r}: {error}") from None
    if not callable(function):
        raise InputError(f"scheduler {name!r}: {attribute} is no function (group, cluster, worth)")
    return function
