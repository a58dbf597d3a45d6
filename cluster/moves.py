"""Running containers moved in waves: a new copy responds under load before the old one is removed.

A wave may be interrupted anywhere, by a kill too: what stands then lies between what stood before it and what
stands after it, and both `Mover.make` and `Mover.undo` go on from there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from cluster.load.generator import LoadResult
from cluster.load.scoring import refusal
from cluster.spec import Container, ContainerSpec
from cluster.waiting import wait_until
from metis.errors import InputError, MetisError, SurroundingsError

if TYPE_CHECKING:
    from cluster.backend import Backend
    from cluster.load.measurement import Results, Source

Place = tuple[str, int]  # node and slot
Move = Mapping[str, Any]  # `app`, `from`, `to`, `stop_first`; see `metis.operate.waves.as_named_waves`
START, PROVE, REMOVE, DONE, UNDO = "start", "prove", "remove", "done", "undo"
RESPOND_WITHIN = 10.0  # seconds that what stands has to respond
SEEN_DOWN_WITHIN, PAUSE = 60.0, 1.0


@dataclass(frozen=True)
class Step:
    """One container on its way.

    Attributes:
        app: its application.
        old: node and slot of the copy that goes; None for a container that arrives.
        new: node and slot of the copy that comes; None for one that leaves the cluster.
        stop_first: whether the old copy is removed before the new one starts.
        was: signature of the old copy, which tells the two apart where they take the same slot.
        becomes: of the new one.
    """

    app: str
    old: Place | None
    new: Place | None
    stop_first: bool = False
    was: str = ""
    becomes: str = ""

    @property
    def back(self) -> "Step":
        """The step that undoes it."""
        return Step(self.app, self.new, self.old, self.stop_first, self.becomes, self.was)

    @property
    def anew(self) -> bool:
        """Whether the container stays on its node and is only started anew."""
        return self.old is not None and self.new is not None and self.old[0] == self.new[0]

    @property
    def document(self) -> dict[str, Any]:
        """JSON-able values; see `read_step`."""
        return asdict(self)


def read_step(document: Mapping[str, Any]) -> Step:
    """Return the step that `Step.document` described."""
    places = {end: (str(place[0]), int(place[1])) for end in ("old", "new") if (place := document[end])}
    return Step(**{**document, "old": places.get("old"), "new": places.get("new")})


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
        failures: of these, errors and timeouts; a container that ended none within a load counts as one.
    """

    requests: int = 0
    failures: int = 0

    def add(self, results: "Results") -> None:
        """Count the results of a load."""
        for one in results.values():
            counts = (one.requests, one.failures) if isinstance(one, LoadResult) else (1, 1)
            self.requests += counts[0]
            self.failures += counts[1]

    @property
    def rate(self) -> float:
        """The share of requests that failed."""
        return self.failures / self.requests if self.requests else 0.0


def steps_of(
    backend: "Backend",
    session: str,
    standing: Sequence[Container],
    waves: Sequence[Sequence[Move]],
    slots: int,
    *,
    beside: bool = True,
    unavailable: int = 0,
) -> list[tuple[Step, ...]]:
    """Return which container goes from which slot to which, wave by wave.

    A container that reads from a Redis of its node which the wave takes away or replaces is started anew:
    beside the old copy where a slot is free, else in its place.

    Args:
        backend: of the cluster; it says how a container would run.
        session: name of the deployment.
        standing: its containers.
        waves: moves by name.
        slots: of a node.
        beside: whether rules admit one more copy on a node.
        unavailable: containers of an application that may be down at once.

    Raises:
        InputError: a container would be started anew in its place, and none may be down.
        SurroundingsError: a container that is to move does not stand, or a slot is not free.
    """
    now = {(one.node, one.slot): (one.app, one.signature) for one in standing}
    found = []
    for moves in waves:
        steps = _moved(now, moves, slots)
        steps += _anew(backend, session, now, steps, slots, beside=beside)
        down = [one for one in steps if one.anew and one.stop_first]
        for one in down:
            if sum(other.app == one.app for other in down) > unavailable:
                node = one.old[0] if one.old else ""
                raise InputError(
                    f"{one.app} on {node} reads from the Redis that moves, and no slot is free to start it "
                    "anew beside itself: rebalance.unavailable=1 admits that it is down meanwhile"
                )
        after = _after(now, steps)
        signed = _signatures(backend, session, after, {one.new[0] for one in steps if one.new})
        steps = [
            replace(one, was=now[one.old][1] if one.old else "", becomes=signed[one.new] if one.new else "")
            for one in steps
        ]
        now = after | {one.new: (one.app, one.becomes) for one in steps if one.new}
        found.append(tuple(steps))
    return found


def _moved(now: Mapping[Place, tuple[str, str]], moves: Sequence[Move], slots: int) -> list[Step]:
    going: list[Place | None] = []
    for move in moves:
        # the highest slot: the Redis that its neighbours read from is in the lowest one
        here = [place for place in now if place[0] == move["from"] and now[place][0] == move["app"]]
        place = max((place for place in here if place not in going), default=None)
        if move["from"] is not None and place is None:
            raise SurroundingsError(f"{move['app']} is to leave {move['from']}, and does not run there")
        going.append(place)
    freed = {place for place, move in zip(going, moves, strict=True) if move.get("stop_first")}
    busy = set(now) - freed
    steps = []
    for move, old in zip(moves, going, strict=True):
        new = None if move["to"] is None else _free(move["to"], busy, slots)
        if move["to"] is not None and new is None:
            raise SurroundingsError(f"{move['app']} is to go to {move['to']}, where no slot is free")
        busy |= {new} if new else set()
        steps.append(Step(move["app"], old, new, bool(move.get("stop_first"))))
    return steps


def _anew(
    backend: "Backend",
    session: str,
    now: Mapping[Place, tuple[str, str]],
    steps: Sequence[Step],
    slots: int,
    *,
    beside: bool,
) -> list[Step]:
    after = _after(now, steps)
    touched = {place[0] for one in steps for place in (one.old, one.new) if place}
    before_signed = _signatures(backend, session, now, touched)
    after_signed = _signatures(backend, session, after, touched)
    busy = set(now) | set(after)
    found = []
    for place in sorted(set(now) & set(after)):
        app, signature = now[place]
        # one that would already be started otherwise before the wave, from a newer image say, is left alone
        sound = place in before_signed and before_signed[place] == signature
        if after[place][0] != app or not sound or after_signed[place] == signature:
            continue
        free = _free(place[0], busy, slots) if beside else None
        busy |= {free} if free else set()
        found.append(Step(app, place, free or place, stop_first=free is None))
    return found


def _after(now: Mapping[Place, tuple[str, str]], steps: Sequence[Step]) -> dict[Place, tuple[str, str]]:
    gone = {one.old for one in steps}
    return {place: held for place, held in now.items() if place not in gone} | {
        one.new: (one.app, "") for one in steps if one.new
    }


def _signatures(
    backend: "Backend", session: str, held: Mapping[Place, tuple[str, str]], nodes: set[str]
) -> dict[Place, str]:
    found = {}
    for node in nodes:
        of_node = sorted((slot, app) for (name, slot), (app, _) in held.items() if name == node)
        for spec in backend.specs(node, of_node, session, "deployed"):
            found[node, int(spec.slot or 0)] = backend.signature(spec)
    return found


def _free(node: str, busy: set[Place], slots: int) -> Place | None:
    return next(((node, slot) for slot in range(slots) if (node, slot) not in busy), None)


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
                f"{failures} of {requests} requests failed meanwhile, rebalance.failures is {self.bound:g}"
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
