"""The journal of a trial: what is tried, and every measurement as soon as it is made; a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.files import written_whole
from metis.problem.counts import FloatArray, IntArray

FORMAT = "metis-trial-1"
Served = tuple[str, int, str, float]  # node, slot, application, good responses per second


@dataclass(frozen=True)
class Load:
    """One load of all containers of a placement.

    Attributes:
        containers: what each of them served.
        disturbed: why it is not to be trusted, in words; empty where it is.
        saturated: why the load generator, not the containers, limited it, in words; empty where it did not.
        circumstances: what else went on meanwhile, JSON-able; see `metis.measure.circumstances`.
    """

    containers: Sequence[Served]
    disturbed: str = ""
    saturated: str = ""
    circumstances: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """A placement deployed and measured once.

    Attributes:
        round: number of the round.
        placement: index of the placement.
        at: when it ended, seconds since 1970.
        seconds: that it took, deploying included.
        started: containers that were started for it.
        loads: its loads; those that were made again are left out.
        again: loads that were made again because something disturbed them.
    """

    round: int
    placement: int
    at: float
    seconds: float
    started: int
    loads: tuple[Load, ...]
    again: int = 0

    @property
    def disturbed(self) -> str:
        """Why one of its loads is not to be trusted; empty where all are."""
        return next((why for one in self.loads if (why := one.disturbed or one.saturated)), "")


@dataclass
class TrialJournal:
    """What is known of a trial so far.

    Attributes:
        path: of its file; None to keep nothing.
        apps: names of the applications.
        nodes: names of the nodes.
        schedulers: by placement, the names of those that made it.
        placements: int [nodes, apps] each.
        units: good responses per second that count as 1, by application.
        measured: in order.
    """

    path: Path | None
    apps: tuple[str, ...]
    nodes: tuple[str, ...]
    schedulers: tuple[tuple[str, ...], ...]
    placements: tuple[IntArray, ...]
    units: dict[str, float] = field(default_factory=dict)
    measured: list[Measurement] = field(default_factory=list)
    _rates: list[FloatArray] = field(default_factory=list, repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """Seconds that all measurements took."""
        return sum(one.seconds for one in self.measured)

    def has(self, number: int, placement: int) -> bool:
        """Whether a placement was measured in a round."""
        return any((one.round, one.placement) == (number, placement) for one in self.measured)

    def enter(self, made: Measurement) -> None:
        """Add a measurement; saved at once."""
        self.measured.append(made)
        self.save()

    def rates(self) -> FloatArray:
        """Return what the containers reached as a share of stand-alone, mean over the loads.

        Returns:
            float64 [rounds, placements, nodes, apps], the mean over the containers of an application on a
            node; NaN where there are none, and for what was not measured.
        """
        rounds = 1 + max((one.round for one in self.measured), default=-1)
        shape = (rounds, len(self.placements), len(self.nodes), len(self.apps))
        found: FloatArray = np.full(shape, np.nan)
        for made in self.measured[len(self._rates) :]:
            self._rates.append(self._rate_of(made))
        for made, rates in zip(self.measured, self._rates, strict=True):
            found[made.round, made.placement] = rates
        return found

    def _rate_of(self, made: Measurement) -> FloatArray:
        """Return the rates of one measurement, float64 [nodes, apps]."""
        rows = {name: i for i, name in enumerate(self.nodes)}
        columns = {name: i for i, name in enumerate(self.apps)}
        served = [one for load in made.loads for one in load.containers]
        at = ([rows[node] for node, *_ in served], [columns[app] for _, _, app, _ in served])
        total, count = np.zeros((2, len(rows), len(columns)))
        np.add.at(total, at, [rps / self.units.get(app, np.nan) for _, _, app, rps in served])
        np.add.at(count, at, 1.0)
        found: FloatArray = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return found

    def means(self) -> FloatArray:
        """Return the mean share of stand-alone RPS over the containers, float64 [rounds, placements]."""
        rates, held = self.rates(), np.stack(self.placements)
        served = np.where(held > 0, np.nan_to_num(rates) * held, 0.0).sum(axis=(2, 3))
        known = (np.isfinite(rates) | (held == 0)).all(axis=(2, 3))
        return np.asarray(np.where(known, served / held.sum(axis=(1, 2)), np.nan))

    def save(self) -> None:
        """Write the file, whole or not at all."""
        if self.path is None:
            return
        document = {
            "format": FORMAT,
            "apps": self.apps,
            "nodes": self.nodes,
            "schedulers": self.schedulers,
            "placements": [one.tolist() for one in self.placements],
            "units": self.units,
            "measured": [asdict(one) for one in self.measured],
        }
        with written_whole(self.path) as file:
            file.write(json.dumps(document).encode())


def read_journal(path: Path) -> TrialJournal | None:
    """Return what the file says; None where there is none.

    Raises:
        InputError: it is no journal of a trial; names it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise ValueError(document["format"])
        return TrialJournal(
            path,
            tuple(document["apps"]),
            tuple(document["nodes"]),
            tuple(map(tuple, document["schedulers"])),
            tuple(np.array(one, dtype=np.int64) for one in document["placements"]),
            {str(app): float(rps) for app, rps in document["units"].items()},
            [_measurement(one) for one in document["measured"]],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no journal of a trial ({error!r}); delete it to begin anew") from None


def _measurement(document: Mapping[str, Any]) -> Measurement:
    loads = tuple(
        Load(**{**one, "containers": tuple(map(tuple, one["containers"]))}) for one in document["loads"]
    )
    return Measurement(**{**document, "loads": loads})
