"""The rounds of a trial: every placement deployed and measured in turn, until it is decided or time is up."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from metis.errors import InputError, SurroundingsError
from metis.measure.intervals import LEVEL, Interval
from metis.operate.settings import TrialSettings
from metis.operate.trial import differences, look_level, separated, turns
from metis.operate.trial_journal import Load, Measurement, TrialJournal
from metis.problem.counts import IntArray

SEPARATED, ROUNDS, SECONDS = "separated", "rounds", "seconds"  # why a trial ended
AGAIN = 3  # disturbed loads in a row, also when made again, after which none is: it is how it is here
TRIES = 2  # of deploying and measuring a placement, where a host or container fails


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
        placements, rounds = len(self.journal.placements), self.chosen.rounds
        for number, order in enumerate(turns(placements, rounds, self.chosen.seed)):
            for placement in order:
                self.progress(len(self.journal.measured), placements * rounds)
                if self.journal.has(number, placement):
                    continue
                if self.chosen.seconds is not None and self.journal.seconds >= self.chosen.seconds:
                    return SECONDS
                self._enter(number, placement)
            found = self.intervals(number + 1)
            if not self.journal.has(number + 1, 0):
                self._report(number, found)
            if self.chosen.early and separated(found):
                return SEPARATED
        return ROUNDS

    def intervals(self, rounds: int | None = None) -> list[Interval]:
        """Return by how much each placement exceeds the first, after so many rounds or all."""
        level = look_level(self.chosen.rounds) if self.chosen.early else LEVEL
        return differences(self.journal.means()[:rounds], 0, level)

    def _enter(self, number: int, placement: int) -> None:
        begun = self.clock()
        name = " = ".join(self.journal.schedulers[placement])
        for left in reversed(range(TRIES)):
            try:
                started = self.site.deploy(self.journal.placements[placement])
                found = [self._load() for _ in range(self.chosen.repeats)]
                break
            except SurroundingsError as error:
                if not left:
                    raise SurroundingsError(f"{name}, round {number + 1}: {error}") from None
                self.say(f"{name}, round {number + 1}, once more: {error}")
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

    def _load(self) -> tuple[Load, bool]:
        """Return a load, and whether it is the second one because something disturbed the first."""
        first = self.site.measure()
        why = first.saturated or first.disturbed
        if not why:
            self._disturbed = 0
        if not why or self._disturbed >= AGAIN:
            return first, False
        self.say(f"disturbed, and loaded again: {why}")
        second = self.site.measure()
        if second.saturated and first.saturated and not self.journal.measured:
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
