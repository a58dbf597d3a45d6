"""Hosts taken out of a Swarm: services of this cluster are removed, nodes that it joined leave."""

from collections.abc import Mapping
from typing import Any

from tenacity import Retrying, stop_after_delay, wait_fixed

from cluster.backend import Report
from cluster.provision.engine import engine_errors
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Host
from cluster.swarm.membership import (
    JOINED,
    LABEL,
    ROLE,
    membership,
    no_report,
    remove_node,
    state,
)
from cluster.waiting import wait_until
from metis.errors import MetisError, SurroundingsError

PAUSE = 0.5
SERVICES_GONE_WITHIN = 30.0
DOWN_WITHIN = 40.0


def leave(fleet: Fleet, report: Report = no_report) -> None:
    """Remove this cluster's services and networks, and take its hosts out of the Swarm.

    Hosts of a lab or of EC2 all leave. Of `hosts`, those leave that we joined: a Swarm that was there
    before, and its nodes, stay as they were, without our labels.

    Args:
        fleet: the hosts.
        report: called with a line for each thing that was changed, or could not be.

    Raises:
        SurroundingsError: the manager does not respond.
    """
    manager = fleet.inventory.manager
    nodes = state(fleet)
    if nodes:
        _remove_services(fleet, report)
    found = _members(fleet, report)
    staying = {node_id for node_id in found if _was_there_before(fleet, nodes.get(node_id))}
    strangers = {node_id for node_id in nodes if node_id not in found and not _marked(fleet, nodes[node_id])}
    leaving = {node_id: host for node_id, host in found.items() if node_id not in staying and host != manager}
    _leave_each(fleet, list(leaving.values()), report)
    if manager not in found.values():
        return
    if not staying and not strangers:
        _leave_each(fleet, [manager], report)
        return
    kept = {*staying, *strangers, *(node_id for node_id, host in found.items() if host == manager)}
    _forget(fleet, [node_id for node_id in nodes if node_id not in kept], report)
    for node_id in kept - strangers:
        _unlabel(fleet, node_id)
    report(f"{manager.name}: the Swarm was there before, or has nodes of others; it stays")


def _members(fleet: Fleet, report: Report) -> dict[str, Host]:
    """The hosts that are in a Swarm, by node id; one that does not respond is reported and left out."""
    outcomes = fleet.outcomes(fleet.inventory.hosts, lambda host: membership(fleet, host))
    for error in outcomes.failed.values():
        if not isinstance(error, MetisError):
            raise error
        report(f"{error}; left as it is")
    known = outcomes.succeeded
    return {
        known[host.name]["NodeID"]: host
        for host in fleet.inventory.hosts
        if host.name in known and known[host.name]["LocalNodeState"] != "inactive"
    }


def _was_there_before(fleet: Fleet, node: Mapping[str, Any] | None) -> bool:
    """Whether a host was a node before we came; one that our manager does not list is another's."""
    if fleet.inventory.kind != "hosts":
        return False  # machines of a lab or of EC2 are ours altogether
    return node is None or JOINED not in (node["Spec"].get("Labels") or {})


def _marked(fleet: Fleet, node: Mapping[str, Any]) -> bool:
    """Whether a node that belongs to no known host was one of this cluster."""
    labels = node["Spec"].get("Labels") or {}
    return labels.get(LABEL) == fleet.inventory.name and JOINED in labels


def _remove_services(fleet: Fleet, report: Report) -> None:
    manager = fleet.inventory.manager
    mine = {"label": f"{LABEL}={fleet.inventory.name}"}
    with engine_errors(manager, "removing the services of this cluster"):
        engine = fleet.engine(manager)
        services = engine.services.list(filters=mine)
        for service in services:
            service.remove()
        if services:
            report(f"{manager.name}: {len(services)} services removed")
        for network in engine.networks.list(filters=mine):
            # it can be removed once no task is in it any more
            patiently = Retrying(
                stop=stop_after_delay(SERVICES_GONE_WITHIN), wait=wait_fixed(PAUSE), reraise=True
            )
            patiently(network.remove)
            report(f"{manager.name}: network {network.name} removed")


def _leave_each(fleet: Fleet, hosts: list[Host], report: Report) -> None:
    def leave_one(host: Host) -> None:
        with engine_errors(host, "leaving the Swarm"):
            fleet.engine(host).swarm.leave(force=True)
        report(f"{host.name}: left the Swarm")

    fleet.each(hosts, leave_one)


def _forget(fleet: Fleet, node_ids: list[str], report: Report) -> None:
    """Take nodes that left off the list of a manager that stays."""
    for node_id in node_ids:

        def down(node_id: str = node_id) -> bool:
            node = state(fleet).get(node_id)
            return node is None or node["Status"]["State"] == "down"

        try:
            wait_until(down, DOWN_WITHIN, PAUSE, f"node {node_id}: is not Down yet")
        except SurroundingsError as error:
            report(f"{error}; left on the manager's list")
            continue
        if node_id in state(fleet):
            remove_node(fleet, node_id)


def _unlabel(fleet: Fleet, node_id: str) -> None:
    manager = fleet.inventory.manager
    with engine_errors(manager, "taking our labels off its nodes"):
        node = fleet.engine(manager).nodes.get(node_id)
        kept = {k: v for k, v in (node.attrs["Spec"].get("Labels") or {}).items() if k not in (LABEL, ROLE)}
        node.update({**node.attrs["Spec"], "Labels": kept})
