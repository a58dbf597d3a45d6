"""Deployment of a placement: changes node by node, in which no container moves that may stay."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cluster.spec import Container, ContainerSpec
from metis.errors import InputError, MetisError, SurroundingsError
from metis.problem.counts import IntArray
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.backend import Backend, Occupancy

Report = Callable[[int, int, str], None]  # nodes done, nodes in all, names of those changed next


@dataclass(frozen=True)
class Change:
    """The change of one node, by what happens to its containers.

    Attributes:
        node: name of the host.
        keep: those that stand as they should, and are not touched.
        stop: those that stand, and are removed.
        start: those that are started afterwards. One that is stopped and started in the same slot must be
            started differently: from a newer image, or with another Redis beside it.
    """

    node: str
    keep: tuple[Container, ...]
    stop: tuple[Container, ...]
    start: tuple[ContainerSpec, ...]

    @property
    def nothing(self) -> bool:
        """Whether the node is as it should be."""
        return not self.stop and not self.start

    @property
    def again(self) -> tuple[ContainerSpec, ...]:
        """Those started anew in the slot where the same application stood."""
        stood = {(one.slot, one.app) for one in self.stop}
        return tuple(one for one in self.start if (one.slot, one.app) in stood)


def plan(
    backend: "Backend",
    session: str,
    standing: Iterable[Container],
    placement: IntArray,
    apps: Sequence[str],
    slots: int,
) -> list[Change]:
    """What must change so that every node holds its row of the placement.

    Args:
        backend: of the cluster.
        session: name of the deployment.
        standing: its containers; one with another signature than a fresh one is started anew.
        placement: int [rows, apps]; nodes beyond the last row hold nothing.
        apps: names, in the order of the columns.
        slots: of a node.

    Returns:
        A change per node, first those of nodes that are no part of the cluster any more.

    Raises:
        InputError: more rows than nodes, or a row that a node cannot hold.
    """
    nodes = [host.name for host in backend.inventory.workers]
    if placement.shape[1] != len(apps) or len(placement) > len(nodes):
        raise InputError(
            f"placement of shape {placement.shape}: this cluster has {len(nodes)} nodes ({', '.join(nodes)}) "
            f"and {len(apps)} applications ({', '.join(apps)})"
        )
    over = np.flatnonzero(placement.sum(axis=1) > slots)
    if over.size:
        raise InputError(
            f"placement: node {nodes[over[0]]} would hold {amount(placement[over[0]].sum(), 'container')} "
            f"and has {amount(slots, 'slot')}"
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
        kept, held = _slots(by_node[name], counts, slots)
        specs = backend.specs(name, held, session, "deployed")
        changes.append(_change(backend, name, by_node[name], kept, specs))
    return gone + changes


def plan_back(
    backend: "Backend", session: str, standing: Iterable[Container], held: Mapping[str, Mapping[int, str]]
) -> list[Change]:
    """What must change so that the very containers run that ran before, each in its slot.

    Args:
        backend: of the cluster.
        session: name of the deployment.
        standing: its containers.
        held: application by slot, by node; nodes left out hold nothing.
    """
    by_node: dict[str, list[Container]] = {host.name: [] for host in backend.inventory.workers}
    for one in standing:
        by_node.setdefault(one.node, []).append(one)
    changes = []
    for name, stands in by_node.items():
        wanted = held.get(name, {})
        specs = backend.specs(name, sorted(wanted.items()), session, "deployed") if wanted else []
        changes.append(_change(backend, name, stands, wanted, specs))
    return changes


def _slots(
    standing: Sequence[Container], counts: Mapping[str, int], slots: int
) -> tuple[dict[int, str], list[tuple[int, str]]]:
    """Applications by slot: of those that may stay where they stand, and of all that the node will hold."""
    kept: dict[int, str] = {}
    left = dict(counts)
    # lowest slot first, so that the Redis that its neighbours read from stays where there is one
    for one in sorted(standing, key=lambda one: one.slot):
        if left.get(one.app, 0) and one.slot < slots and one.slot not in kept:
            kept[one.slot] = one.app
            left[one.app] -= 1
    free = iter(slot for slot in range(slots) if slot not in kept)
    added = ((next(free), app) for app, count in left.items() for _ in range(count))
    return kept, sorted([*kept.items(), *added])


def _change(
    backend: "Backend",
    node: str,
    standing: Sequence[Container],
    kept: Mapping[int, str],
    specs: Sequence[ContainerSpec],
) -> Change:
    signatures = {one.slot: backend.signature(one) for one in specs}
    stays = [
        one for one in standing if kept.get(one.slot) == one.app and signatures[one.slot] == one.signature
    ]
    names, slots = {one.name for one in stays}, {one.slot for one in stays}
    return Change(
        node,
        keep=tuple(sorted(stays, key=lambda one: one.slot)),
        stop=tuple(one for one in standing if one.name not in names),
        start=tuple(one for one in specs if one.slot not in slots),
    )


def too_many(changes: Sequence[Change], slots: Mapping[str, int]) -> list[str]:
    """Which nodes would hold more containers than they have slots, a line each.

    Args:
        changes: see `plan`.
        slots: of each node, by name.
    """
    held = [(one.node, len(one.keep) + len(one.start)) for one in changes if one.start]
    return [
        f"{node}: is to hold {amount(count, 'container')}, and has {amount(slots[node], 'slot')}"
        for node, count in held
        if count > slots[node]
    ]


def obstacles(
    changes: Sequence[Change],
    occupied: "Mapping[str, Occupancy]",
    slots: int,
    cpus: float,
    memory_mb: int,
) -> list[str]:
    """Why a plan would fail midway as things are, a line each; empty where nothing stands against it.

    Args:
        changes: see `plan`.
        occupied: by node, see `Backend.occupancy`; nodes left out are not looked at.
        slots: of a node.
        cpus: limit of a container.
        memory_mb: likewise.
    """
    found = []
    for change in changes:
        known = occupied.get(change.node)
        if known is None or not change.start:
            continue
        if known.state != "ready":
            found.append(
                f"{change.node}: {known.state}, and {len(change.start)} containers are to start there"
            )
            continue
        holds, taken = len(change.keep) + len(change.start), known.slots(cpus, memory_mb)
        if taken and holds + taken > slots:
            others = ", ".join(one.name for one in known.counted)
            taken_by = f"others ({others}) take {taken} of its {slots} slots"
            found.append(f"{change.node}: is to hold {holds} containers, and {taken_by}")
        own = {one.name for one in (*change.keep, *change.stop)}
        held = [(one, known.ports.get(one.published or 0, "")) for one in change.start]
        found += [
            f"{change.node}: port {one.published}, of {one.app} in slot {one.slot}, is held by {holder}; "
            "launch.first_port=N chooses other ports"
            for one, holder in held
            if holder and holder not in own
        ]
    return found


def carry_out(
    backend: "Backend",
    changes: Sequence[Change],
    at_once: int,
    report: Report | None = None,
    interrupted: Callable[[str], None] | None = None,
) -> None:
    """Make the changes, a few nodes at a time; on each, what leaves goes first: none is ever overfull.

    Args:
        backend: of the cluster.
        changes: see `plan`.
        at_once: nodes changed at a time.
        report: called with the number of nodes done, of how many, and the names of those changed next.
        interrupted: called with what stands, in words, before an interrupt is raised.

    Raises:
        SurroundingsError: something failed; says what stands. Carrying out a new plan goes on from there.
    """
    needed = [change for change in changes if not change.nothing]
    for done in range(0, len(needed), at_once):
        now = needed[done : done + at_once]
        names = ", ".join(change.node for change in now)
        if report:
            report(done, len(needed), names)
        try:
            leaving = [one for change in now for one in change.stop]
            if leaving:
                backend.stop(leaving)
            coming = [one for change in now for one in change.start]
            if coming:
                backend.start(coming)
        except MetisError as error:
            stands = _stands(changes, needed, done, now)
            raise SurroundingsError(f"{error}; {stands}") from None
        except KeyboardInterrupt as error:
            if interrupted:
                interrupted(_stands(changes, needed, done, now))
            raise error from None
    if report:
        report(len(needed), len(needed), "")


def _stands(changes: Sequence[Change], needed: Sequence[Change], done: int, now: Sequence[Change]) -> str:
    """What stands where changes ended midway, in words."""
    rest = len(needed) - done - len(now)
    as_they_were = f", {rest} still as before" if rest else ""
    as_planned = len(changes) - len(needed) + done
    return (
        f"{', '.join(change.node for change in now)} stands half changed, {as_planned} of "
        f"{len(changes)} nodes are as planned{as_they_were}"
    )


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
