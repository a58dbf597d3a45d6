"""The end of a Swarm, or of our part in one: what we started is stopped, what we joined leaves."""

import time
from collections.abc import Mapping
from typing import Any

from cluster.provision.engine import told
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Host
from cluster.swarm.membership import JOINED, LABEL, ROLE, Tell, membership, nobody, remove_node, state
from metis.errors import MetisError

SERVICES_GONE_WITHIN = 30.0
DOWN_WITHIN = 40.0


def leave(fleet: Fleet, tell: Tell = nobody) -> None:
    """Remove this cluster's services and networks, and take its hosts out of the Swarm.

    Hosts of a lab or of EC2 all leave. Of `hosts`, those leave that we joined: a Swarm that was there
    before, and its nodes, stay as they were, without our labels.

    Args:
        fleet: the hosts.
        tell: called with a line for each thing that was changed, or could not be.

    Raises:
        SurroundingsError: the manager does not answer.
    """
    manager = fleet.inventory.manager
    nodes = state(fleet)
    if nodes:
        _remove_services(fleet, tell)
    found = _members(fleet, tell)
    staying = {node_id for node_id in found if _was_there_before(fleet, nodes.get(node_id))}
    strangers = {node_id for node_id in nodes if node_id not in found and not _marked(fleet, nodes[node_id])}
    leaving = {node_id: host for node_id, host in found.items() if node_id not in staying and host != manager}
    _leave_each(fleet, list(leaving.values()), tell)
    if manager not in found.values():
        return
    if not staying and not strangers:
        _leave_each(fleet, [manager], tell)
        return
    kept = {*staying, *strangers, *(node_id for node_id, host in found.items() if host == manager)}
    _forget(fleet, [node_id for node_id in nodes if node_id not in kept], tell)
    for node_id in kept - strangers:
        _unlabel(fleet, node_id)
    tell(f"{manager.name}: the Swarm was there before, or has nodes of others; it stays")


def _members(fleet: Fleet, tell: Tell) -> dict[str, Host]:
    """The hosts that are in a Swarm, by node id; one that does not answer is told of and left out."""
    found: dict[str, Host] = {}
    for host in fleet.inventory.hosts:
        try:
            known = membership(fleet, host)
        except MetisError as error:
            tell(f"{error}; left as it is")
            continue
        if known["LocalNodeState"] != "inactive":
            found[known["NodeID"]] = host
    return found


def _was_there_before(fleet: Fleet, node: Mapping[str, Any] | None) -> bool:
    """Whether a host was a node before we came; one that our manager does not list is another's."""
    if fleet.inventory.kind != "hosts":
        return False  # machines of a lab or of EC2 are ours altogether
    return node is None or JOINED not in (node["Spec"].get("Labels") or {})


def _marked(fleet: Fleet, node: Mapping[str, Any]) -> bool:
    """Whether a node that no host answers for was one of this cluster."""
    labels = node["Spec"].get("Labels") or {}
    return labels.get(LABEL) == fleet.inventory.name and JOINED in labels


def _remove_services(fleet: Fleet, tell: Tell) -> None:
    manager = fleet.inventory.manager
    mine = {"label": f"{LABEL}={fleet.inventory.name}"}
    with told(manager, "removing the services of this cluster"):
        engine = fleet.engine(manager)
        services = engine.services.list(filters=mine)
        for service in services:
            service.remove()
        if services:
            tell(f"{manager.name}: {len(services)} services removed")
        deadline = time.monotonic() + SERVICES_GONE_WITHIN
        # a network can be removed once no task is in it any more
        for network in engine.networks.list(filters=mine):
            while True:
                try:
                    network.remove()
                    break
                except Exception:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.5)
            tell(f"{manager.name}: network {network.name} removed")


def _leave_each(fleet: Fleet, hosts: list[Host], tell: Tell) -> None:
    def leave_one(host: Host) -> None:
        with told(host, "leaving the Swarm"):
            fleet.engine(host).swarm.leave(force=True)
        tell(f"{host.name}: left the Swarm")

    fleet.each(hosts, leave_one)


def _forget(fleet: Fleet, node_ids: list[str], tell: Tell) -> None:
    """Take nodes that left off the list of a manager that stays."""
    deadline = time.monotonic() + DOWN_WITHIN
    for node_id in node_ids:
        while (node := state(fleet).get(node_id)) and node["Status"]["State"] != "down":
            if time.monotonic() > deadline:
                tell(f"node {node['Description']['Hostname']}: is not Down yet; left on the manager's list")
                break
            time.sleep(0.5)
        else:
            if node:
                remove_node(fleet, node_id)


def _unlabel(fleet: Fleet, node_id: str) -> None:
    manager = fleet.inventory.manager
    with told(manager, "taking our labels off its nodes"):
        node = fleet.engine(manager).nodes.get(node_id)
        kept = {k: v for k, v in (node.attrs["Spec"].get("Labels") or {}).items() if k not in (LABEL, ROLE)}
        node.update({**node.attrs["Spec"], "Labels": kept})
