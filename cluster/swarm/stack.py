"""Container specs as a stack file for `docker stack deploy`, written without a Swarm at hand."""

from collections.abc import Mapping
from typing import Any

import yaml

from cluster.spec import ClusterSpec, ContainerSpec, dns_name, refuse_alike

VERSION = "3.8"


def render(cluster: ClusterSpec) -> str:
    """The stack file: a service per container, bound to its node.

    A node's containers are published on its own ports in host mode: several replicas of one service could
    not be, and a routing mesh would send requests to other nodes.

    Raises:
        InputError: two services would have the same name, or one has none.
    """
    specs = (*cluster.support, *cluster.containers)
    names = [_name(one) for one in specs]
    refuse_alike("service", names)
    services = dict(zip(names, map(_service, specs), strict=True))
    document = {"version": VERSION, "services": services, "networks": {"metis": {"driver": "overlay"}}}
    return yaml.safe_dump(document, sort_keys=False, default_flow_style=False)


def _service(spec: ContainerSpec) -> dict[str, Any]:
    env = _environment(spec)
    publishes = [{"target": spec.ports[0], "published": spec.published, "protocol": "tcp", "mode": "host"}]
    return {
        "image": spec.image,
        **({"environment": env} if env else {}),
        **({"ports": publishes} if spec.published else {}),
        "networks": ["metis"],
        "deploy": _deploy(spec),
    }


def _environment(spec: ContainerSpec) -> Mapping[str, str]:
    linked = {link.variable: link.value(dns_name(link.app, link.node, link.slot)) for link in spec.links}
    slot = {} if spec.slot is None else {"METIS_SLOT": str(spec.slot)}
    return {**spec.identity(), **spec.env, **linked, **slot}


def _deploy(spec: ContainerSpec) -> dict[str, Any]:
    limits = {} if spec.cpus is None else {"cpus": f"{spec.cpus:g}"}
    limits |= {} if spec.memory_mb is None else {"memory": f"{spec.memory_mb}M"}
    bound = {"placement": {"constraints": [f"node.hostname == {spec.node.hostname}"]}} if spec.node else {}
    return {
        "mode": "replicated",
        "replicas": 1,
        "endpoint_mode": "dnsrr",
        **bound,
        **({"resources": {"limits": limits}} if limits else {}),
        "restart_policy": {"condition": "any"},
    }


def _name(spec: ContainerSpec) -> str:
    """Name of its service; the one service for the whole cluster has no node in it."""
    return dns_name(spec.app, spec.node.name if spec.node and not spec.shared else None, spec.slot)
