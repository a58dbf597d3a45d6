"""Which container of a plan of moves goes from which slot to which, wave by wave."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster.spec import Container
from metis.errors import InputError, SurroundingsError

if TYPE_CHECKING:
    from cluster.backend import Backend

Place = tuple[str, int]  # node and slot
Move = Mapping[str, Any]  # `app`, `from`, `to`, `stop_first`; see `metis.operate.waves.as_named_waves`


@dataclass(frozen=True)
class Step:
    """One container on its way.

    Attributes:
        app: its application.
        old: node and slot of the copy that goes; None for a container that arrives.
        new: node and slot of the copy that comes; None for one that leaves the cluster.
        stop_first: whether the old copy is removed before the new one starts.
        was: signature of the old copy, which distinguishes the two where they take the same slot.
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


def steps_of(
    backend: "Backend",
    session: str,
    standing: Sequence[Container],
    waves: Sequence[Sequence[Move]],
    slots: Mapping[str, int],
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
        slots: of each node, by name.
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


def _moved(
    now: Mapping[Place, tuple[str, str]], moves: Sequence[Move], slots: Mapping[str, int]
) -> list[Step]:
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
    slots: Mapping[str, int],
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


def _free(node: str, busy: set[Place], slots: Mapping[str, int]) -> Place | None:
    return next(((node, slot) for slot in range(slots[node]) if (node, slot) not in busy), None)
