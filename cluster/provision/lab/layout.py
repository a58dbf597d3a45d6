"""The containers of a lab as a Compose document."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

from cluster.provision.inventory import Role

HERE = Path(__file__).resolve().parent
PARTS = HERE / "node.yml"
REGISTRY = "registry"
REGISTRY_PORT = 5000
SSH_PORT = 22
FIRST_ADDRESS, FIRST_WORKER = 2, 10  # the first address of a network is the bridge's own
STATE_LABEL = "metis.lab.state"
SUBNET_LABEL = "metis.lab.subnet"


def project(name: str) -> str:
    """Compose's project of the lab called `name`: all that belongs to it carries this as a label."""
    return f"metis-lab-{name}"


def node_names(workers: int) -> list[str]:
    """The nodes, in the order of the inventory: the manager, the workers, the client."""
    return ["manager", *(f"worker-{number}" for number in range(1, workers + 1)), "client-1"]


def role(node: str) -> Role:
    """What a node is for, from its name."""
    return cast(Role, node.partition("-")[0])


def cpusets(workers: int, cores: int) -> dict[str, str]:
    """The core that each worker and the client is kept to.

    The client has the last core for itself, else the load it sends would be one more neighbour; the
    workers share the others in turn. The manager sends and serves nothing and goes where there is room.

    Args:
        workers: how many.
        cores: of the machine.
    """
    shared = max(cores - 1, 1)
    pinned = {f"worker-{number}": str((number - 1) % shared) for number in range(1, workers + 1)}
    return pinned | {"client-1": str(cores - 1)}


def addresses(workers: int, subnet: str) -> dict[str, str]:
    """A fixed address for each container, so that a Swarm finds its manager after the machine was restarted.

    Args:
        workers: how many; another number changes none of the addresses.
        subnet: of the lab's network, such as `172.18.0.0/16`.
    """
    network = ip_network(subnet)
    fixed = {"manager": network[FIRST_ADDRESS], "client-1": network[FIRST_ADDRESS + 1]}
    fixed[REGISTRY] = network[FIRST_ADDRESS + 2]
    fixed |= {f"worker-{number}": network[FIRST_WORKER + number] for number in range(1, workers + 1)}
    return {name: str(address) for name, address in fixed.items()}


def document(
    workers: int,
    cores: int,
    *,
    parts: str = str(PARTS),
    profiles: Sequence[str] = (),
    ports: Mapping[str, int] | None = None,
    subnet: str | None = None,
    environment: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The Compose document of a lab; both `docker-compose` 1.29 and `docker compose` take it.

    Volumes are named, not anonymous, so that they carry the project's label and are found again even when
    their container is gone.

    Args:
        workers: how many.
        cores: of the machine.
        parts: path of node.yml, as the document names it.
        profiles: Compose profiles of the services.
        ports: port of this machine's loopback by service; one that is free where none is given.
        subnet: of its network, with a fixed address for each; Docker's choice where none is given.
        environment: variables of the nodes, beside those of node.yml.
        labels: of every container, network and volume.
    """
    pinned = cpusets(workers, cores)
    fixed = addresses(workers, subnet) if subnet else {}
    services: dict[str, Any] = {}
    for name in [*node_names(workers), REGISTRY]:
        kind, inner = (REGISTRY, REGISTRY_PORT) if name == REGISTRY else ("node", SSH_PORT)
        service: dict[str, Any] = {"extends": {"file": parts, "service": kind}, "hostname": name}
        if profiles:
            service["profiles"] = list(profiles)
        if name in pinned:
            service["cpuset"] = pinned[name]
        if environment and name != REGISTRY:
            service["environment"] = dict(environment)
        if labels:
            service["labels"] = dict(labels)
        outer = str(ports[name]) if ports else ""
        service["ports"] = [f"127.0.0.1:{outer}:{inner}"]
        kept = "/var/lib/registry" if name == REGISTRY else "/var/lib/docker"
        service["volumes"] = [f"{name}:{kept}"]
        service["networks"] = {"lab": {"ipv4_address": fixed[name]}} if fixed else ["lab"]
        services[name] = service
    marked = {"labels": dict(labels)} if labels else {}
    volumes = {name: dict(marked) for name in services}
    network: dict[str, Any] = dict(marked)
    if subnet:
        network = {
            "labels": {**(labels or {}), SUBNET_LABEL: subnet},
            "ipam": {"config": [{"subnet": subnet}]},
        }
    return {"services": services, "networks": {"lab": network}, "volumes": volumes}
