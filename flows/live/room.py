"""The room that a live cluster has for a placement: its nodes by name, and what others take of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cluster.provision.inventory import Inventory
from flows.configuration.settings import Settings
from flows.live.node_types import refuse_unequal
from flows.live.state import INVENTORY, cluster_state, say_indented
from metis.errors import InputError, SurroundingsError
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.oracle import Oracle
from metis.problem.placement_files import node_names
from metis.problem.tables import Tables

LOOK_WITHIN = 5.0  # seconds for a host to respond: what is placed may be for later


@dataclass(frozen=True)
class Room:
    """What the nodes of a placement are open to.

    Attributes:
        nodes: their names.
        taken: slots that others take, int [nodes].
        closed: nodes that take no containers, by name, and why.
        notes: what was found, a line each.
    """

    nodes: tuple[str, ...]
    taken: IntArray
    closed: dict[str, str]
    notes: tuple[str, ...] = ()


def live_nodes(settings: Settings) -> tuple[str, ...] | None:
    """Return the names of the live cluster's nodes, without asking them; None where setup was not done."""
    path = cluster_state(settings) / INVENTORY
    return tuple(host.name for host in Inventory.load(path).workers) if path.is_file() else None


def room_of(settings: Settings) -> Room:
    """Return the room of the cluster that is placed on; of one without hosts that is all of it.

    Hosts that do not respond are said to be taken as free: a plan may be for later.
    """
    count = settings.cluster.nodes
    path = cluster_state(settings) / INVENTORY
    free = Room(node_names(count), np.zeros(count, dtype=np.int64), {})
    if not settings.cluster.live or not path.is_file():
        return free
    inventory = Inventory.load(path)
    types = settings.cluster.types
    refuse_unequal(inventory, types, settings.cluster.slots or 1)
    nodes = tuple(name for one in types for name in one.names)
    nodes = nodes or tuple(host.name for host in inventory.workers)
    if len(nodes) != count:
        note = f"cluster.nodes {count}, and the cluster has {len(nodes)}: what runs there is not looked at"
        return replace(free, notes=(note,))
    return _looked_at(settings, inventory, replace(free, nodes=nodes))


def _looked_at(settings: Settings, inventory: Inventory, free: Room) -> Room:
    from cluster.backend import open_backend
    from cluster.provision.hosts import Fleet
    from flows.live.preflight import findings

    connect, launch, slots = settings.connect, settings.launch, settings.cluster.slots or 1
    quick = replace(connect, retries=0, connect_timeout=min(connect.connect_timeout, LOOK_WITHIN))
    say_indented(f"looking at what runs on cluster {inventory.name}")
    try:
        with Fleet(inventory, quick) as fleet:
            backend = open_backend(settings.cluster.backend, fleet, (), (), launch)
            occupied = backend.occupancy()
            own = {one.name for one in backend.standing()}
    except SurroundingsError as error:
        return replace(free, notes=(f"placed as if the nodes were free, which was not looked at: {error}",))
    taken = [occupied[name].slots(launch.cpus, launch.memory_mb) for name in free.nodes]
    closed = {name: occupied[name].state for name in free.nodes if occupied[name].state != "ready"}
    notes = tuple(findings(occupied, slots, launch, own))
    return replace(free, taken=np.array(taken, dtype=np.int64), closed=closed, notes=notes)


@dataclass(frozen=True)
class Open:
    """The part of a cluster that a placement may use.

    Attributes:
        cluster: of the nodes that have room; what others take there is among `existing`.
        rows: of these nodes in the whole cluster, int [nodes with room].
    """

    cluster: Cluster
    rows: IntArray

    def whole(self, placement: IntArray, nodes: int) -> IntArray:
        """Return a placement on all nodes, int [nodes, apps]; those without room get nothing."""
        full = np.zeros((nodes, placement.shape[1]), dtype=np.int64)
        full[self.rows] = placement
        return full


def open_part(cluster: Cluster, room: Room, known: Tables | Oracle) -> Open:
    """Return the nodes of a cluster that have room, with the load of others in place.

    What others run was never measured. Each slot that they take is filled by the profiled application that
    costs its neighbours most: neither the room nor the interference is taken to be better than it may be.

    Args:
        cluster: with what is known to run there.
        room: see `room_of`.
        known: what is predicted.

    Raises:
        InputError: no node has room, or others take slots where co-locations are too many to tabulate.
    """
    closed = np.array([name in room.closed for name in room.nodes])
    over = cluster.existing.sum(axis=1) + room.taken > cluster.slots
    full = (cluster.existing.sum(axis=1) + room.taken == cluster.slots) & (room.taken > 0)
    rows = np.flatnonzero(~(closed | over | full))
    if not rows.size:
        reasons = "; ".join(room.notes)
        raise InputError(f"no node takes containers: {reasons}")
    existing = cluster.existing[rows].copy()
    if room.taken[rows].any():
        if not isinstance(known, Tables):
            raise InputError("others take slots here, and co-locations are too many to tabulate")
        existing[:, stand_in(known, cluster.allowed, room.taken[rows])] += room.taken[rows]
    stated = None if cluster.stated is None else cluster.stated.of_nodes(rows)
    return Open(replace(cluster, nodes=len(rows), existing=existing, stated=stated), rows)


def stand_in(tables: Tables, allowed: np.ndarray, taken: Sequence[int] | IntArray) -> int:
    """Return the application, by column, whose container costs one beside it most.

    Args:
        tables: of the space.
        allowed: bool [size], the co-locations that the rules admit.
        taken: slots to be filled by it; one that rules forbid to fill them is not chosen where another may.
    """
    space = tables.space
    apps = np.eye(len(space.apps), dtype=np.int64)
    if space.slots < 2:
        return 0
    beside = np.array([space.index(apps + other) for other in apps])  # [neighbour, app]
    left = tables.rps[beside, np.arange(len(apps))].mean(axis=1)
    fits = [bool(allowed[space.index(np.outer(taken, other))].all()) for other in apps]
    order = sorted(range(len(apps)), key=lambda a: (not fits[a], left[a]))
    return order[0]
