"""The hosts of a live cluster: where their inventory comes from, and what they must have room for."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.provision.inventory import Host, Inventory, WrittenHost, WrittenInventory
from cluster.provision.ssh_config import configured, users_config
from cluster.settings import LaunchSettings
from flows.configuration.settings import Settings
from flows.live.hosts import Report, joined
from flows.live.node_types import ENOUGH_MEMORY, described, proposed_types, slots_of
from flows.live.state import INVENTORY, cluster_state
from metis.errors import InputError
from metis.settings import read_file

KNOWN_HOSTS, RECORD = "known_hosts", "ec2.json"
DEFAULT_WORKERS = 2
MB = 1 << 20


def known_inventory(settings: Settings) -> Inventory:
    """Return the hosts as they are known, without asking any of them.

    Raises:
        InputError: the cluster has no hosts, its inventory is wrong, or its machines were not started.
    """
    kind, state = settings.cluster.kind, cluster_state(settings)
    if kind == "local":
        raise InputError("cluster=local has no hosts; say cluster=lab, cluster=hosts or cluster=ec2")
    if kind == "hosts":
        return read_inventory(Path(str(settings.cluster.inventory)), settings.cluster.name, state)
    if not (state / INVENTORY).is_file():
        start = "metis lab up" if kind == "lab" else "metis run cluster=ec2 stages=[setup]"
        if (state / RECORD).is_file():
            raise InputError(
                f"cluster {settings.cluster.name}: its launch was not finished; `{start}` goes on, "
                "`metis cluster down yes cluster=ec2` removes what there is"
            )
        raise InputError(f"cluster {settings.cluster.name}: is not up; `{start}` starts it")
    return Inventory.load(state / INVENTORY)


def started(settings: Settings, report: Report) -> Inventory:
    """Return the hosts, those of a lab or of EC2 started where they do not run yet.

    Raises:
        InputError: what was asked for cannot be.
        SurroundingsError: it could not be started.
    """
    name, state = settings.cluster.name, cluster_state(settings)
    if settings.cluster.kind == "lab":
        from cluster.provision.lab import lab

        workers = settings.cluster.workers or DEFAULT_WORKERS
        return lab.up(state, name, workers, settings.connect, settings.images, report)
    if settings.cluster.kind == "ec2":
        from cluster.provision.ec2.instances import launch
        from cluster.provision.ec2.reachable import wait_reachable

        if settings.cluster.workers is None:
            raise InputError("cluster=ec2 needs cluster.workers=N, the nodes to launch")
        asked = settings.ec2
        inventory = launch(state, name, settings.cluster.workers, asked, report)
        report(f"waiting for {len(inventory.hosts)} instances to respond, {asked.wait:g} s at most")
        wait_reachable(inventory, asked.wait)
        return inventory
    return known_inventory(settings)


def prepared(settings: Settings, report: Report) -> Inventory:
    """Return the hosts, up and joined to one cluster; nothing changes where all is as it should be.

    Raises:
        InputError: what was asked for cannot be, or a worker has too little memory.
        SurroundingsError: a host could not be started, reached or joined.
    """
    inventory = joined(started(settings, report), settings, report)
    slots = settings.cluster.slots or 1
    refuse_too_small(inventory, slots, settings.launch, report)
    types = proposed_types(inventory, slots, settings.launch)
    if len(types) > 1:
        report(f"  hosts differ: {described(types)}; `metis cluster types` writes them for cluster.types")
    inventory.save(cluster_state(settings) / INVENTORY)
    return inventory


def read_inventory(path: Path, name: str, state: Path) -> Inventory:
    """Read the inventory that a person wrote.

    A YAML file with `hosts:`, and where they differ from none `registry`, `push`, `known_hosts` and
    `ssh_config`. Paths in it are relative to its folder. What `~/.ssh/config` says about a host counts where
    the file does not say it.

    Args:
        path: of the file.
        name: of the cluster.
        state: folder of the known hosts where the file names no other.

    Raises:
        InputError: it is missing, or something in it is wrong; names the file and what.
    """
    read = read_file(WrittenInventory, path)
    known_hosts = _beside(read.known_hosts, path) if read.known_hosts else state / KNOWN_HOSTS
    try:
        config = None if read.ssh_config == "none" else users_config(_beside_if(read.ssh_config, path))
        hosts = tuple(_host(host, path, config) for host in read.hosts)
        return Inventory("hosts", name, hosts, str(known_hosts), read.registry, read.push, config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def refuse_too_small(inventory: Inventory, slots: int, launch: LaunchSettings, report: Report) -> None:
    """Refuse nodes that cannot hold their containers at their limits; report those with too few cores.

    Too few cores only make containers slower, which a profile measures; too little memory ends them.

    Raises:
        InputError: a worker has too little memory, or more slots than `slots`; says how much, and what it
            takes.
    """
    for worker in inventory.workers:
        own = worker.slots or slots
        if own > slots:
            raise InputError(
                f"{worker.name}: has {own} slots in the inventory, more than cluster.slots {slots}, up to "
                "which co-locations are known: raise that"
            )
        facts: Mapping[str, Any] = inventory.facts[worker.name]
        memory = int(facts["memory"]) // MB
        if memory < ENOUGH_MEMORY * own * launch.memory_mb:
            of = f"cluster.slots {own}" if worker.slots is None else f"its {own}"
            room = slots_of(replace(worker, slots=None), inventory, slots, launch)
            raise InputError(
                f"{worker.name}: {memory} MB of memory are too little for {of} containers of "
                f"launch.memory_mb {launch.memory_mb}: lower one of them, or give it `slots: {room}` in the "
                "inventory"
            )
        if facts["cores"] < own * launch.cpus:
            report(
                f"  {worker.name}: {facts['cores']} cores for {own} containers of up to {launch.cpus:g}: "
                "full nodes measure that as well"
            )


def _host(given: WrittenHost, path: Path, config: str | None) -> Host:
    host = configured(given.name, given.address, given.role, given.user, given.port, config)
    return replace(host, key=_beside_if(given.key, path), inner=given.inner, slots=given.slots)


def _beside_if(given: str | None, path: Path) -> str | None:
    return str(_beside(given, path)) if given else None


def _beside(given: str, path: Path) -> Path:
    return (path.absolute().parent / Path(given).expanduser()).absolute()
