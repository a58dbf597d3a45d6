"""The order of a plan's moves: waves, in which no intermediate state breaks capacity or a rule.

In a wave the new copies start, all of them run, and only then the old ones are removed: until then both
count. A container without room to do so makes a detour over a free slot, or, where some may be down for a
while, is stopped first. What has no safe order at all is named.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metis.operate.states import LimitUse, StatedStates, States, TableStates, Wave
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray


@dataclass(frozen=True)
class Move:
    """One container that moves.

    Attributes:
        app: its application, a column of the placement.
        source: node that it leaves; None where it arrives.
        target: node that it goes to; None where it leaves the cluster.
        stop_first: whether the old copy stops before the new one starts.
        detour: whether it goes on from there in a later wave.
    """

    app: int
    source: int | None
    target: int | None
    stop_first: bool = False
    detour: bool = False


@dataclass(frozen=True)
class Order:
    """The moves of a plan, in order.

    Attributes:
        waves: moves made together, wave after wave.
        left: containers per node and application that no safe order brings to their node, int [nodes, apps].
        starts: seconds that the slowest start of each wave takes.
        down: most containers of an application that are down at once, int [apps].
    """

    waves: tuple[tuple[Move, ...], ...]
    left: IntArray
    starts: tuple[float, ...]
    down: IntArray

    @property
    def seconds(self) -> float:
        """From the first start to the last response."""
        return float(sum(self.starts))

    @property
    def complete(self) -> bool:
        """Whether every container gets to its node."""
        return not self.left.any()

    @property
    def detours(self) -> int:
        """Moves that are made only to give way."""
        return sum(move.detour for wave in self.waves for move in wave)


class WaveOrder:
    """Orders plans on the nodes of one cluster under its rules.

    Args:
        cluster: its nodes, and what rules and capacities admit.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        tabulated = cluster.stated is None and cluster.space.tabulated
        self._table = TableStates(cluster.space, cluster.allowed) if tabulated else None

    def closed(self, placement: IntArray) -> bool:
        """Whether rules admit what all nodes hold [nodes, apps], and whatever of it is left."""
        states: States = self._table or StatedStates(self._cluster, placement.sum(axis=0))
        return all(states.closed(held) for held in states.of(placement))

    def order(
        self, before: IntArray, after: IntArray, unavailable: int = 0, startup: Sequence[float] | None = None
    ) -> Order:
        """Return the moves from one placement to another, in waves.

        Args:
            before: containers that run, int [nodes, apps].
            after: containers in the end, int [nodes, apps].
            unavailable: containers of an application that may be down at once, because they are stopped
                before their new copy starts.
            startup: seconds from a container's start until it responds, by application, [apps].
        """
        total = np.maximum(before.sum(axis=0), after.sum(axis=0))
        states: States = self._table or StatedStates(self._cluster, total)
        state = _State(states, LimitUse(self._cluster, before, after), before, after)
        waves: list[tuple[Move, ...]] = []
        while state.pending:
            made = state.starts() or state.detour() or state.together() or state.cycle(unavailable)
            if not made:
                break
            waves.append(tuple(made))
        apps = before.shape[1]
        times = startup or [0.0] * apps
        down = np.zeros(apps, dtype=np.int64)
        for wave in waves:
            for app, stopped in Counter(move.app for move in wave if move.stop_first).items():
                down[app] = max(down[app], stopped)
        lasts = [max((times[m.app] for m in wave if m.target is not None), default=0.0) for wave in waves]
        return Order(tuple(waves), state.left(), tuple(lasts), down)


class _State:
    """What runs while a plan is carried out."""

    def __init__(self, rules: States, limits: LimitUse, before: IntArray, after: IntArray) -> None:
        self._rules, self._limits = rules, limits
        self._shape = before.shape
        self._ids = rules.of(before)
        # that break a rule before anything moves, and got no container since
        self._broken = {n for n, held in enumerate(self._ids) if not rules.admitted(held)}
        change = after - before
        self._go: list[Counter[int]] = [Counter() for _ in range(before.shape[1])]
        self._come: list[Counter[int]] = [Counter() for _ in range(before.shape[1])]
        for node, a in np.argwhere(change).tolist():
            by = int(change[node, a])
            (self._come if by > 0 else self._go)[a][node] = abs(by)
        self._out = np.maximum(-change.sum(axis=0), 0).tolist()  # containers that leave the cluster
        self._patience = sum(sum(come.values()) for come in self._come)  # detours at most

    @property
    def pending(self) -> bool:
        """Whether a container is not where it belongs."""
        return any(self._come) or any(self._go)

    def left(self) -> IntArray:
        """Containers that have not come to their node, or not left theirs where none comes."""
        left = np.zeros(self._shape, dtype=np.int64)
        for a, (come, go) in enumerate(zip(self._come, self._go, strict=True)):
            for node, count in (come or go).items():
                left[node, a] = count
        return left

    def starts(self) -> list[Move]:
        """A wave of all moves that have room; made at once."""
        rules, wave = self._rules, Wave(self._rules, self._limits, self._ids, self._broken)
        moves: list[Move] = []
        crowded = {node for come in self._come for node in come}
        for a in rules.by_app:
            for node in sorted(self._go[a]) if self._out[a] else ():
                while self._out[a] and self._go[a][node] and wave.remove(node, a):
                    self._out[a] -= 1
                    moves.append(self._made(Move(a, node, None)))
        for a in rules.by_app:
            for node in sorted(self._come[a]):
                while self._come[a][node] and wave.may_start(node, a):
                    # first from where others wait for room
                    sources = sorted(self._go[a], key=lambda n: (n not in crowded, n))
                    source = next((n for n in sources if wave.remove(n, a)), None)
                    if source is None and not self._from_outside(a):
                        break
                    wave.start(node, a)
                    moves.append(self._made(Move(a, source, node)))
        self._reach(dict(enumerate(wave.end())), moves)
        return moves

    def _reach(self, ends: Mapping[int, int], moves: Sequence[Move]) -> None:
        """Note what nodes hold after moves: one that got a container, or keeps the rules now, has to."""
        for node, end in ends.items():
            self._ids[node] = end
        got = {move.target for move in moves}
        admitted = self._rules.admitted
        self._broken = {n for n in self._broken if n not in got and not admitted(self._ids[n])}

    def detour(self) -> list[Move]:
        """A move that gives way to another one, over a free slot."""
        rules = self._rules
        for a, node in self._waiting() if self._patience else ():
            for b in self._leavers(node):
                after = rules.minus(self._ids[node], b)
                then = rules.plus(after, a)
                if then < 0 or not self._legal(node, after) or not self._closed_or_legal(then):
                    continue
                target = self._free_slot(node, b)
                if target is None:
                    continue
                move = Move(b, node, target, detour=True)
                self._reach({node: after, target: rules.plus(self._ids[target], b)}, [move])
                self._limits.change(target, b, +1)
                self._limits.change(node, b, -1)
                self._count(self._go[b], node, -1)
                self._count(self._go[b], target, +1)
                self._patience -= 1
                return [move]
        return []

    def together(self) -> list[Move]:
        """Moves from one node to another that only together keep a rule, hosts first."""
        rules = self._rules
        if rules.free:
            return []
        for source in sorted({n for go in self._go for n in go}):
            for target in sorted({n for come in self._come for n in come}):
                moves = [
                    Move(a, source, target)
                    for a in rules.by_app
                    for _ in range(min(self._go[a][source], self._come[a][target]))
                ]
                ends = self._joint(source, target, [move.app for move in moves])
                if ends is not None:
                    self._reach(ends, moves)
                    return [self._made(move) for move in moves]
        return []

    def cycle(self, unavailable: int) -> list[Move]:
        """Containers that change places around a circle, or one alone, all stopped before they start."""
        if not unavailable:
            return []
        alone = [
            [Move(a, source, node, stop_first=True)]  # a limit on several nodes may have no room for two
            for a, node in self._waiting()
            for source in sorted(self._go[a])
        ]
        for ways in [*(self._circles(node) for _, node in self._waiting()), alone]:
            for moves in ways:
                stopped = Counter(move.app for move in moves)
                if max(stopped.values()) > unavailable:
                    continue
                ends = self._turned(moves)
                if ends is not None:
                    self._reach(ends, moves)
                    return [self._made(move) for move in moves]
        return []

    def _waiting(self) -> list[tuple[int, int]]:
        return [(a, node) for a in self._rules.by_app for node in sorted(self._come[a])]

    def _leavers(self, node: int) -> list[int]:
        return [b for b, go in enumerate(self._go) if go[node] and not self._out[b]]

    def _from_outside(self, a: int) -> bool:
        return sum(self._come[a].values()) > sum(self._go[a].values())

    def _legal(self, node: int, reached: int) -> bool:
        return self._rules.admitted(reached) or node in self._broken

    def _closed_or_legal(self, reached: int) -> bool:
        return self._rules.closed(reached) or self._rules.admitted(reached)

    def _free_slot(self, node: int, app: int) -> int | None:
        waits = {n for come in self._come for n in come}
        best = None
        for n, held in enumerate(self._ids):
            reached = self._rules.plus(held, app)
            if (
                n == node
                or reached < 0
                or not self._limits.may(n, app)
                or self._come[app][n]
                or not self._closed_or_legal(reached)
            ):
                continue
            if n not in waits:
                return n
            best = n if best is None else best
        return best

    def _joint(self, source: int, target: int, apps: list[int]) -> dict[int, int] | None:
        """What both hold after so many moved, started in order and removed in reverse; None where illegal."""
        rules, there, here = self._rules, self._ids[target], self._ids[source]
        if source == target or not apps:
            return None
        for a in apps:
            there = rules.plus(there, a)
            if there < 0 or not rules.admitted(there):
                return None
        for a in reversed(apps):
            here = rules.minus(here, a)
            if not self._legal(source, here):
                return None
        changes = [(target, a, +1) for a in apps] + [(source, a, -1) for a in apps]
        if not self._limits.change_all(changes):
            return None
        return {source: here, target: there}

    def _circles(self, node: int) -> list[list[Move]]:
        """Ways around a circle of moves that begins with a container of this node, shortest first."""
        found: list[list[Move]] = []
        paths: list[list[Move]] = [[]]
        while paths and len(found) < 8 and len(paths) < 500:
            longer: list[list[Move]] = []
            for path in paths:
                at = path[-1].target if path else node
                assert at is not None
                passed = {move.source for move in path}
                for b in self._leavers(at):
                    for target in sorted(self._come[b]):
                        step = [*path, Move(b, at, target, stop_first=True)]
                        if target == node:
                            found.append(step)
                        elif target not in passed and target != at:
                            longer.append(step)
            paths = longer
        return found

    def _turned(self, moves: list[Move]) -> dict[int, int] | None:
        """What the nodes of a circle hold after it turned; None where a state on the way is illegal."""
        rules = self._rules
        ends: dict[int, int] = {}
        changes: list[tuple[int, int, int]] = []
        for move in moves:
            assert move.source is not None
            changes.append((move.source, move.app, -1))
            ends[move.source] = rules.minus(self._ids[move.source], move.app)
            if not self._legal(move.source, ends[move.source]):
                return None
        for move in moves:
            assert move.target is not None
            changes.append((move.target, move.app, +1))
            ends[move.target] = rules.plus(ends.get(move.target, self._ids[move.target]), move.app)
            if ends[move.target] < 0 or not rules.admitted(ends[move.target]):
                return None
        if not self._limits.change_all(changes):
            return None
        return ends

    def _made(self, move: Move) -> Move:
        if move.source is not None:
            self._count(self._go[move.app], move.source, -1)
        if move.target is not None:
            self._count(self._come[move.app], move.target, -1)
        return move

    @staticmethod
    def _count(counter: Counter[int], node: int, by: int) -> None:
        counter[node] += by
        if not counter[node]:
            del counter[node]


def as_named_waves(
    order: Order, apps: Sequence[str], nodes: Sequence[str]
) -> list[list[Mapping[str, str | bool | None]]]:
    """Waves as JSON-able moves by name: application, node left, node reached."""
    named: list[list[Mapping[str, str | bool | None]]] = []
    for wave in order.waves:
        moves: list[Mapping[str, str | bool | None]] = []
        for move in wave:
            made: dict[str, str | bool | None] = {
                "app": apps[move.app],
                "from": None if move.source is None else nodes[move.source],
                "to": None if move.target is None else nodes[move.target],
            }
            marks = {"stop_first": move.stop_first, "detour": move.detour}
            moves.append(made | {name: True for name, marked in marks.items() if marked})
        named.append(moves)
    return named
