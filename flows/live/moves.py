"""Plans of moves made on a live cluster, wave by wave, each measured; a record survives a kill."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from cluster.moves import DONE, UNDO, Mover, Wave, wrong_with
from cluster.steps import Step
from flows.engine.console import say
from flows.live.record import BACK, MADE, STOPPED, UNDER_WAY, Load, Record, change_over, key_of
from flows.live.session import LiveSession
from metis.errors import MetisError, SurroundingsError
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.load.measurement import Source
    from cluster.spec import ContainerSpec

TRAFFIC = 3.0  # seconds of one load of those sent while copies start and are removed


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
            say(f"  loading {amount(len(standing), 'container')} ({number + 1} of {self._rules.repeats})")
            results = self._load(standing)
            rps = {}
            for one in standing:
                result = results.get(one.name, "was not loaded")
                wrong = wrong_with(result, self._counted)
                if isinstance(result, str) or wrong:
                    raise SurroundingsError(f"{one.where}, under load: {wrong}")
                rps[key_of((one.node, one.slot))] = result.rps
            if not record.units:
                of = {app: [rps[key_of((one.node, one.slot))] for one in standing if one.app == app]
                      for app in {one.app for one in standing}}  # fmt: skip
                record.units = {app: float(np.mean(values)) or 1.0 for app, values in of.items()}
            units = {key_of((one.node, one.slot)): record.units.get(one.app, math.nan) for one in standing}
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


def _source(session: LiveSession, duration: float, warm_up: float) -> "Source":
    """Return loads of which all results are counted, those with failures too."""
    load = replace(session.settings.load, duration=duration, warm_up=warm_up, most_failures=1.0)
    return replace(session, settings=replace(session.settings, load=load)).source("load")


def _words(steps: Sequence[Step]) -> str:
    return ", ".join(
        f"{one.app} {one.old[0] if one.old else 'new'} > {one.new[0] if one.new else 'gone'}" for one in steps
    )
