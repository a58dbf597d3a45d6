"""Deploying a placement: from what stands to what is wanted, node by node, moving nothing that may stay."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cluster.swarm.services import Container
from metis.errors import InputError, MetisError, SurroundingsError
from metis.problem.counts import IntArray

Held = list[tuple[int, str]]  # slot and application of each container of a node
Colocated = Callable[[str, Held], Sequence[Container]]
Tell = Callable[[int, int, str], None]


class Runs(Protocol):
    """What a deployment asks of the launcher; see `cluster.swarm.launcher.Launcher`."""

    def standing(self, session: str) -> list[Container]:
        """The containers of a session that there are."""
        ...

    def colocated(self, node: str, held: Held, session: str) -> list[Container]:
        """The containers of a node as they would be started."""
        ...

    def start(
        self, containers: Sequence[Container], session: str, *, lasting: bool = False
    ) -> list[Container]:
        """Start containers; answers once all of them do."""
        ...

    def stop(self, containers: Sequence[Container]) -> None:
        """Remove containers; answers once they are gone."""
        ...


@dataclass(frozen=True)
class Change:
    """What becomes of the containers of one node.

    Attributes:
        node: name of the host.
        keep: stand as they should, and are not touched.
        stop: stand, and are removed.
        start: are started once those are gone. One that is stopped and started in the same slot is one
            that must be started differently: from a newer image, or with another Redis beside it.
    """

    node: str
    keep: tuple[Container, ...]
    stop: tuple[Container, ...]
    start: tuple[Container, ...]

    @property
    def nothing(self) -> bool:
        """Whether the node is as it should be."""
        return not self.stop and not self.start

    @property
    def again(self) -> tuple[Container, ...]:
        """Those started anew in the slot where the same application stood."""
        stood = {(one.slot, one.app) for one in self.stop}
        return tuple(one for one in self.start if (one.slot, one.app) in stood)


def plan(
    standing: Iterable[Container],
    placement: IntArray,
    nodes: Sequence[str],
    apps: Sequence[str],
    slots: int,
    colocated: Colocated,
) -> list[Change]:
    """What must change so that every node holds its row of the placement.

    Args:
        standing: the containers that there are.
        placement: int [rows, apps]; nodes beyond the last row hold nothing.
        nodes: their names, in order.
        apps: names, one per column.
        slots: of a node.
        colocated: the containers of a node as they would be started, given slots and applications.

    Returns:
        A change per node, first those of nodes that are no part of the cluster any more.

    Raises:
        InputError: more rows than nodes, or a row that a node cannot hold.
    """
    if placement.shape[1] != len(apps) or len(placement) > len(nodes):
        raise InputError(
            f"placement of shape {placement.shape}: this cluster has {len(nodes)} nodes ({', '.join(nodes)}) "
            f"and {len(apps)} applications ({', '.join(apps)})"
        )
    over = np.flatnonzero(placement.sum(axis=1) > slots)
    if over.size:
        raise InputError(
            f"placement: node {nodes[over[0]]} would hold {placement[over[0]].sum()} containers "
            f"and has {slots} slots"
        )
    by_node: dict[str, list[Container]] = {name: [] for name in nodes}
    for one in standing:
        by_node.setdefault(one.node, []).append(one)
    gone = [Change(name, (), tuple(by_node[name]), ()) for name in by_node if name not in nodes]
    wanted = np.zeros((len(nodes), len(apps)), dtype=np.int64)
    wanted[: len(placement)] = placement
    changes = []
    for name, row in zip(nodes, wanted, strict=True):
        counts = {app: int(count) for app, count in zip(apps, row, strict=True) if count}
        changes.append(_change(name, by_node[name], counts, slots, colocated))
    return gone + changes


def _change(
    node: str, standing: Sequence[Container], counts: Mapping[str, int], slots: int, colocated: Colocated
) -> Change:
    kept: dict[int, str] = {}
    left = dict(counts)
    # lowest slot first, so that the Redis that its neighbours read from stays where there is one
    for one in sorted(standing, key=lambda one: one.slot):
        if left.get(one.app, 0) and one.slot < slots and one.slot not in kept:
            kept[one.slot] = one.app
            left[one.app] -= 1
    free = iter(slot for slot in range(slots) if slot not in kept)
    held = sorted([*kept.items(), *((next(free), app) for app, count in left.items() for _ in range(count))])
    as_wanted = {one.slot: one for one in colocated(node, held)}
    stays = {
        one.service: as_wanted[one.slot]
        for one in standing
        if kept.get(one.slot) == one.app and as_wanted[one.slot].signature == one.signature
    }
    slots_kept = {one.slot for one in stays.values()}
    return Change(
        node,
        keep=tuple(sorted(stays.values(), key=lambda one: one.slot)),
        stop=tuple(one for one in standing if one.service not in stays),
        start=tuple(one for slot, one in sorted(as_wanted.items()) if slot not in slots_kept),
    )


def carry_out(
    runs: Runs, changes: Sequence[Change], session: str, at_once: int, tell: Tell | None = None
) -> None:
    """Make the changes, a few nodes at a time; on each what leaves goes first, so that none is ever overfull.

    Args:
        runs: the launcher.
        changes: see `plan`.
        session: name of the deployment.
        at_once: nodes changed at a time.
        tell: told how many nodes are done, of how many, and which is next.

    Raises:
        SurroundingsError: something failed; says what stands. Carrying out a new plan goes on from there.
    """
    needed = [change for change in changes if not change.nothing]
    for done in range(0, len(needed), at_once):
        now = needed[done : done + at_once]
        names = ", ".join(change.node for change in now)
        if tell:
            tell(done, len(needed), names)
        try:
            leaving = [one for change in now for one in change.stop]
            if leaving:
                runs.stop(leaving)
            coming = [one for change in now for one in change.start]
            if coming:
                runs.start(coming, session, lasting=True)
        except MetisError as error:
            rest = len(needed) - done - len(now)
            as_they_were = f", {rest} still as before" if rest else ""
            raise SurroundingsError(
                f"{error}; {names} stands half changed, {len(changes) - len(needed) + done} of "
                f"{len(changes)} nodes are as planned{as_they_were}"
            ) from None
    if tell:
        tell(len(needed), len(needed), "")


def placement_of(standing: Iterable[Container], nodes: Sequence[str], apps: Sequence[str]) -> IntArray:
    """The placement that stands, int [nodes, apps]; containers of other nodes or applications left out."""
    placement = np.zeros((len(nodes), len(apps)), dtype=np.int64)
    rows = {name: row for row, name in enumerate(nodes)}
    columns = {name: column for column, name in enumerate(apps)}
    for one in standing:
        if one.node in rows and one.app in columns:
            placement[rows[one.node], columns[one.app]] += 1
    return placement


def aligned(placement: IntArray, running: IntArray) -> IntArray:
    """The same co-locations on other nodes, so that as many containers as can be stay where they run.

    Nodes are alike, so which row stands where is free: an assignment problem. Ties leave rows in place.

    Args:
        placement: what is wanted, int [nodes, apps].
        running: what stands, int [nodes, apps].
    """
    from scipy.optimize import linear_sum_assignment

    kept = np.minimum(running[:, None, :], placement[None, :, :]).sum(axis=2).astype(np.float64)
    kept += np.eye(len(placement)) / (2 * len(placement))  # together less than one container
    _, chosen = linear_sum_assignment(kept, maximize=True)
    return np.asarray(placement[chosen])


def moved(placement: IntArray, running: IntArray) -> int:
    """How many containers must be started to get from `running` to `placement`, both [nodes, apps]."""
    return int(np.maximum(placement - running, 0).sum())
