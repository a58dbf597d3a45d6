"""Plans of moves made on a live cluster, wave by wave, each measured; a record survives a kill."""

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cluster.moves import DONE, UNDO, Mover, Place, Step, Tally, Wave, read_step, wrong_with
from flows.engine.console import say
from flows.live.session import LiveSession
from metis.errors import MetisError, SurroundingsError
from metis.files import written_whole
from metis.operate.guard import Change, change_between

if TYPE_CHECKING:
    from cluster.load.measurement import Source
    from cluster.spec import ContainerSpec

TRAFFIC = 3.0  # seconds of one load of those sent while copies start and are removed
UNDER_WAY, MADE, STOPPED, BACK = "under way", "made", "stopped", "taken back"

Load = dict[str, float]  # RPS by node/slot, 1 is an application alone on a node


@dataclass
class Record:
    """What is known of the moves that were made last, or are under way; kept in a file.

    Attributes:
        path: of the file.
        session: name of the deployment.
        asked: settings that decide the plan, as typed.
        plan: its document.
        stood: node, slot and application of what stood before any move.
        steps: of every wave.
        in_order: of every wave, whether its copies must start one by one.
        predicted: mean RPS before the moves and after each wave.
        expected: seconds that each wave takes.
        units: RPS that count as 1, by application; empty until known.
        state: `under way`, `made`, `stopped` or `taken back`.
        back: whether the waves are being undone.
        made: how many waves are made.
        wave: the one under way.
        returning: whether that one takes back one that was made.
        reason: why the moves ended early.
        notes: what is not as it should be since.
        loads: of what stood before the moves and after each wave, several of each.
        returned: loads of what stands since all moves were taken back.
        seconds: that each wave took, without measuring.
        tally: requests sent while containers moved.
    """

    path: Path
    session: str
    asked: Mapping[str, Any]
    plan: dict[str, Any]
    stood: list[tuple[str, int, str]]
    steps: list[tuple[Step, ...]]
    in_order: list[bool]
    predicted: list[float]
    expected: list[float]
    units: dict[str, float] = field(default_factory=dict)
    state: str = UNDER_WAY
    back: bool = False
    made: int = 0
    wave: Wave | None = None
    returning: bool = False
    reason: str = ""
    notes: list[str] = field(default_factory=list)
    loads: list[list[Load]] = field(default_factory=list)
    returned: list[Load] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    def save(self) -> None:
        """Write the file, whole or not at all."""
        document = {name: value for name, value in self.__dict__.items() if name != "path"}
        document["steps"] = [[one.document for one in wave] for wave in self.steps]
        document["tally"] = asdict(self.tally)
        document["wave"] = None if self.wave is None else asdict(self.wave)
        with written_whole(self.path) as file:
            file.write(json.dumps(document, indent=1).encode())

    def standing(self) -> dict[Place, str]:
        """Return application by place of what stands after the waves that are made."""
        return held_after(self, self.made)


def read_record(path: Path) -> Record | None:
    """Return what the file says; None where there is none, or none that can be read."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        wave = document["wave"]
        return Record(
            path,
            **{
                **document,
                "stood": [(str(node), int(slot), str(app)) for node, slot, app in document["stood"]],
                "steps": [tuple(map(read_step, steps)) for steps in document["steps"]],
                "tally": Tally(**document["tally"]),
                "wave": wave and Wave(tuple(map(read_step, wave["steps"])), wave["phase"], wave["in_order"]),
            },
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SurroundingsError(f"{path}: is no record of moves ({error!r}); move it away") from None


def _moved(held: Mapping[Place, str], steps: Sequence[Step]) -> dict[Place, str]:
    gone = {one.old for one in steps}
    return {place: app for place, app in held.items() if place not in gone} | {
        one.new: one.app for one in steps if one.new
    }


class Moves:
    """Makes what a record says on a live cluster.

    Args:
        session: the live cluster, kept from others.
        record: what is to be made, or is under way.
        progress: receives how many waves are made.
    """

    def __init__(
        self, session: LiveSession, record: Record, progress: Callable[[str, float, int], None]
    ) -> None:
        self._session, self._record, self._progress = session, record, progress
        settings = session.settings
        self._rules, self._counted = settings.rebalance, settings.load.most_failures
        self._load = _source(session, settings.load.duration, settings.load.warm_up)
        momentary = replace(
            session, settings=replace(settings, profile=replace(settings.profile, at_once=None))
        )
        self._mover = Mover(
            session.backend,
            session.name,
            self._load,
            _source(momentary, min(TRAFFIC, settings.load.duration), 0.0),
            self._counted,
            self._rules.failures,
            record.save,
            self._check,
            record.tally,
        )

    def run(self) -> Record:
        """Make the waves that are left, or undo what was begun; return the record.

        Raises:
            SurroundingsError: what runs was changed by others, does not respond before the first move, or a
                wave that failed cannot be undone; the same command goes on from there.
        """
        record = self._record
        self._session.backend.sweep_jobs(f"{self._session.name}-load")
        self._recognise()
        record.state = UNDER_WAY
        if record.wave and record.wave.phase == UNDO:
            self._stop(record.reason)
        elif record.back:
            self._go_back()
        else:
            self._go_on()
        return record

    def _go_on(self) -> None:
        record = self._record
        if not record.loads:
            self._begin()
        while record.made < len(record.steps):
            number = record.made
            self._progress("waves", number, len(record.steps))
            record.wave = record.wave or Wave(record.steps[number], in_order=record.in_order[number])
            record.save()
            say(f"  wave {number + 1} of {len(record.steps)}: {_words(record.wave.steps)}")
            began = time.monotonic()
            try:
                if record.wave.phase != DONE:
                    self._mover.make(record.wave)
                seconds = time.monotonic() - began
                after = self._measured()
                if self._worse(number, after):  # it may have been the machine: what lasts counts
                    after += self._measured()
            except MetisError as error:
                self._stop(self._because(error))
                return
            worse = self._worse(number, after)
            if worse:
                self._stop(worse)
                return
            record.loads.append(after)
            record.seconds.append(seconds)
            record.made, record.wave = number + 1, None
            record.save()
        self._progress("waves", record.made, len(record.steps))
        record.state = MADE
        record.save()

    def _worse(self, number: int, after: list[Load]) -> str:
        """Return by how much a wave made what runs worse than it may, in words; empty where it did not."""
        record = self._record
        change = change_over(record, number, number + 1, after, self._rules.guard)
        expected = record.predicted[number + 1] - record.predicted[number]
        if not change.worse(expected):
            return ""
        return f"mean RPS changed by {change.mean:+.3f} ± {change.half:.3f}, predicted was {expected:+.3f}"

    def _go_back(self) -> None:
        record = self._record
        if record.wave and not record.returning:
            say(f"  wave {record.made + 1} of {len(record.steps)} was half made, and is undone")
            record.notes += self._mover.undo(record.wave)
            record.wave = None
        while record.made:
            number = record.made - 1
            back = tuple(one.back for one in reversed(record.steps[number]))
            record.wave, record.returning = record.wave or Wave(back, in_order=record.in_order[number]), True
            record.save()
            say(f"  wave {number + 1} of {len(record.steps)} is taken back: {_words(record.wave.steps)}")
            try:
                self._mover.make(record.wave)
            except MetisError as error:
                self._stop(self._because(error))
                return
            record.made, record.wave, record.returning = number, None, False
            record.save()
        record.returned = self._measured()
        record.state = BACK
        record.save()

    def _begin(self) -> None:
        silent = self._mover.responding()
        if silent:
            raise SurroundingsError(f"{silent}; nothing was moved")
        try:
            self._record.loads.append(self._measured())
        except SurroundingsError as error:
            raise SurroundingsError(f"{error}; nothing was moved") from None
        self._record.save()

    def _stop(self, reason: str) -> None:
        """Undo the wave under way, and end."""
        record = self._record
        record.reason = reason
        record.save()
        number = record.made - 1 if record.returning else record.made
        say(f"  wave {number + 1} of {len(record.steps)} is undone: {reason}")
        try:
            record.notes += self._mover.undo(record.wave) if record.wave else []
        except MetisError as error:
            raise SurroundingsError(f"{reason}; undoing wave {number + 1} failed, too: {error}") from None
        record.wave, record.returning, record.state = None, False, STOPPED
        record.save()

    def _because(self, error: MetisError) -> str:
        """Return why a wave failed: the node that is gone, where one is."""
        try:
            return self._mover.gone() or str(error)
        except MetisError:
            return str(error)

    def _measured(self) -> list[Load]:
        """Load all that stands, several times; return the RPS of each load.

        Raises:
            SurroundingsError: one of the containers does not respond as it should; names it.
        """
        record, standing, loads = self._record, self._session.standing(), []
        for number in range(self._rules.repeats):
            say(f"  loading {len(standing)} containers ({number + 1} of {self._rules.repeats})")
            results = self._load(standing)
            rps = {}
            for one in standing:
                result = results.get(one.name, "was not loaded")
                wrong = wrong_with(result, self._counted)
                if isinstance(result, str) or wrong:
                    raise SurroundingsError(f"{one.where}, under load: {wrong}")
                rps[_key((one.node, one.slot))] = result.rps
            if not record.units:
                of = {app: [rps[_key((one.node, one.slot))] for one in standing if one.app == app]
                      for app in {one.app for one in standing}}  # fmt: skip
                record.units = {app: float(np.mean(values)) or 1.0 for app, values in of.items()}
            units = {_key((one.node, one.slot)): record.units.get(one.app, math.nan) for one in standing}
            loads.append({key: value / units[key] for key, value in rps.items()})
        return loads

    def _check(self, specs: "Sequence[ContainerSpec]") -> None:
        """Refuse to start what others, or the node, leave no room for."""
        from cluster.deployment import Change as NodeChange

        by_node = {
            one.node_name: [other for other in specs if other.node_name == one.node_name] for one in specs
        }
        standing = self._session.standing()
        changes = [
            NodeChange(node, tuple(one for one in standing if one.node == node), (), tuple(coming))
            for node, coming in by_node.items()
        ]
        against = self._session.obstacles(changes)
        if against:
            raise SurroundingsError("; ".join(against))

    def _recognise(self) -> None:
        """Refuse to go on from something else than what the moves left."""
        record = self._record
        known = set(record.standing().items())
        steps = record.wave.steps if record.wave else ()
        coming = {(one.new, one.app) for one in steps if one.new}
        leaving = {(one.old, one.app) for one in steps if one.old}
        now = {((one.node, one.slot), one.app) for one in self._session.standing()}
        lacking, others = known - leaving - now, now - known - coming
        if lacking or others:
            aside = record.path.with_name(f"{record.path.name}.old")
            record.path.replace(aside)
            (place, app), verb = next(iter(lacking), None) or next(iter(others)), "runs"
            verb = "does not run any more" if lacking else "runs"
            raise SurroundingsError(
                f"{app} {verb} on {place[0]} (slot {place[1]}): what runs was changed since the moves ended; "
                f"their record is now {aside}, and the next command plans anew from what runs"
            )


def change_over(record: Record, first: int, last: int, after: Sequence[Load], level: float) -> Change:
    """Return how the RPS of the same containers changed.

    Args:
        record: of the moves.
        first: waves made before.
        last: waves made after.
        after: loads of what stood then.
        level: of the interval.
    """
    places = {place: place for place in held_after(record, first)}
    for steps in record.steps[first:last]:
        to = {one.old: one.new for one in steps if one.old}
        ends = {start: to.get(now, now) for start, now in places.items()}
        places = {start: end for start, end in ends.items() if end}
    keys = [(_key(start), _key(now)) for start, now in places.items()]
    before = record.loads[first]
    pairs = [(a, b) for a, b in keys if all(a in one for one in before) and all(b in one for one in after)]
    others = [loads for loads in (*record.loads, record.returned) if loads and loads not in (before, after)]
    return change_between(
        np.array([[one[a] for a, _ in pairs] for one in before]),
        np.array([[one[b] for _, b in pairs] for one in after]),
        level,
        [np.array([list(one.values()) for one in loads]) for loads in others],
    )


def held_after(record: Record, waves: int) -> dict[Place, str]:
    """Return application by place after so many waves."""
    held = {(node, slot): app for node, slot, app in record.stood}
    for steps in record.steps[:waves]:
        held = _moved(held, steps)
    return held


def mean_of(loads: Sequence[Load]) -> float:
    """Return the mean RPS of the containers, over loads."""
    return float(np.mean([list(one.values()) for one in loads]))


def document_of(record: Record, level: float) -> dict[str, Any]:
    """Return what was made and measured, JSON-able."""
    waves = []
    for i, seconds in enumerate(record.seconds):
        change = change_over(record, i, i + 1, record.loads[i + 1], level)
        waves.append(
            {
                "moves": len(record.steps[i]),
                "expected_seconds": record.expected[i],
                "seconds": seconds,
                "rps": mean_of(record.loads[i + 1]),
                "change": change.mean,
                "half_width": _known(change.half),
                "predicted_change": record.predicted[i + 1] - record.predicted[i],
            }
        )
    after, made = (record.returned, 0) if record.returned else (record.loads[-1], record.made)
    whole = change_over(record, 0, made, after, level)
    return {
        "state": record.state,
        "made": record.made,
        "of": len(record.steps),
        "waves": waves,
        "before": mean_of(record.loads[0]),
        "after": mean_of(after),
        "change": whole.mean,
        "half_width": _known(whole.half),
        "requests": record.tally.requests,
        "failures": record.tally.failures,
        "failed": record.tally.rate,
        "reason": record.reason or None,
        "notes": record.notes,
    }


def _source(session: LiveSession, duration: float, warm_up: float) -> "Source":
    """Return loads of which all results are counted, those with failures too."""
    load = replace(session.settings.load, duration=duration, warm_up=warm_up, most_failures=1.0)
    return replace(session, settings=replace(session.settings, load=load)).source("load")


def _words(steps: Sequence[Step]) -> str:
    return ", ".join(
        f"{one.app} {one.old[0] if one.old else 'new'} > {one.new[0] if one.new else 'gone'}" for one in steps
    )


def _key(place: Place) -> str:
    return f"{place[0]}/{place[1]}"


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
