"""Running containers moved in waves: a new copy responds under load before the old one is removed.

A wave may be interrupted anywhere, by a kill too: what stands then lies between what stood before it and what
stands after it, and both `Mover.make` and `Mover.undo` go on from there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING

from cluster.load.generator import LoadResult
from cluster.load.scoring import refusal
from cluster.spec import Container, ContainerSpec
from cluster.steps import Place, Step
from cluster.waiting import wait_until
from metis.errors import MetisError, SurroundingsError

if TYPE_CHECKING:
    from cluster.backend import Backend
    from cluster.load.measurement import Results, Source

START, PROVE, REMOVE, DONE, UNDO = "start", "prove", "remove", "done", "undo"
RESPOND_WITHIN = 10.0  # seconds that what stands has to respond
SEEN_DOWN_WITHIN, PAUSE = 60.0, 1.0


@dataclass
class Wave:
    """A wave under way.

    Attributes:
        steps: made together.
        phase: what comes next: `start`, `prove`, `remove`, or nothing (`done`); `undo` where it is undone.
        in_order: whether its copies start, and are removed, one by one: their order matters to a rule.
    """

    steps: tuple[Step, ...]
    phase: str = START
    in_order: bool = False


@dataclass
class Tally:
    """Requests sent during moves.

    Attributes:
        requests: that ended.
        failures: of these, errors and timeouts.
        error: the last of them.
    """

    requests: int = 0
    failures: int = 0
    error: str = ""

    def add(self, results: "Results") -> None:
        """Count the results of a load; a container of which no request ended within it counts nothing."""
        for one in results.values():
            if isinstance(one, LoadResult):
                self.requests += one.requests
                self.failures += one.failures
                self.error = one.error or self.error

    @property
    def rate(self) -> float:
        """The share of requests that failed."""
        return self.failures / self.requests if self.requests else 0.0


@dataclass
class Mover:
    """Makes waves on a cluster, and undoes them.

    Attributes:
        backend: of the cluster.
        session: name of the deployment whose containers move.
        load: loads containers as profiling does; what counts is judged here.
        traffic: loads them for a moment, again and again while copies start and are removed.
        most_failures: share of the requests to one container that may fail for it to respond under load.
        bound: share of all requests of a wave that may fail.
        save: called whenever the phase of a wave has changed.
        check: called with the specs to be started, before they are; raises what stands against it.
        tally: requests sent so far.
    """

    backend: "Backend"
    session: str
    load: "Source"
    traffic: "Source"
    most_failures: float
    bound: float
    save: Callable[[], None]
    check: Callable[[Sequence[ContainerSpec]], None]
    tally: Tally = field(default_factory=Tally)

    def make(self, wave: Wave) -> None:
        """Make a wave, or what is left of it.

        Raises:
            SurroundingsError: a copy does not start, or requests fail; the wave is to be undone.
        """
        sent, failed = self.tally.requests, self.tally.failures
        if wave.phase in (START, PROVE):
            self._start(wave)
            self._to(wave, PROVE)
            self._prove(wave)
            self._refuse_failures(sent, failed)
            self._to(wave, REMOVE)
        if wave.phase == REMOVE:
            parts = self._parts(wave)
            with self._loaded([*parts.rest, *parts.new.values()]):
                self._stop(wave, reversed(list(parts.old.values())))
            self._refuse_failures(sent, failed)
            self._to(wave, DONE)

    def undo(self, wave: Wave) -> list[str]:
        """Bring back what stood before a wave, as far as nodes are left to hold it.

        A container whose old node is gone stays where its new copy responds.

        Returns:
            What is not as it was before, in words.

        Raises:
            SurroundingsError: an old copy does not start again; undoing goes on from there.
        """
        self._to(wave, UNDO)
        down = self._down()
        parts = self._parts(wave)
        away = [
            parts.new[i] for i, step in enumerate(wave.steps) if i in parts.new and i not in parts.old
            and step.stop_first and not _on(step.old, down)
        ]  # fmt: skip
        self._stop(wave, away)
        silent = self._silent(list(parts.old.values()))
        self.backend.stop([one for one in parts.old.values() if one.name in silent and one.node not in down])
        lacking = [
            step for i, step in enumerate(wave.steps)
            if step.old and not _on(step.old, down) and (i not in parts.old or parts.old[i].name in silent)
        ]  # fmt: skip
        self._launch(wave, [step.old for step in lacking if step.old], new=False)
        parts, notes = self._parts(wave), []
        unheard = self._silent([one for one in parts.new.values() if one.node not in down])
        for i, step in enumerate(wave.steps):
            lost = _on(step.old, down)
            held = i in parts.new and not _on(step.new, down) and parts.new[i].name not in unheard
            if lost and held and step.new and step.old:
                notes.append(f"{step.app} stays on {step.new[0]}, for {step.old[0]} is gone")
                self._stop(wave, [parts.old[i]] if i in parts.old else [])
            elif i in parts.new:
                self._stop(wave, [parts.new[i]])
            if lost and not held and step.old:
                notes.append(f"{step.app} on {step.old[0]} is gone with its node")
        return notes

    def responding(self) -> str:
        """Return why not all that runs responds, in words; empty where it does."""
        standing = self.backend.standing(self.session)
        silent = self._silent(standing)
        found = [one.where for one in standing if one.name in silent]
        down = self.gone()
        return down or (f"{', '.join(found)}: does not respond" if found else "")

    def gone(self) -> str:
        """Return which nodes are gone, and why, in words; empty where none is."""
        return "; ".join(self._down().values())

    def _start(self, wave: Wave) -> None:
        parts = self._parts(wave)
        first = [one for i, one in parts.old.items() if wave.steps[i].stop_first]
        self._stop(wave, first)
        silent = self._silent(list(parts.new.values()))
        self.backend.stop([one for one in parts.new.values() if one.name in silent])
        come = [
            step.new for i, step in enumerate(wave.steps)
            if step.new and (i not in parts.new or parts.new[i].name in silent)
        ]  # fmt: skip
        under = [*parts.rest, *(one for one in parts.old.values() if one not in first)]
        with self._loaded(under if come else []):
            self._launch(wave, come, new=True)

    def _prove(self, wave: Wave) -> None:
        """Load the nodes of the new copies, with all that runs there."""
        parts = self._parts(wave)
        nodes = {one.node for one in parts.new.values()}
        every = (*parts.rest, *parts.old.values(), *parts.new.values())
        touched = [one for one in every if one.node in nodes]
        if not touched:
            return
        results = self.load(touched)
        self.tally.add(results)
        for one in touched:
            wrong = wrong_with(results.get(one.name, "was not loaded"), self.most_failures)
            if wrong:
                raise SurroundingsError(f"{one.where}, under load: {wrong}")

    def _refuse_failures(self, sent: int, failed: int) -> None:
        """Refuse a wave since whose beginning, at these counts, too many requests failed."""
        requests, failures = self.tally.requests - sent, self.tally.failures - failed
        if failures > self.bound * requests:
            raise SurroundingsError(
                f"{failures} of {requests} requests failed meanwhile ({self.tally.error or 'unknown'}), "
                f"rebalance.failures is {self.bound:g}"
            )

    def _launch(self, wave: Wave, places: Sequence[Place], *, new: bool) -> None:
        """Start the copies of a wave at these places, together or one by one as the rules want it."""
        parts = self._parts(wave)
        ends = [one.new if new else one.old for one in wave.steps]
        held = {(one.node, one.slot): one.app for one in parts.rest}
        held |= {place: one.app for place, one in zip(ends, wave.steps, strict=True) if place}
        specs = []
        for node in dict.fromkeys(place[0] for place in places):
            of_node = sorted((slot, app) for (name, slot), app in held.items() if name == node)
            made = self.backend.specs(node, of_node, self.session, "deployed")
            specs += [one for one in made if (node, one.slot) in places]
        specs.sort(key=lambda one: ends.index((one.node_name, int(one.slot or 0))))
        if specs:
            self.check(specs)
        for some in [[one] for one in specs] if wave.in_order else [specs] if specs else []:
            self.backend.start(some)

    def _stop(self, wave: Wave, containers: Iterable[Container]) -> None:
        leaving = list(containers)
        for some in [[one] for one in leaving] if wave.in_order else [leaving] if leaving else []:
            self.backend.stop(some)

    def _parts(self, wave: Wave) -> "_Parts":
        """Return what stands, by its part in the wave."""
        standing = {(one.node, one.slot): one for one in self.backend.standing(self.session)}
        parts = _Parts({}, {}, [])
        coming = {step.new: step for step in wave.steps if step.new}
        leaving = {step.old: step for step in wave.steps if step.old}
        index = {id(step): i for i, step in enumerate(wave.steps)}
        for place, one in standing.items():
            old, new = leaving.get(place), coming.get(place)
            if old and new and old.app == new.app == one.app:
                old, new = (old, None) if one.signature == old.was else (None, new)
            if old and old.app == one.app:
                parts.old[index[id(old)]] = one
            elif new and new.app == one.app:
                parts.new[index[id(new)]] = one
            else:
                parts.rest.append(one)
        return parts

    def _silent(self, containers: Sequence[Container]) -> set[str]:
        heard = self.backend.responding(containers, RESPOND_WITHIN) if containers else set()
        return {one.name for one in containers} - heard

    def _down(self) -> dict[str, str]:
        """Return the nodes that are gone, and why; returns once the cluster itself has noticed.

        One that takes nothing new and whose containers respond is not gone.
        """
        asked = {host.name: self.backend.unavailable(host) for host in self.backend.inventory.workers}
        there = [one for one in self.backend.standing(self.session) if asked.get(one.node)]
        silent = self._silent(there)
        heard = {one.node for one in there if one.name not in silent}
        down = {name: why for name, why in asked.items() if why and name not in heard}
        if down:

            def noticed() -> bool:
                occupied = self.backend.occupancy()
                return all(occupied[name].state != "ready" for name in down)

            names = ", ".join(down)
            wait_until(noticed, SEEN_DOWN_WITHIN, PAUSE, f"{names}: gone, and still taken to be there")
        return down

    def _to(self, wave: Wave, phase: str) -> None:
        wave.phase = phase
        self.save()

    @contextmanager
    def _loaded(self, containers: Sequence[Container]) -> Iterator[None]:
        """Keep containers under load within the block; the last load has ended when it is left."""
        if not containers:
            yield
            return
        ending, failed = Event(), list[MetisError]()

        def send() -> None:
            try:
                while True:
                    self.tally.add(self.traffic(containers))
                    if ending.is_set():
                        return
            except MetisError as error:
                failed.append(error)

        thread = Thread(target=send, name="traffic")
        thread.start()
        try:
            yield
        finally:
            ending.set()
            thread.join()
        if failed:
            raise failed[0]


@dataclass(frozen=True)
class _Parts:
    """What stands: old and new copies by the index of their step, and all others."""

    old: dict[int, Container]
    new: dict[int, Container]
    rest: list[Container]


def wrong_with(result: LoadResult | str, most_failures: float) -> str:
    """Return why a load of a container does not count; empty where it does."""
    return result if isinstance(result, str) else refusal(result, most_failures)


def _on(place: Place | None, nodes: Mapping[str, str]) -> bool:
    return place is not None and place[0] in nodes
