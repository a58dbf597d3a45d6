"""Policies: where what arrives is placed, and which containers move each hour."""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, PlacementError, SolverError
from metis.operate.proposal import without_return
from metis.operate.settings import RebalanceSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import placing_order
from metis.problem.scheduler import PlaceFunction
from metis.program.moves import MoveProgram


@dataclass(frozen=True)
class Hour:
    """What a policy knows in an hour.

    Attributes:
        cluster: the nodes that are there, with what runs on them.
        worth: of every co-location, as far as is known, float64 [size].
        one: what one container at its stand-alone RPS is worth.
        hazard: chance that a container leaves within an hour, by application, float64 [apps].
        arriving: containers that arrive in an hour, in the mean, float64 [apps].
        gave: whether a node gave a container of an application away lately, bool [nodes, apps].
    """

    cluster: Cluster
    worth: FloatArray
    one: float
    hazard: FloatArray
    arriving: FloatArray
    gave: NDArray[np.bool_]


class Policy(Protocol):
    """Looks after a cluster."""

    def place(self, group: IntArray, hour: Hour) -> IntArray:
        """Place what arrives, int [apps]; return the new containers, int [nodes, apps]."""
        ...

    def move(self, hour: Hour) -> IntArray:
        """Return what every node holds after the moves of an hour, int [nodes, apps]."""
        ...


@dataclass(frozen=True)
class Arriving:
    """Places what arrives by a scheduler, and moves nothing.

    Attributes:
        scheduler: (group, cluster, worth) -> (placement, trace).
    """

    scheduler: PlaceFunction

    def place(self, group: IntArray, hour: Hour) -> IntArray:
        """See `Policy.place`."""
        return self.scheduler(group, hour.cluster, hour.worth)[0]

    def move(self, hour: Hour) -> IntArray:
        """See `Policy.move`."""
        return hour.cluster.existing


@dataclass(frozen=True)
class Rebalanced(Arriving):
    """The same, and makes the best moves each hour, whatever they gain.

    Attributes:
        moves: containers that may move in an hour.
        settings: of the plans.
    """

    moves: int
    settings: RebalanceSettings

    def move(self, hour: Hour) -> IntArray:
        """See `Policy.move`."""
        return _planned(hour, self.moves, None, self.settings)


@dataclass(frozen=True)
class Descheduled(Arriving):
    """The same, and does as a descheduler: evicts from the nodes of lowest worth, for the scheduler to place.

    Attributes:
        moves: containers that may be evicted in an hour.
    """

    moves: int

    def move(self, hour: Hour) -> IntArray:
        """Evict whole nodes, those of lowest worth per container first, and place what was on them again."""
        cluster = hour.cluster
        held = cluster.existing.sum(axis=1)
        each = np.where(
            held > 0, hour.worth[cluster.space.index(cluster.existing)] / np.maximum(held, 1), np.inf
        )
        left = cluster.existing.copy()
        budget = self.moves
        for node in np.argsort(each, kind="stable"):
            if not held[node] or not budget:
                break
            # those that would be missed least first
            while left[node].any() and budget:
                left[node, self._worst(left[node], hour)] -= 1
                budget -= 1
        evicted = (cluster.existing - left).sum(axis=0)
        try:
            return left + self.scheduler(evicted, replace(cluster, existing=left), hour.worth)[0]
        except PlacementError:  # the rules leave no place for all of them: none is evicted
            return cluster.existing

    @staticmethod
    def _worst(held: IntArray, hour: Hour) -> int:
        """The application of which one less leaves the node worth most."""
        space = hour.cluster.space
        fewer = space.minus[space.index(held)]
        return int(np.argmax(np.where(fewer >= 0, hour.worth[fewer], -np.inf)))


@dataclass(frozen=True)
class Foresighted(Arriving):
    """Places with what is still to come in mind, and makes the moves whose gain lasts until it pays.

    Attributes:
        moves: containers that may move in an hour.
        ahead: hours of arrivals that are placed in mind.
        move_cost: hours of a container's stand-alone RPS that a move must gain.
        settings: of the plans.
    """

    moves: int
    ahead: float
    move_cost: float
    settings: RebalanceSettings

    def place(self, group: IntArray, hour: Hour) -> IntArray:
        """Place by the program of moves, none allowed, together with what is expected to arrive.

        So room is kept where something better is still to come.
        """
        still = expected(self.ahead * hour.arriving, hour.cluster.free_slots - int(group.sum()))
        try:
            program = _program(hour, hour.cluster, self.settings, arriving=group + still)
            return _first(program.plan(0).placement - hour.cluster.existing, group, hour)
        except (InputError, SolverError, PlacementError):  # the rules leave no place, or there is no time
            return super().place(group, hour)

    def move(self, hour: Hour) -> IntArray:
        """Make the moves that pay, none of which gives a node back what it gave away lately."""
        return _planned(hour, self.moves, self.move_cost * hour.one * undone(hour), self.settings)


def undone(hour: Hour) -> FloatArray:
    """The chance that what a move gains is undone within an hour, by application, float64 [apps].

    Either the container itself leaves, or what its node holds changes by what leaves and arrives.
    """
    leaving = float(hour.cluster.existing.sum(axis=0) @ hour.hazard)
    return hour.hazard + (leaving + float(hour.arriving.sum())) / hour.cluster.nodes


def expected(mean: FloatArray, room: int) -> IntArray:
    """Whole containers nearest to a mean, no more in all than there is room for, int [apps]."""
    total = min(round(float(mean.sum())), max(room, 0))
    if total == 0:
        return np.zeros(len(mean), dtype=np.int64)
    share = mean * (total / mean.sum())
    whole: IntArray = np.floor(share).astype(np.int64)
    whole[np.argsort(whole - share, kind="stable")[: total - int(whole.sum())]] += 1
    return whole


def _first(planned: IntArray, group: IntArray, hour: Hour) -> IntArray:
    """Of the new containers of a plan those of a group, where they gain most at once, int [nodes, apps].

    Only nodes are chosen on which what they then hold is admitted.
    """
    space, allowed = hour.cluster.space, hour.cluster.allowed
    new = np.zeros_like(planned)
    for a in placing_order(space, allowed):
        for _ in range(int(group[a])):
            ids = space.index(hour.cluster.existing + new)
            reached = np.where(planned[:, a] > new[:, a], space.plus[ids, a], -1)
            may = (reached >= 0) & allowed[reached]
            if not may.any():
                raise PlacementError(f"{space.apps[a]} has no place before others arrive beside it")
            node = int(np.argmax(np.where(may, hour.worth[reached] - hour.worth[ids], -np.inf)))
            new[node, a] += 1
    return new


def _program(
    hour: Hour,
    cluster: Cluster,
    settings: RebalanceSettings,
    cost: FloatArray | None = None,
    arriving: IntArray | None = None,
) -> MoveProgram:
    return MoveProgram(
        hour.worth,
        cluster,
        arriving=arriving,
        cost=cost,
        gap=settings.gap,
        time_limit=settings.time_limit,
        tight=False,
    )


def _planned(hour: Hour, moves: int, cost: FloatArray | None, settings: RebalanceSettings) -> IntArray:
    """The best moves of at most so many; where they have a cost, nodes that gave take nothing back."""
    cluster, after = hour.cluster, hour.cluster.existing.copy()

    def plan(free: NDArray[np.bool_]) -> IntArray:
        part = Cluster(cluster.space, int(free.sum()), cluster.existing[free], cluster.allowed)
        after[:] = cluster.existing
        after[free] = _program(hour, part, settings, cost).plan(moves).placement
        return after[free]

    try:
        gave = hour.gave if cost is not None else np.zeros_like(hour.gave)
        return after if moves and without_return(cluster, gave, plan).any() else cluster.existing
    except SolverError:  # not in time: what runs goes on
        return cluster.existing
