"""Hosts taken out of a Swarm: services of this cluster are removed, nodes that it joined leave."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, stop_after_delay, wait_fixed

from cluster.backend import Departure, Report
from cluster.provision.engine import engine_errors
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Host
from cluster.swarm.membership import (
    LABEL,
    joined_by,
    membership,
    no_report,
    remove_node,
    state,
)
from cluster.waiting import wait_until
from metis.errors import InputError, MetisError, SurroundingsError
from metis.wording import amount

PAUSE = 0.5
SERVICES_GONE_WITHIN = 30.0
DOWN_WITHIN = 40.0
OURS = "metis."  # what our labels begin with


@dataclass(frozen=True)
class Leaving:
    """What leaving a Swarm comes to, looked up and not yet done.

    Attributes:
        workers: hosts that leave, the manager aside.
        manager: whether the manager leaves as well, and so ends the Swarm.
        unlabelled: ids of the nodes that stay and lose our labels.
        forgotten: ids of the nodes that are taken off the manager's list.
        unreached: why a host is left as it is, a line each.
        services: names of this cluster's services.
        networks: and of its networks.
        others: tasks of others that run on hosts that leave, in words.
    """

    workers: tuple[Host, ...] = ()
    manager: bool = False
    unlabelled: tuple[str, ...] = ()
    forgotten: tuple[str, ...] = ()
    unreached: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def departure(fleet: Fleet) -> Departure:
    """See `Backend.departure`."""
    found, manager = _look(fleet), fleet.inventory.manager
    changes = [f"service {name} is removed" for name in found.services]
    changes += [f"network {name} is removed" for name in found.networks]
    changes += [f"{host.name} leaves the Swarm" for host in found.workers]
    changes += [f"{manager.name} leaves the Swarm, which ends with it"] if found.manager else []
    stays = [f"{line}; left as it is" for line in found.unreached]
    stays += [] if found.manager or not found.unlabelled else [_kept(manager)]
    return Departure(tuple(changes), tuple(stays), found.others)


def leave(fleet: Fleet, report: Report = no_report, *, force: bool = False) -> None:
    """Remove this cluster's services and networks, and take out of the Swarm the hosts that it joined.

    A Swarm that was there before stays as it was, with its nodes, but without our labels. So do nodes that
    a cluster of another name joined.

    Args:
        fleet: the hosts.
        report: called with a line for each thing that was changed, or could not be.
        force: take out hosts on which tasks of others run, too.

    Raises:
        InputError: tasks of others run on hosts that would leave; nothing was changed.
        SurroundingsError: the manager does not respond.
    """
    found, manager = _look(fleet), fleet.inventory.manager
    if found.others and not force:
        raise InputError(
            f"cluster {fleet.inventory.name}: {'; '.join(found.others)}: not of this cluster, and ended "
            "where its host leaves; nothing was changed (force=true insists)"
        )
    for line in found.unreached:
        report(f"{line}; left as it is")
    if found.services or found.networks:
        _remove_services(fleet, report)
    _leave_each(fleet, list(found.workers), report)
    if found.manager:
        _leave_each(fleet, [manager], report)
        return
    _forget(fleet, list(found.forgotten), report)
    for node_id in found.unlabelled:
        _unlabel(fleet, node_id)
    if found.unlabelled:
        report(_kept(manager))


def _kept(manager: Host) -> str:
    return f"{manager.name}: the Swarm was there before, or has nodes of others; it stays"


def _look(fleet: Fleet) -> Leaving:
    manager, nodes = fleet.inventory.manager, state(fleet)
    found, unreached = _members(fleet)
    ours = {node_id: host for node_id, host in found.items() if _is_ours(fleet, nodes.get(node_id))}
    staying = found.keys() - ours.keys()
    strangers = {i for i in nodes if i not in found and joined_by(nodes[i]) != fleet.inventory.name}
    leaving = {node_id: host for node_id, host in ours.items() if host != manager}
    ends = manager in ours.values() and not staying and not strangers
    # a manager that is in no Swarm, or is not reached, has no list to take nodes off
    listed = nodes if manager in found.values() and not ends else {}
    kept = {*staying, *strangers, *(i for i, host in found.items() if host == manager)}
    mine = [i for i in listed if (listed[i]["Spec"].get("Labels") or {}).get(LABEL) == fleet.inventory.name]
    services, networks = _own(fleet) if nodes else ((), ())
    gone = leaving if not ends else ours
    return Leaving(
        workers=tuple(leaving.values()),
        manager=ends,
        unlabelled=tuple(i for i in mine if i in kept),
        forgotten=tuple(i for i in listed if i not in kept),
        unreached=tuple(unreached),
        services=services,
        networks=networks,
        others=_tasks_of_others(fleet, {i: host for i, host in gone.items() if i in nodes}),
    )


def _members(fleet: Fleet) -> tuple[dict[str, Host], list[str]]:
    """The hosts that are in a Swarm, by node id, and why others do not respond."""
    outcomes = fleet.outcomes(fleet.inventory.hosts, lambda host: membership(fleet, host))
    unreached = []
    for error in outcomes.failed.values():
        if not isinstance(error, MetisError):
            raise error
        unreached.append(str(error))
    known = outcomes.succeeded
    found = {
        known[host.name]["NodeID"]: host
        for host in fleet.inventory.hosts
        if host.name in known and known[host.name]["LocalNodeState"] != "inactive"
    }
    return found, unreached


def _is_ours(fleet: Fleet, node: Mapping[str, Any] | None) -> bool:
    """Whether this cluster made a host a node, by the name on its label.

    Machines of a lab or of EC2 are ours altogether, unless a cluster of another name took them over; one
    of `hosts` that our manager does not list is in a Swarm of others.
    """
    name, owned = fleet.inventory.name, fleet.inventory.kind != "hosts"
    if node is None:
        return owned
    return joined_by(node) == name or (owned and joined_by(node) == "")


def _own(fleet: Fleet) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the services and of the networks of this cluster."""
    manager = fleet.inventory.manager
    mine = {"label": f"{LABEL}={fleet.inventory.name}"}
    with engine_errors(manager, "listing what runs"):
        engine = fleet.engine(manager)
        services = tuple(sorted(one.name for one in engine.services.list(filters=mine)))
        return services, tuple(sorted(one.name for one in engine.networks.list(filters=mine)))


def _tasks_of_others(fleet: Fleet, leaving: Mapping[str, Host]) -> tuple[str, ...]:
    """Tasks that run on these nodes for services without this cluster's name, a line for each service."""
    if not leaving:
        return ()
    manager = fleet.inventory.manager
    with engine_errors(manager, "listing what others run"):
        api = fleet.engine(manager).api
        services = {one["ID"]: one["Spec"] for one in api.services()}
        tasks = [one for one in api.tasks() if one["Status"]["State"] == "running"]
    where: dict[str, set[str]] = {}
    for task in tasks:
        spec = services.get(task["ServiceID"])
        if spec is None or (spec.get("Labels") or {}).get(LABEL) == fleet.inventory.name:
            continue
        if task.get("NodeID") in leaving:
            where.setdefault(spec["Name"], set()).add(leaving[task["NodeID"]].name)
    return tuple(
        f"service {name} runs on {', '.join(sorted(hosts))}" for name, hosts in sorted(where.items())
    )


def _remove_services(fleet: Fleet, report: Report) -> None:
    manager = fleet.inventory.manager
    mine = {"label": f"{LABEL}={fleet.inventory.name}"}
    with engine_errors(manager, "removing the services of this cluster"):
        engine = fleet.engine(manager)
        services = engine.services.list(filters=mine)
        for service in services:
            service.remove()
        if services:
            report(f"{manager.name}: {amount(len(services), 'service')} removed")
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
        labels = (node.attrs["Spec"].get("Labels") or {}).items()
        kept = {key: value for key, value in labels if not key.startswith(OURS)}
        node.update({**node.attrs["Spec"], "Labels": kept})
