"""The node types of hosts that differ: proposed from their cores, memory and slots, as settings take them."""

from collections.abc import Sequence

from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from metis.errors import InputError
from metis.problem.node_types import NodeTypeSettings
from metis.wording import amount

MIB = 1 << 20
SMALL = 2048  # MiB of memory below which types are distinguished by quarters of a GiB
# a node's kernel keeps some of its memory: 64 GB of a machine are 62 GB of a node
ENOUGH_MEMORY = 0.9


def proposed_types(inventory: Inventory, slots: int, launch: LaunchSettings) -> tuple[NodeTypeSettings, ...]:
    """Return the types of the workers: alike in cores, memory and slots, in the order of the inventory.

    Args:
        inventory: with the facts that setup found.
        slots: `cluster.slots`, the most that a node holds.
        launch: limits of a container.
    """
    alike: dict[tuple[str, int], list[Host]] = {}
    for worker in inventory.workers:
        facts = inventory.facts[worker.name]
        name = f"c{int(facts['cores'])}-m{_memory(int(facts['memory']) // MIB)}"
        alike.setdefault((name, slots_of(worker, inventory, slots, launch)), []).append(worker)
    names = [name for name, _ in alike]
    return tuple(
        NodeTypeSettings(
            name if names.count(name) == 1 else f"{name}-s{held}",
            nodes=tuple(host.name for host in hosts),
            slots=held,
            capacity={"cpu": _cores(inventory, hosts), "memory": _least_memory(inventory, hosts)},
        )
        for (name, held), hosts in alike.items()
    )


def slots_of(worker: Host, inventory: Inventory, slots: int, launch: LaunchSettings) -> int:
    """Return the slots of a worker: its own, else `cluster.slots` or what its memory has room for."""
    if worker.slots is not None:
        return worker.slots
    memory = int(inventory.facts[worker.name]["memory"]) // MIB
    return max(min(slots, int(memory / (ENOUGH_MEMORY * launch.memory_mb))), 1)


def described(types: Sequence[NodeTypeSettings]) -> str:
    """Return types in words: how many nodes and slots each has."""
    counted = [(one.name, len(one.nodes), one.slots) for one in types]
    return ", ".join(
        f"{amount(nodes, 'node')} of type {name} with {slots} slots" for name, nodes, slots in counted
    )


def as_override(types: Sequence[NodeTypeSettings]) -> str:
    """Return the word by which a command takes the types, without what applications would have to request."""
    parts = [f"{{name: {one.name}, nodes: [{', '.join(one.nodes)}], slots: {one.slots}}}" for one in types]
    return f"cluster.types=[{', '.join(parts)}]"


def as_rows(types: Sequence[NodeTypeSettings]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of `nodes.csv` of a problem folder."""
    rows = [
        [node, one.name, str(one.slots), str(one.capacity["cpu"]), str(one.capacity["memory"])]
        for one in types
        for node in one.nodes
    ]
    return ["node", "type", "slots", "cpu", "memory"], rows


def refuse_unequal(inventory: Inventory, types: Sequence[NodeTypeSettings], slots: int) -> None:
    """Refuse types that are not of the hosts, and hosts of unequal slots without types.

    Args:
        inventory: the hosts.
        types: `cluster.types`.
        slots: `cluster.slots`.

    Raises:
        InputError: names the node, and what says how many slots it has.
    """
    own = {worker.name: worker.slots for worker in inventory.workers}
    given = {node: one.slots or slots for one in types for node in one.names}
    for node, held in own.items():
        if types and node not in given:
            raise InputError(
                f"cluster.types: {node} is missing; `metis cluster types` prints those of the hosts"
            )
        placed = given.get(node, slots)
        if held is not None and held != placed:
            raise InputError(
                f"{node}: has slots: {held} in the inventory, not {placed}; nodes that differ "
                "need cluster.types, which `metis cluster types` prints"
            )
    unknown = [node for node in given if node not in own]
    if unknown:
        raise InputError(f"cluster.types: {unknown[0]} is no worker of this cluster; it has {', '.join(own)}")


def _memory(mib: int) -> str:
    return f"{round(mib / 1024)}Gi" if mib >= SMALL else f"{max(round(mib / 256), 1) * 256}Mi"


def _cores(inventory: Inventory, hosts: Sequence[Host]) -> int:
    return min(int(inventory.facts[host.name]["cores"]) for host in hosts)


def _least_memory(inventory: Inventory, hosts: Sequence[Host]) -> str:
    return f"{min(int(inventory.facts[host.name]['memory']) // MIB for host in hosts)}Mi"
