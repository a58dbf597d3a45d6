"""The rounds of a trial: every placement deployed and measured in turn, until it is decided or time is up."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from metis.errors import InputError, SurroundingsError
from metis.measure.intervals import LEVEL, Interval
from metis.operate.settings import TrialSettings
from metis.operate.trial import differences, look_level, separated, turns
from metis.operate.trial_journal import AT_START, AloneRun, Load, Measurement, TrialJournal
from metis.problem.counts import IntArray

SEPARATED, ROUNDS, SECONDS = "separated", "rounds", "seconds"  # why a trial ended
AGAIN = 3  # disturbed loads in a row, also when made again, after which none is: it is how it is here
TRIES = 2  # of deploying and measuring a placement, where a host or container fails
Found = TypeVar("Found")


def in_turn(apps: Sequence[str], number: int, count: int) -> list[str]:
    """Return which applications are loaded alone after a round, so that each is as often as others.

    Args:
        apps: all that are loaded alone.
        number: of the round.
        count: how many after each round; no application comes twice in one.
    """
    many = min(count, len(apps))
    return [apps[(number * many + i) % len(apps)] for i in range(many)]


def most_loads(chosen: TrialSettings, placements: int, apps: int) -> int:
    """Return how many measurements a trial makes at most, each load of one application alone counted as one.

    Args:
        chosen: how many rounds.
        placements: that take turns.
        apps: of which the trial measures what they serve alone.
    """
    return apps + chosen.rounds * (placements + min(chosen.units_a_round, apps))


class Site(Protocol):
    """Where placements are tried."""

    def deploy(self, placement: IntArray) -> int:
        """Make a placement, int [nodes, apps], what runs; return how many containers were started.

        Raises:
            SurroundingsError: a host or container fails.
        """
        ...

    def measure(self) -> Load:
        """Load all that runs.

        Raises:
            SurroundingsError: a container does not respond as it should.
        """
        ...

    def alone(self, app: str) -> Load:
        """Make one container of an application run alone on a node, and load it alone.

        Raises:
            SurroundingsError: a host or container fails.
        """
        ...


@dataclass
class Rounds:
    """Makes the rounds of a trial, or those that are left.

    Attributes:
        site: where placements are tried.
        journal: what is tried, and what was measured.
        chosen: how many rounds, and how long.
        say: receives a line on what happens.
        progress: receives how many of how many measurements are made.
        clock: seconds.
        now: seconds since 1970.
    """

    site: Site
    journal: TrialJournal
    chosen: TrialSettings
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[int, int], None] = lambda done, total: None
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    _disturbed: int = 0

    def run(self) -> str:
        """Return why the trial ended: `separated`, `rounds` or `seconds`.

        Raises:
            SurroundingsError: a host or container fails again and again.
            InputError: the load generator is the limit from the start.
        """
        apps = self.journal.without_unit
        for app in apps:
            if not self.journal.has_alone(AT_START, app):
                self._enter_alone(AT_START, app)
        for number, order in enumerate(
            turns(len(self.journal.placements), self.chosen.rounds, self.chosen.seed)
        ):
            left: list[Callable[[], None]] = [
                partial(self._enter, number, placement)
                for placement in order
                if not self.journal.has(number, placement)
            ]
            left += [
                partial(self._enter_alone, number, app)
                for app in in_turn(apps, number, self.chosen.units_a_round)
                if not self.journal.has_alone(number, app)
            ]
            for make in left:
                if self.chosen.seconds is not None and self.journal.seconds >= self.chosen.seconds:
                    return SECONDS
                make()
            found = self.intervals(number + 1)
            if left:
                self._report(number, found)
            if self.chosen.early and separated(found):
                return SEPARATED
        return ROUNDS

    def intervals(self, rounds: int | None = None) -> list[Interval]:
        """Return by how much each placement exceeds the first, after so many rounds or all."""
        level = look_level(self.chosen.rounds) if self.chosen.early else LEVEL
        return differences(self.journal.means()[:rounds], 0, level)

    def _enter(self, number: int, placement: int) -> None:
        self._count()
        begun = self.clock()
        name = " = ".join(self.journal.schedulers[placement])

        def once() -> tuple[int, list[tuple[Load, bool]]]:
            started = self.site.deploy(self.journal.placements[placement])
            return started, [self._load(self.site.measure) for _ in range(self.chosen.repeats)]

        started, found = self._tried(f"{name}, round {number + 1}", once)
        loads = tuple(load for load, _ in found)
        made = Measurement(
            number,
            placement,
            self.now(),
            self.clock() - begun,
            started,
            loads,
            again=sum(again for _, again in found),
        )
        self.journal.enter(made)
        reached = self.journal.means()[number, placement]
        self.say(f"round {number + 1}, {name}: {reached:.4f}, {started} started, {made.seconds:.0f} s")

    def _enter_alone(self, number: int, app: str) -> None:
        self._count()
        begun = self.clock()

        def once() -> tuple[Load, bool]:
            found = self._load(lambda: self.site.alone(app))
            if not sum(rps for *_, rps in found[0].containers) > 0:
                raise SurroundingsError("it serves nothing: there is nothing to compare with")
            return found

        load, again = self._tried(f"{app} alone", once)
        made = AloneRun(number, app, self.now(), self.clock() - begun, load, int(again))
        self.journal.enter(made)
        self.say(f"{app} alone, for what a share is of: {made.rps:.4g} a second, {made.seconds:.0f} s")

    def _count(self) -> None:
        total = most_loads(self.chosen, len(self.journal.placements), len(self.journal.without_unit))
        self.progress(len(self.journal.measured) + len(self.journal.alone), total)

    def _tried(self, what: str, once: Callable[[], Found]) -> Found:
        for left in reversed(range(TRIES)):
            try:
                return once()
            except SurroundingsError as error:
                if not left:
                    raise SurroundingsError(f"{what}: {error}") from None
                self.say(f"{what}, once more: {error}")
        raise AssertionError("the last try returns or raises")

    def _load(self, measure: Callable[[], Load]) -> tuple[Load, bool]:
        """Return a load, and whether it is the second one because something disturbed the first."""
        first = measure()
        why = first.saturated or first.disturbed
        if not why:
            self._disturbed = 0
        if not why or self._disturbed >= AGAIN:
            return first, False
        self.say(f"disturbed, and loaded again: {why}")
        second = measure()
        if second.saturated and first.saturated and not (self.journal.measured or self.journal.alone):
            raise InputError(second.saturated)
        if not (second.disturbed or second.saturated):
            self._disturbed = 0
            return second, True
        self._disturbed += 1
        rest = "" if self._disturbed < AGAIN else "; as that is how it is here, no more is loaded again"
        self.say(f"disturbed again, and kept: {second.saturated or second.disturbed}{rest}")
        return second, True

    def _report(self, number: int, found: list[Interval]) -> None:
        words = [
            f"{' = '.join(names)} {one.mean:+.4f} ± {one.half:.4f}{' (tie)' if one.holds(0.0) else ''}"
            for names, one in list(zip(self.journal.schedulers, found, strict=True))[1:]
            if one.groups > 1
        ]
        if words:
            first = " = ".join(self.journal.schedulers[0])
            self.say(f"after round {number + 1}, beside {first}: {', '.join(words)}")
