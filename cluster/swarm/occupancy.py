"""What is on the nodes of a Swarm beside what this cluster started: tenants, held ports, drained nodes."""

import re
from collections.abc import Mapping
from typing import Any

from cluster.backend import Occupancy, Tenant
from cluster.provision.engine import engine_errors
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Host
from cluster.swarm.membership import state_of
from cluster.swarm.removal import hostname
from metis.errors import MetisError

MB = 1 << 20
WITHIN = 30.0  # seconds for a look at one host
PORTS = "-- ports"
# a line per container: name, service, cluster, job, memory, cores, published ports; then what listens
LOOK = """
docker ps -q | xargs -r docker inspect --format '{{.Name}}|\
{{index .Config.Labels "com.docker.swarm.service.name"}}|{{index .Config.Labels "metis.cluster"}}|\
{{.HostConfig.Memory}}|{{.HostConfig.NanoCpus}}|\
{{range .NetworkSettings.Ports}}{{range .}}{{.HostPort}} {{end}}{{end}}'
echo '-- ports'
ss -Hltnp
"""
LISTENING = re.compile(r"^LISTEN\s+\S+\s+\S+\s+\S*:(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]+)\",pid=(\d+))?")
ENGINES = ("docker-proxy", "dockerd")  # hold ports on behalf of containers and services


def look(fleet: Fleet) -> dict[str, Occupancy]:
    """See `Backend.occupancy`."""
    manager = fleet.inventory.manager
    with engine_errors(manager, "looking at what runs"):
        api = fleet.engine(manager).api
        nodes = {one["Description"]["Hostname"]: one for one in api.nodes()}
        services = [(one["Spec"], one.get("Endpoint") or {}) for one in api.services()]
    everywhere = {spec["Name"] for spec, _ in services if "Global" in spec.get("Mode", {})}
    ingress = {
        int(port["PublishedPort"]): str(spec["Name"])
        for spec, endpoint in services
        for port in endpoint.get("Ports") or []
        if port.get("PublishMode") == "ingress" and port.get("PublishedPort")
    }
    workers = fleet.inventory.workers
    states = {host.name: _state(nodes.get(hostname(fleet, host))) for host in workers}
    up = [host for host in workers if states[host.name] not in ("down", "not in the Swarm")]
    seen = fleet.outcomes(up, lambda host: fleet.run(host, LOOK, timeout=WITHIN, again=True, check=False))
    return {host.name: _of(fleet, host, states[host.name], seen, everywhere, ingress) for host in workers}


def _state(node: Mapping[str, Any] | None) -> str:
    return "not in the Swarm" if node is None else state_of(node)


def _of(
    fleet: Fleet, host: Host, state: str, seen: Any, everywhere: set[str], ingress: Mapping[int, str]
) -> Occupancy:
    if host.name in seen.failed:
        error = seen.failed[host.name]
        if not isinstance(error, MetisError):
            raise error
        return Occupancy(str(error))
    tenants, ports = read(seen.succeeded.get(host.name, ""), fleet.inventory.name, everywhere)
    return Occupancy(state, tenants, {**ports, **(ingress if state == "ready" else {})})


def read(printed: str, cluster: str, everywhere: set[str]) -> tuple[tuple[Tenant, ...], dict[int, str]]:
    """Tenants and held ports of what `LOOK` printed on a host.

    Args:
        printed: its output.
        cluster: name of the cluster whose own containers are no tenants.
        everywhere: names of the services that run on every node.
    """
    containers, _, listening = printed.partition(PORTS)
    tenants, ports = [], {}
    for line in containers.split("\n"):
        if line.count("|") != 5:
            continue
        # docker's template prints so what a container without labels lacks
        name, service, owner, memory, cores, published = line.replace("<no value>", "").split("|")
        called = service or name.removeprefix("/")
        ports.update({int(port): called for port in published.split()})
        if owner != cluster:
            limits = int(cores or 0) / 1e9, int(memory or 0) // MB
            tenants.append(Tenant(called, *limits, everywhere=called in everywhere))
    for line in listening.split("\n"):
        found = LISTENING.match(line)
        if found and int(found[1]) not in ports and found[2] not in ENGINES:
            ports[int(found[1])] = f"{found[2]} (process {found[3]})" if found[2] else "a process"
    return tuple(tenants), ports
