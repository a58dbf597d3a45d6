"""Sets of running containers loaded in turn, in short slices, and the ratios of what they reach.

What is compared is measured in the same minutes, so that what disturbs both alike cancels: a co-location and
its stand-alone runs, or two placements.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.load import generator
from cluster.load.generator import LoadResult, Target
from cluster.load.loadimage.slices import ratio
from cluster.provision.inventory import Host
from cluster.settings import LoadSettings
from metis.errors import InputError

if TYPE_CHECKING:
    from cluster.backend import Backend

Side = tuple[int, tuple[str, ...]]  # a set, and which of its targets: their mean rate


@dataclass(frozen=True)
class Turns:
    """What takes turns, and what of it is compared.

    Attributes:
        sets: names of the targets that are loaded together; a target may be in several.
        ratios: pairs of sides, the first held against the second.
    """

    sets: tuple[tuple[str, ...], ...]
    ratios: tuple[tuple[Side, Side], ...]

    def __post_init__(self) -> None:
        for k, names in (side for sides in self.ratios for side in sides):
            if not names or not set(names) <= set(self.sets[k]):
                raise InputError(f"load: a ratio of {list(names)}, of which set {k} is not loaded")


@dataclass(frozen=True)
class Ratio:
    """One rate over another.

    Attributes:
        value: the ratio.
        half: half the width of its 95 % interval; infinite where there was one pair.
    """

    value: float
    half: float


@dataclass(frozen=True)
class DuetResult:
    """What sets of targets reached in turn.

    Attributes:
        sets: for each set the result of its targets, over all of its slices.
        ratios: as asked for.
        cycles: how often each set had its turn.
        seconds: that all slices took, with what lies between them.
        rates: of each ratio both sides by cycle, good responses per second.
    """

    sets: tuple[Mapping[str, LoadResult], ...]
    ratios: tuple[Ratio, ...]
    cycles: int
    seconds: float
    rates: tuple[tuple[Sequence[float], Sequence[float]], ...] = ()


LoadInTurns = Callable[[Host, Sequence[Target], Turns], DuetResult]


def turns_of(mixed: Mapping[str, Sequence[str]], alone: Mapping[str, str]) -> Turns:
    """A co-location, and one container of each of its applications by itself.

    Args:
        mixed: names of the co-located containers, by application.
        alone: of the container that is loaded by itself, by application.
    """
    every = tuple(name for names in mixed.values() for name in names)
    sets = (every, *((alone[app],) for app in mixed))
    pairs: list[tuple[Side, Side]] = [
        ((0, tuple(names)), (k, (alone[app],))) for k, (app, names) in enumerate(mixed.items(), 1)
    ]
    return Turns(sets, tuple(pairs))


def load_in_turns(
    backend: "Backend",
    client: Host,
    targets: Sequence[Target],
    turns: Turns,
    settings: LoadSettings,
    image: str,
    session: str = "load",
) -> DuetResult:
    """Load sets of targets in turn from a client host, until their ratios are known or the time is over.

    Args:
        backend: of the cluster.
        client: the host to send from.
        targets: all that are in a set; addresses of the inventory's hosts only.
        turns: what takes turns.
        settings: `warm_up`, `turn`, `precision`, and `duration` of all slices together.
        image: tag or id of the load image on the client.
        session: label by which the container is found again.

    Raises:
        InputError: a target that is no host of the inventory.
        SurroundingsError: the client cannot be reached, or Locust gave no results.
    """
    generator.check_targets(targets, generator.addresses(backend.inventory))
    ended = backend.run_job(
        client,
        image,
        generator.arguments(targets),
        {generator.TARGETS: as_json(targets, turns, settings)},
        session,
        generator.hard_limit(targets, settings),
    )
    where = f"on {client.name} ended (exit {ended.exit_code})"
    return read_turns(ended.output, ended.errors, where)


def as_json(targets: Sequence[Target], turns: Turns, settings: LoadSettings) -> str:
    """Targets, turns and times as the load file reads them, JSON."""
    duet = {
        "sets": turns.sets,
        "ratios": turns.ratios,
        "turn": settings.turn,
        "precision": settings.precision,
    }
    return json.dumps(json.loads(generator.as_json(targets, settings)) | {"duet": duet})


def read_turns(output: str, errors: str, ended: str) -> DuetResult:
    """The results in Locust's output.

    Raises:
        SurroundingsError: there are none; says the last line of the errors.
    """

    def read(found: Mapping[str, Any]) -> DuetResult:
        pairs = found["pairs"]
        sets = tuple({name: generator.result_of(one) for name, one in each.items()} for each in found["sets"])
        ratios = tuple(Ratio(*ratio(of, to)) for of, to in pairs)
        rates = tuple((tuple(of), tuple(to)) for of, to in pairs)
        return DuetResult(sets, ratios, len(pairs[0][0]), float(found["seconds"]), rates)

    return generator.read_line(output, errors, ended, read)
