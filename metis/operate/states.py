"""What nodes may hold while containers move: states of one node, limits on several, and a wave of moves."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metis.problem.cluster import FULL, Cluster
from metis.problem.counts import IntArray
from metis.problem.limits import Limit, limits_of, most_on_one
from metis.problem.rules import Rules, placing_order
from metis.problem.space import ColocationSpace


class States(Protocol):
    """What a node may hold, by number, and what it holds after one container more or less.

    Attributes:
        by_app: applications in an order in which each may be added beside those before it.
        free: whether no rule forbids anything.
    """

    by_app: list[int]
    free: bool

    def of(self, placement: IntArray) -> list[int]:
        """Return the state of every node of a placement [nodes, apps]."""
        ...

    def plus(self, state: int, app: int) -> int:
        """Return the state after one container more; -1 where there is no room for it."""
        ...

    def minus(self, state: int, app: int) -> int:
        """Return the state after one container less; -1 where it holds none."""
        ...

    def admitted(self, state: int) -> bool:
        """Whether the rules admit it."""
        ...

    def closed(self, state: int) -> bool:
        """Whether they admit it with whatever of it is left."""
        ...


class TableStates:
    """States of alike nodes, by the numbers of their co-locations.

    Args:
        space: the co-locations of a node.
        allowed: those that the rules admit, bool [space.size].
    """

    def __init__(self, space: ColocationSpace, allowed: NDArray[np.bool_]) -> None:
        self._space, self._plus, self._minus = space, space.plus, space.minus
        self._allowed, self._closed = allowed, _closed(space, allowed)
        self.free = bool(allowed.all())
        self.by_app = list(range(len(space.apps))) if self.free else placing_order(space, allowed)

    def of(self, placement: IntArray) -> list[int]:
        """See `States.of`."""
        found: list[int] = self._space.index(placement).tolist()
        return found

    def plus(self, state: int, app: int) -> int:
        """See `States.plus`."""
        return int(self._plus[state, app])

    def minus(self, state: int, app: int) -> int:
        """See `States.minus`."""
        return int(self._minus[state, app])

    def admitted(self, state: int) -> bool:
        """See `States.admitted`."""
        return bool(self._allowed[state])

    def closed(self, state: int) -> bool:
        """See `States.closed`."""
        return bool(self._closed[state])


def _closed(space: ColocationSpace, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The co-locations that are admitted with whatever of them is left, bool [space.size]."""
    if allowed.all():
        return allowed
    closed = allowed.copy()
    for total in range(1, space.slots + 1):
        ids = np.flatnonzero(space.totals == total)
        fewer = space.minus[ids]
        closed[ids] &= (closed[fewer] | (fewer < 0)).all(axis=1)
    return closed


class StatedStates:
    """States of nodes that differ, or hold co-locations that are too many to tabulate, as they are met.

    Args:
        cluster: its nodes, and what rules and capacities admit.
        total: containers of each application that run, int [apps].
    """

    def __init__(self, cluster: Cluster, total: IntArray) -> None:
        self._cluster, stated = cluster, cluster.stated
        if stated is None:
            capacity = np.full((cluster.nodes, 1), float(cluster.space.slots))
            self._requests = np.ones((len(cluster.space.apps), 1))
            most = np.tile(total, (cluster.nodes, 1))
        else:
            capacity, self._requests = stated.capacity, stated.requests
            most = most_on_one(stated, total)
        makes = np.column_stack([capacity, most])
        unique, make_of = np.unique(makes, axis=0, return_inverse=True)
        self._make_of = make_of.ravel()
        self._capacity = unique[:, : capacity.shape[1]]
        self._most = unique[:, capacity.shape[1] :].astype(np.int64)
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._held: list[tuple[int, IntArray]] = []
        self._admitted: dict[int, bool] = {}
        self._closed: dict[int, bool] = {}
        rules = cluster.rules
        self._whole = not rules.only_beside  # then fewer containers break no rule that more keep
        self.free = not any(
            (rules.never_together, rules.at_most, rules.only_beside, rules.most_beside, rules.of_nodes)
        )
        self.by_app = _hosts_first(rules, cluster.space.apps)

    def of(self, placement: IntArray) -> list[int]:
        """See `States.of`."""
        return [self._number(int(m), row) for m, row in zip(self._make_of, placement, strict=True)]

    def plus(self, state: int, app: int) -> int:
        """See `States.plus`."""
        make, held = self._held[state]
        after = held.copy()
        after[app] += 1
        if (after @ self._requests > self._capacity[make] + FULL).any():
            return -1
        return self._number(make, after)

    def minus(self, state: int, app: int) -> int:
        """See `States.minus`."""
        make, held = self._held[state]
        if not held[app]:
            return -1
        after = held.copy()
        after[app] -= 1
        return self._number(make, after)

    def admitted(self, state: int) -> bool:
        """See `States.admitted`."""
        if state not in self._admitted:
            make, held = self._held[state]
            admitted = bool(self._cluster.admits(held[None])[0])
            self._admitted[state] = admitted and bool((held <= self._most[make]).all())
        return self._admitted[state]

    def closed(self, state: int) -> bool:
        """See `States.closed`."""
        if self._whole:
            return self.admitted(state)
        if state not in self._closed:
            fewer = [self.minus(state, int(app)) for app in np.flatnonzero(self._held[state][1])]
            self._closed[state] = self.admitted(state) and all(self.closed(less) for less in fewer)
        return self._closed[state]

    def _number(self, make: int, held: IntArray) -> int:
        key = (make, held.tobytes())
        if key not in self._numbers:
            self._numbers[key] = len(self._held)
            self._held.append((make, np.asarray(held, dtype=np.int64)))
        return self._numbers[key]


def _hosts_first(rules: Rules, apps: Sequence[str]) -> list[int]:
    """Applications, those that only stand beside others after one of these."""
    ordered: list[int] = []
    while len(ordered) < len(apps):
        others = [a for a in range(len(apps)) if a not in ordered]
        named = {apps[a] for a in ordered}
        ready = [
            a
            for a in others
            if apps[a] not in rules.only_beside or named.intersection(rules.only_beside[apps[a]])
        ]
        ordered += ready or others
    return ordered


class LimitUse:
    """How much of the hard limits on several nodes is used, while both copies of what moves count.

    Args:
        cluster: with its rules.
        before: containers that run, int [nodes, apps].
        after: containers in the end, int [nodes, apps]. What is over a limit in one of them may stay so.
    """

    def __init__(self, cluster: Cluster, before: IntArray, after: IntArray) -> None:
        found: list[Limit] = []
        if cluster.stated is not None:
            total = np.maximum(before.sum(axis=0), after.sum(axis=0))
            found = [one for one in limits_of(cluster.stated, total, twice=True) if one.hard]
        self._used = [one.used(before) for one in found]
        self._most = [max(one.most, one.used(before)) for one in found]
        self._on: dict[int, list[tuple[int, NDArray[np.bool_]]]] = {}
        for number, one in enumerate(found):
            for app, nodes in one.parts:
                self._on.setdefault(app, []).append((number, nodes))

    def may(self, node: int, app: int) -> bool:
        """Whether one more container on a node keeps all limits."""
        return all(
            self._used[number] < self._most[number] for number, nodes in self._on.get(app, ()) if nodes[node]
        )

    def change(self, node: int, app: int, by: int) -> None:
        """Note containers that started or were removed."""
        for number, nodes in self._on.get(app, ()):
            if nodes[node]:
                self._used[number] += by

    def change_all(self, changes: Sequence[tuple[int, int, int]]) -> bool:
        """Note changes (node, app, by) in order if each start keeps all limits, else none; whether it did."""
        for done, (node, app, by) in enumerate(changes):
            if by > 0 and not self.may(node, app):
                for back, what, was in changes[:done]:
                    self.change(back, what, -was)
                return False
            self.change(node, app, by)
        return True


class Wave:
    """The nodes during one wave.

    A node whose co-location is admitted with whatever of it is left may start and lose several containers.
    On another one, whose rules want a neighbour, one start and one removal are possible, each looked at.
    """

    def __init__(self, rules: States, limits: LimitUse, ids: list[int], broken: set[int]) -> None:
        self._rules, self._limits, self._broken = rules, limits, broken
        self._during, self._after = list(ids), list(ids)
        self._gone: list[tuple[int, int]] = []
        self._started: set[int] = set()
        self._removed: set[int] = set()
        self._locked: set[int] = set()  # on which nothing more happens in this wave

    def may_start(self, node: int, app: int) -> bool:
        """Whether a node has room for one more container beside all that runs during the wave."""
        reached = self._rules.plus(self._during[node], app)
        if reached < 0 or node in self._locked or not self._limits.may(node, app):
            return False
        if self._rules.closed(reached):
            return True
        touched = node in self._started or node in self._removed
        return self._rules.admitted(reached) and not touched

    def start(self, node: int, app: int) -> None:
        """Start a container that may."""
        self._during[node] = self._rules.plus(self._during[node], app)
        self._after[node] = self._rules.plus(self._after[node], app)
        self._limits.change(node, app, +1)
        self._started.add(node)
        if not self._rules.closed(self._during[node]) and node in self._removed:
            self._locked.add(node)

    def remove(self, node: int, app: int) -> bool:
        """Remove a container at the end of the wave; whether that was possible."""
        reached = self._rules.minus(self._after[node], app)
        if not self._rules.closed(self._during[node]):
            legal = self._rules.admitted(reached) or (node in self._broken and node not in self._started)
            if node in self._removed or node in self._locked or not legal:
                return False
            self._locked.add(node)
        self._after[node] = reached
        self._gone.append((node, app))
        self._removed.add(node)
        return True

    def end(self) -> list[int]:
        """Return what every node holds when the wave is over."""
        for node, app in self._gone:
            self._limits.change(node, app, -1)
        return self._after
