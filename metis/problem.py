"""What is placed where: groups, clusters, placements and the contract every scheduler keeps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metis.errors import InputError, PlacementError
from metis.space import ColocationSpace, IntArray

FloatArray = NDArray[np.float64]

MAX_COUNT = 1e12  # beyond any cluster; sums of such counts still fit their type


@dataclass(frozen=True)
class Cluster:
    """Nodes with slots, and what already runs on them.

    Attributes:
        space: the co-locations possible on a node (its applications and slots).
        nodes: number of nodes.
        existing: containers in place, int [nodes, apps]; they never migrate.
        allowed: bool [space.size], the co-locations the operator's rules admit.
    """

    space: ColocationSpace
    nodes: int
    existing: IntArray = field(default=None)  # type: ignore[arg-type]
    allowed: NDArray[np.bool_] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise InputError(f"cluster.nodes {self.nodes}: a cluster needs at least 1 node")
        shape = (self.nodes, len(self.space.apps))
        if self.existing is None:
            object.__setattr__(self, "existing", np.zeros(shape, dtype=np.int64))
        held = whole_counts(self.existing, "existing")
        if held.shape != shape:
            raise InputError(f"existing has shape {held.shape}: this cluster needs {shape} (nodes, apps)")
        over = np.flatnonzero(held.sum(axis=1) > self.space.slots)
        if over.size:
            raise InputError(
                f"existing: node {over[0]} holds {held[over[0]].sum()} containers "
                f"and has {self.space.slots} slots"
            )
        object.__setattr__(self, "existing", held)
        if self.allowed is None:
            object.__setattr__(self, "allowed", np.ones(self.space.size, dtype=bool))
        if self.allowed.shape != (self.space.size,) or self.allowed.dtype != bool:
            raise InputError(f"allowed has shape {self.allowed.shape}: give {self.space.size} booleans")

    @property
    def empty(self) -> bool:
        """Whether nothing runs yet."""
        return not self.existing.any()

    @property
    def free_slots(self) -> int:
        """Slots not taken by existing containers."""
        return int(self.nodes * self.space.slots - self.existing.sum())


@dataclass(frozen=True)
class Decision:
    """What a scheduler answers.

    Attributes:
        placement: the new containers, int [nodes, apps]; existing ones are not counted.
        seconds: wall time of the decision.
        trace: what the scheduler wants remembered (bounds, curves, steps); JSON-able values.
    """

    placement: IntArray
    seconds: float
    trace: Mapping[str, Any] = field(default_factory=dict)


class Scheduler(Protocol):
    """Places a group on a cluster, given each co-location's worth (always maximised)."""

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
        """Place `group` [apps] on `cluster`; `worth` [space.size] is what one node adds."""
        ...


PlaceFunction = Callable[[IntArray, Cluster, FloatArray], tuple[IntArray, Mapping[str, Any]]]


@dataclass(frozen=True)
class TimedScheduler:
    """A `Scheduler` made of a plain function: it measures the time and checks the placement."""

    name: str
    function: PlaceFunction

    def place(self, group: IntArray, cluster: Cluster, worth: FloatArray) -> Decision:
        """See `Scheduler.place`.

        Raises:
            InputError: the group does not fit.
            PlacementError: the function lost a container, broke capacity or a rule, or answered no placement.
        """
        check_group(group, cluster)
        start = perf_counter()
        answer = self.function(group, cluster, worth)
        seconds = perf_counter() - start
        try:
            placement, trace = answer
            placement = whole_counts(placement, self.name)
        except (TypeError, ValueError):
            raise PlacementError(f"{self.name}: must answer (placement [nodes, apps], trace)") from None
        except InputError as error:
            raise PlacementError(str(error)) from None
        check_placement(placement, group, cluster, self.name)
        return Decision(placement, seconds, trace)


def whole_counts(values: ArrayLike, name: str) -> IntArray:
    """`values` as int64 counts.

    Raises:
        InputError: a value is not a number, negative or fractional; the message names it.
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: holds what is not a number; give whole numbers, 0 or more") from None
    wrong = ~np.isfinite(numbers) | (numbers < 0) | (numbers != np.floor(numbers)) | (numbers > MAX_COUNT)
    if wrong.any():
        raise InputError(f"{name}: {numbers[wrong].flat[0]:g} is not a count; give whole numbers, 0 or more")
    return numbers.astype(np.int64)


def make_group(counts: Sequence[float] | Mapping[str, float], apps: tuple[str, ...]) -> IntArray:
    """A group, int [apps], from counts in the order of `apps` or by application name.

    Raises:
        InputError: an unknown application, the wrong number of counts, or no container at all.
    """
    if isinstance(counts, Mapping):
        unknown = [name for name in counts if name not in apps]
        if unknown:
            raise InputError(f"group.counts names the unknown application {unknown[0]!r}: use {list(apps)}")
        counts = [counts.get(app, 0) for app in apps]
    group = whole_counts(counts, "group.counts")
    if group.shape != (len(apps),):
        raise InputError(f"group.counts has {group.size} counts: give {len(apps)}, in the order {list(apps)}")
    if not group.any():
        raise InputError("group.counts is all 0: a group needs at least 1 container")
    return group


def check_group(group: IntArray, cluster: Cluster) -> None:
    """Refuse a group that cannot fit.

    Raises:
        InputError: more containers than free slots; names both.
    """
    wanted = int(group.sum())
    if wanted > cluster.free_slots:
        raise InputError(
            f"{wanted} containers do not fit: {cluster.nodes} nodes of {cluster.space.slots} slots "
            f"have {cluster.free_slots} slots free"
        )


def check_placement(placement: IntArray, group: IntArray, cluster: Cluster, scheduler: str) -> None:
    """Raise `PlacementError` unless `placement` places all of `group` within capacity and rules."""
    apps, slots = cluster.space.apps, cluster.space.slots
    if placement.shape != cluster.existing.shape or (placement.size and placement.min() < 0):
        raise PlacementError(f"{scheduler}: placement of shape {placement.shape} is not [nodes, apps] counts")
    total = placement + cluster.existing
    over = np.flatnonzero(total.sum(axis=1) > slots)
    if over.size:
        raise PlacementError(
            f"{scheduler}: node {over[0]} got {total[over[0]].sum()} containers, has {slots} slots"
        )
    lost = np.flatnonzero(placement.sum(axis=0) != group)
    if lost.size:
        a = lost[0]
        placed = placement[:, a].sum()
        raise PlacementError(f"{scheduler}: placed {placed} of {group[a]} containers of {apps[a]}")
    forbidden = np.flatnonzero(~cluster.allowed[cluster.space.index(total)] & placement.any(axis=1))
    if forbidden.size:
        held = describe_colocation(total[forbidden[0]], apps)
        raise PlacementError(f"{scheduler}: node {forbidden[0]} holds {held}, which a rule forbids")


def describe_colocation(counts: ArrayLike, apps: tuple[str, ...]) -> str:
    """A co-location in words: `2 Redis + 1 MMS`, or `nothing`."""
    parts = [f"{int(n)} {app}" for n, app in zip(np.asarray(counts), apps, strict=True) if n]
    return " + ".join(parts) or "nothing"
