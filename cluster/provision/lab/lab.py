"""A lab, a cluster's hosts on one machine: start it, inspect it, and remove every trace of it."""

import random
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cluster.provision.inventory import Host, Inventory
from cluster.provision.lab.compose import compose_up, write_document
from cluster.provision.lab.image import LAB_BUILD, local_engine, node_image
from cluster.provision.lab.keys import KEY, login_key
from cluster.provision.lab.layout import (
    REGISTRY,
    REGISTRY_PORT,
    STATE_LABEL,
    document,
    node_names,
    project,
    role,
)
from cluster.provision.lab.lock import LOCK, locked
from cluster.provision.lab.nodes import (
    configured_port,
    containers,
    image_in_use,
    inner_address,
    install_key,
    lab_subnet,
    remove_all,
    remove_idle,
    swarm_states,
    wait_ready,
)
from cluster.provision.trust import trust
from cluster.settings import BuildSettings, ConnectSettings
from metis.errors import InputError, SurroundingsError

COMPOSE_FILE, INVENTORY, KNOWN_HOSTS = "compose.json", "inventory.json", "known_hosts"
LOOPBACK = "127.0.0.1"
# below what Linux hands to outgoing connections, so that a node that starts again finds its port free
PORTS = range(20_000, 32_000)
# what was free when we looked may be taken a moment later
TAKEN = ("port is already allocated", "address already in use", "pool overlaps")
STARTS = 3


def no_report(line: str) -> None:
    """Report nothing."""


def up(
    state: Path,
    name: str,
    workers: int = 2,
    connect: ConnectSettings | None = None,
    images: BuildSettings = LAB_BUILD,
    report: Callable[[str], None] = no_report,
) -> Inventory:
    """Start the lab called `name`, or what of it does not run; every host then takes SSH and has an engine.

    Host keys are read inside the containers, not trusted at first sight. Joining the Swarm is
    `cluster.swarm.membership.prepare`'s, as for any hosts.

    Args:
        state: folder for its key, its known hosts and its inventory, `inventory.json`.
        name: of the cluster; labs of different names run side by side.
        workers: how many.
        connect: how long a command may take.
        images: what the node's image is built on.
        report: called with a line before each thing that takes a while, where not all of it runs.

    Raises:
        InputError: a lab of that name runs from another folder, or there is no worker.
        SurroundingsError: no engine, no base image, or a node that does not come up; says which.
    """
    connect = connect or ConnectSettings()
    if workers < 1:
        raise InputError(f"cluster.workers {workers}: a lab needs at least 1")
    state = state.absolute()
    engine = local_engine()
    with locked(state, connect.command_timeout) as lock:
        _refuse_foreign(engine, name, state)
        there = containers(engine, name).values()
        say = no_report if len(there) > workers and all(one.status == "running" for one in there) else report
        say(f"lab {name}: looking for the image of its nodes, which is built where it is missing")
        image = image_in_use(engine, name) or node_image(engine, images)
        key, public = login_key(state)

        def start(ports: Mapping[str, int]) -> None:
            made = document(
                workers,
                int(engine.info()["NCPU"]),
                ports=ports,
                subnet=lab_subnet(engine, name),
                environment={"METIS_LAB_KEY": public},
                labels={STATE_LABEL: str(state)},
            )
            for service in made["services"].values():
                service["image"] = image
            write_document(state / COMPOSE_FILE, made)
            compose_up(project(name), state / COMPOSE_FILE, lock, connect.command_timeout)

        say(f"lab {name}: starting {workers} workers, a manager, a client and a registry")
        ports = _start_on_free_ports(engine, name, [*node_names(workers), REGISTRY], start)
        found = containers(engine, name)
        say(f"lab {name}: waiting for their SSH servers and engines")
        host_keys = wait_ready(found, ports)
        install_key(found, public)
        return _write_inventory(name, found, ports, host_keys, state, key)


def down(state: Path, name: str, connect: ConnectSettings | None = None) -> list[str]:
    """Remove the lab called `name`: containers, networks, volumes, keys and what it wrote into `state`.

    Needs nothing but the name: what belongs to a lab carries its label, so a start that was killed midway,
    or whose folder is lost, is cleaned up as well. Waits for a start that still goes on.

    Returns:
        What was removed, one thing each; empty when there was nothing.

    Raises:
        SurroundingsError: no engine, or something could not be removed; says what.
    """
    connect = connect or ConnectSettings()
    state = state.absolute()
    engine = local_engine()
    with locked(state, connect.command_timeout):
        removed = remove_all(engine, name)
        for path in (state / file for file in (INVENTORY, KNOWN_HOSTS, COMPOSE_FILE, KEY)):
            if path.exists():
                path.unlink()
                removed.append(f"file {path}")
        (state / LOCK).unlink()
        if not any(state.iterdir()):
            state.rmdir()
    return removed


def status(name: str) -> list[dict[str, Any]]:
    """A row for each container of the lab, in the order of the inventory; none when it is down.

    A row has `node`, `role`, `state` (running, exited), `swarm` (what the manager says: Ready, Down; empty
    where it knows none), `port` of this machine's loopback, `inner` address, `core` it is kept to.
    """
    engine = local_engine()
    found = containers(engine, name)
    known = swarm_states(found.get("manager"))
    # in the order of a document of that many workers; the registry last
    order = [*node_names(len(found)), REGISTRY]
    return [
        {
            "node": node,
            "role": role(node),
            "state": found[node].status,
            "swarm": known.get(node, ""),
            "port": configured_port(found[node]),
            "inner": inner_address(found[node], name),
            "core": found[node].attrs["HostConfig"]["CpusetCpus"],
        }
        for node in sorted(found, key=order.index)
    ]


def _refuse_foreign(engine: Any, name: str, state: Path) -> None:
    for container in containers(engine, name).values():
        other = container.labels.get(STATE_LABEL, "")
        if other != str(state):
            raise InputError(
                f"cluster.name {name!r}: a lab of that name runs already, started from "
                f"{other or 'docker-compose.yml'}; take another name, or `metis lab down cluster.name={name}`"
            )


def _start_on_free_ports(
    engine: Any, name: str, services: Sequence[str], start: Callable[[Mapping[str, int]], None]
) -> dict[str, int]:
    """Start with a port for each service: the one it has, else one that is free now; returns them."""
    for left in reversed(range(STARTS)):
        there = containers(engine, name).items()
        kept = {service: port for service, container in there if (port := configured_port(container))}
        ports = {service: kept.get(service) or _free_port(kept.values()) for service in services}
        try:
            start(ports)
            break
        except SurroundingsError as error:
            if not left or not any(words in str(error).lower() for words in TAKEN):
                raise
            remove_idle(engine, name)  # its port went to another process; the volume, which matters, stays
    return ports


def _free_port(taken: Iterable[int]) -> int:
    """A port of the loopback that nothing listens on, drawn at random so that labs hardly ever collide."""
    for port in random.sample(PORTS, k=len(PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in taken:
            return port
    raise SurroundingsError(f"no port of {PORTS.start} to {PORTS.stop - 1} is free on {LOOPBACK}")


def _write_inventory(
    name: str,
    found: Mapping[str, Any],
    ports: Mapping[str, int],
    host_keys: Mapping[str, str],
    state: Path,
    key: Path,
) -> Inventory:
    """Write down where the nodes are and which host keys they have."""
    known_hosts = state / KNOWN_HOSTS
    known_hosts.unlink(missing_ok=True)
    hosts = []
    for node, line in host_keys.items():
        inner = inner_address(found[node], name)
        host = Host(node, role(node), LOOPBACK, ports[node], "root", str(key), inner)
        trust(known_hosts, host, [line])
        hosts.append(host)
    inventory = Inventory(
        kind="lab",
        name=name,
        hosts=tuple(hosts),
        known_hosts=str(known_hosts),
        registry=f"{REGISTRY}:{REGISTRY_PORT}",
        push=f"{LOOPBACK}:{ports[REGISTRY]}",
    )
    inventory.save(state / INVENTORY)
    return inventory
