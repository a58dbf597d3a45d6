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
AT_START = -1  # instead of a round
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


@dataclass(frozen=True)
class AloneRun:
    """One container of an application, loaded alone on a node.

    Attributes:
        round: after which it was made; `AT_START` before the first.
        app: name of the application.
        at: when it ended, seconds since 1970.
        seconds: that it took, making room for it included.
        load: of the container.
        again: loads that were made again because something disturbed them.
    """

    round: int
    app: str
    at: float
    seconds: float
    load: Load
    again: int = 0

    @property
    def rps(self) -> float:
        """Good responses per second."""
        return sum(rps for *_, rps in self.load.containers)


@dataclass
class TrialJournal:
    """What is known of a trial so far.

    Attributes:
        path: of its file; None to keep nothing.
        apps: names of the applications.
        nodes: names of the nodes.
        schedulers: by placement, the names of those that made it.
        placements: int [nodes, apps] each.
        units: good responses per second that count as 1, by application, where the trial does not measure
            them: what a profile says.
        measured: in order.
        alone: stand-alone runs, in order: what counts as 1 for applications that are not in `units`.
    """

    path: Path | None
    apps: tuple[str, ...]
    nodes: tuple[str, ...]
    schedulers: tuple[tuple[str, ...], ...]
    placements: tuple[IntArray, ...]
    units: dict[str, float] = field(default_factory=dict)
    measured: list[Measurement] = field(default_factory=list)
    alone: list[AloneRun] = field(default_factory=list)
    _served: list[FloatArray] = field(default_factory=list, repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """Seconds that all measurements took, stand-alone runs included."""
        return sum(one.seconds for one in self.measured) + sum(one.seconds for one in self.alone)

    @property
    def loads(self) -> int:
        """Loads that were made, those that were made again included."""
        made = sum(len(one.loads) + one.again for one in self.measured)
        return made + sum(1 + one.again for one in self.alone)

    @property
    def without_unit(self) -> tuple[str, ...]:
        """Applications that are placed, and of which the trial itself measures what they serve alone."""
        placed = np.sum(self.placements, axis=(0, 1)) > 0
        return tuple(
            app for app, held in zip(self.apps, placed, strict=True) if held and app not in self.units
        )

    def has(self, number: int, placement: int) -> bool:
        """Whether a placement was measured in a round."""
        return any((one.round, one.placement) == (number, placement) for one in self.measured)

    def has_alone(self, number: int, app: str) -> bool:
        """Whether an application was loaded alone after a round, or at the start."""
        return any((one.round, one.app) == (number, app) for one in self.alone)

    def enter(self, made: Measurement | AloneRun) -> None:
        """Add a measurement or stand-alone run; saved at once."""
        if isinstance(made, AloneRun):
            self.alone.append(made)
        else:
            self.measured.append(made)
        self.save()

    def rates(self) -> FloatArray:
        """Return what the containers reached as a share of stand-alone at that time, mean over the loads.

        Returns:
            float64 [rounds, placements, nodes, apps], the mean over the containers of an application on a
            node; NaN where there are none, and for what was not measured.
        """
        rounds = 1 + max((one.round for one in self.measured), default=-1)
        shape = (rounds, len(self.placements), len(self.nodes), len(self.apps))
        found: FloatArray = np.full(shape, np.nan)
        units = self.units_at([one.at - one.seconds / 2 for one in self.measured])
        for made, served, unit in zip(self.measured, self._all_served(), units, strict=True):
            found[made.round, made.placement] = served / unit
        return found

    def units_at(self, times: Sequence[float]) -> FloatArray:
        """Return what counts as 1 at these times, in good responses per second, float64 [times, apps].

        Of an application that the trial loaded alone: between two such runs, the geometric mean weighted by
        how near they are in time; before the first and after the last, that one. NaN for one without any.

        Args:
            times: seconds since 1970.
        """
        found: FloatArray = np.full((len(times), len(self.apps)), np.nan)
        for a, app in enumerate(self.apps):
            at, logs = self._alone(app)
            if app in self.units:
                found[:, a] = self.units[app]
            elif len(at):
                found[:, a] = np.exp(np.interp(np.asarray(times, dtype=np.float64), at, logs))
        return found

    def mean_units(self) -> dict[str, float]:
        """Return what counts as 1 in the mean of the trial, by application; see `units_at`."""
        runs = {app: self._alone(app)[1] for app in self.without_unit}
        return self.units | {app: float(np.exp(logs.mean())) for app, logs in runs.items() if len(logs)}

    def unit_errors(self) -> FloatArray:
        """Return the deviation of the logarithm of what counts as 1 in the mean of the trial, float64 [apps].

        By how much one stand-alone run differs from the next of the same application, over all of them; where
        none was repeated, by how much what a container of a placement serves differs from round to round.
        0 for what a profile says, and where nothing was repeated.
        """
        logs = [self._alone(app)[1] for app in self.apps]
        steps = np.concatenate([np.diff(one) for one in logs])
        noise = float(np.sqrt((steps**2).mean() / 2)) if len(steps) else self._scatter()
        runs = np.array(
            [0 if app in self.units else len(one) for app, one in zip(self.apps, logs, strict=True)]
        )
        return np.where(runs > 0, noise / np.sqrt(np.maximum(runs, 1)), 0.0)

    def _alone(self, app: str) -> tuple[FloatArray, FloatArray]:
        """Return the middle of each stand-alone run, and the logarithm of its RPS, [runs] each."""
        runs = [one for one in self.alone if one.app == app]
        return np.array([one.at - one.seconds / 2 for one in runs]), np.log([one.rps for one in runs])

    def _scatter(self) -> float:
        """Return the deviation of the logarithm of RPS from round to round, of all; 0 of one round."""
        served: dict[int, list[FloatArray]] = {}
        for one, row in zip(self.measured, self._all_served(), strict=True):
            served.setdefault(one.placement, []).append(row)
        squares, freedom = 0.0, 0
        for rows in served.values():
            found = np.stack(rows)
            logs = np.log(found[:, (found > 0).all(axis=0)])
            squares += float(((logs - logs.mean(axis=0)) ** 2).sum())
            freedom += (len(logs) - 1) * logs.shape[1]
        return float(np.sqrt(squares / freedom)) if freedom else 0.0

    def _all_served(self) -> list[FloatArray]:
        """Return what each measurement's containers served, by `_served_in`."""
        for made in self.measured[len(self._served) :]:
            self._served.append(self._served_in(made))
        return self._served

    def _served_in(self, made: Measurement) -> FloatArray:
        """Return RPS of one measurement, mean over the containers, float64 [nodes, apps]."""
        rows = {name: i for i, name in enumerate(self.nodes)}
        columns = {name: i for i, name in enumerate(self.apps)}
        served = [one for load in made.loads for one in load.containers]
        at = ([rows[node] for node, *_ in served], [columns[app] for _, _, app, _ in served])
        total, count = np.zeros((2, len(rows), len(columns)))
        np.add.at(total, at, [rps for *_, rps in served])
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
            "alone": [asdict(one) for one in self.alone],
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
            [AloneRun(**{**one, "load": _load(one["load"])}) for one in document.get("alone", ())],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: is no journal of a trial ({error!r}); delete it to begin anew") from None


def _measurement(document: Mapping[str, Any]) -> Measurement:
    return Measurement(**{**document, "loads": tuple(map(_load, document["loads"]))})


def _load(document: Mapping[str, Any]) -> Load:
    return Load(**{**document, "containers": tuple(map(tuple, document["containers"]))})
