"""What is looked at before hosts are used: who else runs there, ports that are held, drained nodes."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from metis.errors import SurroundingsError

if TYPE_CHECKING:
    from cluster.backend import Occupancy
    from cluster.settings import LaunchSettings


def findings(
    occupied: "Mapping[str, Occupancy]",
    slots: int,
    launch: "LaunchSettings",
    own: Collection[str] = (),
) -> list[str]:
    """Return what stands in the way of full nodes, a line each; empty where nothing does.

    Args:
        occupied: by node, see `Backend.occupancy`.
        slots: containers of a node.
        launch: their limits, and their first port.
        own: names of this cluster's services whose ports need no word.
    """
    found = []
    for node, known in occupied.items():
        if known.state != "ready":
            found.append(f"{node}: {known.state}: nothing is started there")
            continue
        if known.counted:
            names = ", ".join(_described(one.name, one.cpus, one.memory_mb) for one in known.counted)
            taken = known.slots(launch.cpus, launch.memory_mb)
            found.append(f"{node}: others run {names}; that counts as {taken} of its {slots} slots")
        foreign = {port: holder for port, holder in known.ports.items() if holder not in own}
        found += [f"{node}: {line}" for line in _held(foreign, slots, launch.first_port)]
    return found


def refuse_held_ports(
    occupied: "Mapping[str, Occupancy]", nodes: Sequence[str], slots: int, first_port: int
) -> None:
    """Refuse to measure on nodes of which a port is held: each co-location that needs it would fail.

    Args:
        occupied: by node, see `Backend.occupancy`.
        nodes: those to be measured on.
        slots: containers of a node.
        first_port: published port of slot 0.

    Raises:
        SurroundingsError: names node, port and what holds it.
    """
    for node in nodes:
        held = _held(occupied[node].ports, slots, first_port) if node in occupied else []
        if held:
            raise SurroundingsError(f"{node}: {held[0]}; nothing was started")


def _held(held: Mapping[int, str], slots: int, first_port: int) -> list[str]:
    ports = range(first_port, first_port + slots)
    return [
        f"port {port}, of slot {port - first_port}, is held by {held[port]}; end that"
        f"{_undeploy(held[port])}, or choose other ports by launch.first_port"
        for port in ports
        if port in held
    ]


def _undeploy(holder: str) -> str:
    return " (`metis undeploy` for a deployment)" if holder.startswith("metis-") else ""


def _described(name: str, cpus: float, memory_mb: int) -> str:
    limits = [f"{cpus:g} cores"] if cpus else []
    limits += [f"{memory_mb} MB"] if memory_mb else []
    return f"{name} ({', '.join(limits) or 'no limits'})"
