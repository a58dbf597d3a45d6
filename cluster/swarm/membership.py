"""Hosts made into one Swarm: engines installed where missing, nodes joined and labelled.

Done a second time it changes nothing.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from cluster.backend import HostState, Report
from cluster.provision.engine import engine_errors
from cluster.provision.hosts import Fleet, without
from cluster.provision.inventory import Host, Inventory
from cluster.waiting import wait_until
from metis.errors import InputError, SurroundingsError

LABEL = "metis.cluster"
ROLE = "metis.role"
# on nodes that a cluster joined, with its name: what was a node of a Swarm before stays one afterwards
JOINED = "metis.joined"
JOINED_BEFORE = "true"  # its value as earlier versions wrote it
AVAILABILITY = {"active": "ready", "pause": "paused", "drain": "drained"}  # of a node that is up
UNDRAIN = "docker node update --availability active"
READY_WITHIN = 60.0
# a node that went away is Down after some ten seconds
DOWN_WITHIN = 40.0
EACH_LOOK = 0.5

FACTS = """
echo "hostname=$(uname -n)"
echo "cores=$(nproc)"
echo "memory=$(($(sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) * 1024))"
echo "engine=$(docker version -f '{{.Server.Version}}' 2>/dev/null)"
echo "client=$(command -v docker)"
echo "system=$(. /etc/os-release && echo "$ID $ID_LIKE")"
echo "addresses=$(hostname -I 2>/dev/null ||
  ip -o address 2>/dev/null | sed 's/.*inet6* \\([^/ ]*\\).*/\\1/' | tr '\\n' ' ')"
"""
INSTALL = """
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update -q
apt-get -o DPkg::Lock::Timeout=300 install -q -y --no-install-recommends docker.io iptables ca-certificates
"""
START = """
if [ -d /run/systemd/system ]; then systemctl enable --now docker || exit 1
elif ! service docker start; then  # a container has not all that Debian's script asks for
  setsid dockerd </dev/null >>/var/log/docker.log 2>&1 &
fi
for _ in $(seq 60); do docker version >/dev/null 2>&1 && exit 0; sleep 0.5; done
echo "dockerd was started but does not respond" >&2; exit 1
"""


def no_report(line: str) -> None:
    """Report nothing."""


def prepare(fleet: Fleet, report: Report = no_report) -> Inventory:
    """Make the hosts one Swarm: the manager manages, all others are workers of it, all are labelled.

    Args:
        fleet: the hosts.
        report: called with a line for each thing that was changed; never, where all was as it should be.

    Returns:
        The inventory with the facts of each host: hostname, cores, memory (bytes), engine (version).

    Raises:
        InputError: two hosts are the same machine or have the same hostname; a host belongs to another
            Swarm; the Swarm belongs to a cluster of another name; a system on which we cannot install an
            engine.
        SurroundingsError: a host does not respond, or a step failed there.
    """
    hosts = fleet.inventory.hosts
    facts = fleet.each(hosts, lambda host: _facts(fleet, host))
    _refuse_namesakes(hosts, facts)
    lacking = [host for host in hosts if not facts[host.name]["engine"]]
    facts |= fleet.each(lacking, lambda host: _with_engine(fleet, host, facts[host.name], report))
    _manage(fleet, facts[fleet.inventory.manager.name], report)
    _refuse_other_cluster(fleet)
    _join_all(fleet, facts, report)
    _settle(fleet, facts, report)
    kept = ("hostname", "cores", "memory", "engine")
    known = {host.name: {name: facts[host.name][name] for name in kept} for host in hosts}
    return replace(fleet.inventory, facts=known)


def state(fleet: Fleet) -> dict[str, Mapping[str, Any]]:
    """The nodes of the Swarm as the manager sees them, by node id; empty where it manages none.

    Raises:
        SurroundingsError: the manager does not respond.
    """
    manager = fleet.inventory.manager
    with engine_errors(manager, "listing the nodes"):
        if not _membership(fleet, manager)["ControlAvailable"]:
            return {}
        return {node.id: node.attrs for node in fleet.engine(manager).nodes.list()}


def host_states(fleet: Fleet) -> dict[str, HostState]:
    """How each host takes part in the Swarm, by name; one that does not respond is no error."""

    def look(host: Host) -> tuple[str, HostState]:
        try:
            node = str(membership(fleet, host)["NodeID"])
            with engine_errors(host, "asking for its version"):
                return node, HostState("not in the Swarm", fleet.engine(host).version()["Version"])
        except (SurroundingsError, InputError) as error:
            return "", HostState("not reached", why=str(error))

    seen = fleet.each(fleet.inventory.hosts, look)
    silent = bool(seen[fleet.inventory.manager.name][1].why)
    nodes = {} if silent else state(fleet)

    def known(node: str, found: HostState) -> HostState:
        if node in nodes:
            return replace(found, state=state_of(nodes[node]))
        if node and silent:  # its own engine knows that it is in a Swarm, and nothing of its state there
            return replace(found, state="in a Swarm", why="its manager is not reached")
        return found

    return {name: known(node, found) for name, (node, found) in seen.items()}


def state_of(node: Mapping[str, Any]) -> str:
    """The state of a node in a word: `ready` where it takes new containers, `drained`, `paused`, `down`."""
    status = str(node["Status"]["State"])
    if status != "ready":
        return status
    availability = str(node["Spec"].get("Availability", "active"))
    return AVAILABILITY.get(availability, availability)


def node_state(fleet: Fleet, hostname: str) -> str:
    """The state of the node with this hostname, see `state_of`; `ready` where the manager is silent."""
    try:
        nodes = state(fleet)
    except SurroundingsError:
        return "ready"
    found = [state_of(one) for one in nodes.values() if one["Description"]["Hostname"] == hostname]
    return found[-1] if found else "not in the Swarm"


def joined_by(node: Mapping[str, Any]) -> str:
    """Name of the cluster that joined a node; empty where it was one before any did."""
    labels = node["Spec"].get("Labels") or {}
    joined = str(labels.get(JOINED, ""))
    return str(labels.get(LABEL, "")) if joined == JOINED_BEFORE else joined


def membership(fleet: Fleet, host: Host) -> Mapping[str, Any]:
    """The Swarm that a host's engine is in: `LocalNodeState`, `NodeID`, `ControlAvailable` and more."""
    with engine_errors(host, "asking for its Swarm"):
        return _membership(fleet, host)


def _membership(fleet: Fleet, host: Host) -> Mapping[str, Any]:
    known: Mapping[str, Any] = fleet.engine(host).info()["Swarm"]
    return known


def _facts(fleet: Fleet, host: Host) -> dict[str, Any]:
    lines = fleet.run(host, FACTS, timeout=60, again=True).splitlines()
    facts: dict[str, Any] = dict(line.split("=", 1) for line in lines)
    return facts | {"cores": int(facts["cores"]), "memory": int(facts["memory"])}


def _refuse_namesakes(hosts: tuple[Host, ...], facts: Mapping[str, Mapping[str, Any]]) -> None:
    seen: dict[str, str] = {}
    for host in hosts:
        hostname = facts[host.name]["hostname"]
        if hostname in seen:
            raise InputError(
                f"hosts {seen[hostname]} and {host.name} both have the hostname {hostname!r}: "
                "services are bound to nodes by it; give each machine its own (hostnamectl set-hostname)"
            )
        seen[hostname] = host.name


def _with_engine(fleet: Fleet, host: Host, facts: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """Install or start the host's engine; returns its facts anew."""
    if not facts["client"]:
        if not {"debian", "ubuntu"} & set(facts["system"].split()):
            raise InputError(
                f"{host.name}: no Docker engine, and on {facts['system'].strip() or 'this system'} we cannot "
                "install one (only on Debian and Ubuntu); install it there and start again"
            )
        fleet.run(host, INSTALL, again=True)
        report(f"{host.name}: Docker engine installed")
    fleet.run(host, START, timeout=120, again=True)
    report(f"{host.name}: Docker engine started")
    return _facts(fleet, host)


def _refuse_other_cluster(fleet: Fleet) -> None:
    """Refuse a Swarm whose nodes carry another cluster's name: each would remove what the other runs.

    Raises:
        InputError: names that cluster and the node.
    """
    ours = fleet.inventory.name
    for node in state(fleet).values():
        other = (node["Spec"].get("Labels") or {}).get(LABEL, ours)
        if other != ours:
            name = node["Description"]["Hostname"]
            raise InputError(
                f"cluster.name {ours!r}: node {name} of this Swarm belongs to the cluster {other!r}; use "
                f"cluster.name={other}, or end that one (metis cluster down yes cluster.name={other}; "
                f"where it is long gone, on the manager: docker node update --label-rm {LABEL} {name})"
            )


def _own_address(host: Host, facts: Mapping[str, Any], fleet: Fleet) -> str | None:
    """The address the host should be seen under, where it is one of its own; else the engine chooses."""
    database = "ahostsv6" if ":" in host.seen_as else "ahostsv4"
    looking = f"getent {database} {shlex.quote(host.seen_as)} | cut -d' ' -f1 | head -1"
    found = fleet.run(host, looking, check=False).strip()
    return found if found in facts["addresses"].split() else None


def _manage(fleet: Fleet, facts: Mapping[str, Any], report: Report) -> None:
    manager = fleet.inventory.manager
    known = membership(fleet, manager)
    if known["LocalNodeState"] == "active":
        if not known["ControlAvailable"]:
            raise InputError(
                f"{manager.name}: is a worker of another Swarm; choose its manager, or take it out there "
                "(docker swarm leave)"
            )
        return
    with engine_errors(manager, "starting a Swarm"):
        engine = fleet.engine(manager)
        if known["LocalNodeState"] != "inactive":  # pending, in error or locked: of no use
            engine.swarm.leave(force=True)
        engine.swarm.init(advertise_addr=_own_address(manager, facts, fleet))
    report(f"{manager.name}: Swarm started")
    _mark_joined(fleet, manager)


def _join_all(fleet: Fleet, facts: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    manager = fleet.inventory.manager
    others = [host for host in fleet.inventory.hosts if host != manager]
    known = membership(fleet, manager)
    nodes = state(fleet)
    where = next(one["Addr"] for one in known["RemoteManagers"] if one["NodeID"] == known["NodeID"])
    states = fleet.each(others, lambda host: membership(fleet, host))
    outside = [host for host in others if not _belongs(host, states[host.name], nodes, where)]
    if not outside:
        return
    with engine_errors(manager, "asking for the join token"):
        swarm = fleet.engine(manager).swarm
        swarm.reload()
        token = swarm.attrs["JoinTokens"]["Worker"]

    def join(host: Host) -> None:
        try:
            with engine_errors(host, f"joining the Swarm at {where}"):
                engine = fleet.engine(host)
                if states[host.name]["LocalNodeState"] != "inactive":
                    engine.swarm.leave(force=True)
                address = _own_address(host, facts[host.name], fleet)
                engine.swarm.join(remote_addrs=[where], join_token=token, advertise_addr=address)
        except SurroundingsError as error:
            raise SurroundingsError(without(str(error), token)) from None
        report(f"{host.name}: joined the Swarm")

    fleet.each(outside, join)
    for host in outside:
        _mark_joined(fleet, host)


def _belongs(host: Host, known: Mapping[str, Any], nodes: Mapping[str, Any], where: str) -> bool:
    """Whether a host is a node of this Swarm already.

    Raises:
        InputError: it is one of another Swarm, which is not ours to break.
    """
    if known["LocalNodeState"] == "inactive":
        return False
    if known["NodeID"] in nodes:
        return bool(known["LocalNodeState"] == "active")
    managers = [one["Addr"] for one in known.get("RemoteManagers") or []]
    if known["LocalNodeState"] == "locked" or (managers and where not in managers):
        raise InputError(
            f"{host.name}: is a node of another Swarm ({', '.join(managers) or 'locked'}); take it out there "
            "(docker swarm leave)"
        )
    return False  # of a Swarm that its manager, now ours, no longer knows


def _mark_joined(fleet: Fleet, host: Host) -> None:
    node_id = membership(fleet, host)["NodeID"]
    otherwise = f"{host.name}: joined, but the manager does not list it"
    _until(READY_WITHIN, otherwise, lambda: node_id in state(fleet))
    _label(fleet, host, node_id, {JOINED: fleet.inventory.name})


def _settle(fleet: Fleet, facts: Mapping[str, Mapping[str, Any]], report: Report) -> None:
    """Wait until all nodes are Ready, label them, and remove those of hosts that were made anew since."""
    hosts = fleet.inventory.hosts
    ids = {name: known["NodeID"] for name, known in fleet.each(hosts, lambda h: membership(fleet, h)).items()}
    for host in hosts:
        ready = partial(_ready, fleet, ids[host.name])
        _until(READY_WITHIN, f"{host.name}: its node does not get Ready", ready)
        _remove_namesakes(fleet, host, facts[host.name]["hostname"], set(ids.values()), report)
        wanted = {LABEL: fleet.inventory.name, ROLE: host.role}
        if _label(fleet, host, ids[host.name], wanted):
            report(f"{host.name}: node labelled")
    nodes = state(fleet)
    for host in hosts:
        found = state_of(nodes[ids[host.name]]) if ids[host.name] in nodes else "ready"
        if host.role == "worker" and found != "ready":
            name = facts[host.name]["hostname"]
            report(f"{host.name}: is {found}, so nothing is started there ({UNDRAIN} {name} opens it again)")


def _ready(fleet: Fleet, node_id: str) -> bool:
    node = state(fleet).get(node_id)
    return node is not None and node["Status"]["State"] == "ready"


def _remove_namesakes(fleet: Fleet, host: Host, hostname: str, ours: set[str], report: Report) -> None:
    """Remove nodes that are Down and have this host's name: what it was before it was made anew."""

    def namesakes() -> dict[str, str]:
        return {
            node_id: node["Status"]["State"]
            for node_id, node in state(fleet).items()
            if node["Description"]["Hostname"] == hostname and node_id not in ours
        }

    if not namesakes():
        return
    _until(
        DOWN_WITHIN,
        f"{host.name}: another node of the Swarm that is up has the hostname {hostname!r} too; rename one",
        lambda: all(status == "down" for status in namesakes().values()),
    )
    for node_id in namesakes():
        remove_node(fleet, node_id)
        report(f"{host.name}: former node of that name removed from the Swarm")


def remove_node(fleet: Fleet, node_id: str) -> None:
    """Take a node that is Down off the manager's list."""
    manager = fleet.inventory.manager
    with engine_errors(manager, f"removing node {node_id}"):
        fleet.engine(manager).api.remove_node(node_id, force=True)


def _label(fleet: Fleet, host: Host, node_id: str, wanted: Mapping[str, str]) -> bool:
    """Set labels of a node; returns whether any was missing."""
    from docker.errors import APIError

    manager = fleet.inventory.manager
    with engine_errors(manager, f"labelling node {host.name}"):
        for look in range(5):
            node = fleet.engine(manager).nodes.get(node_id)
            labels = node.attrs["Spec"].get("Labels") or {}
            if dict(labels) | dict(wanted) == labels:
                return False
            try:
                node.update({**node.attrs["Spec"], "Labels": {**labels, **wanted}})
                return True
            except APIError as error:  # it was changed meanwhile
                if "out of sequence" not in str(error) or look == 4:
                    raise
    return False


def _until(seconds: float, otherwise: str, true: Callable[[], bool]) -> None:
    wait_until(true, seconds, EACH_LOOK, f"{otherwise} ({seconds:.0f} s waited)")
