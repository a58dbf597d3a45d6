"""Swarm services: names, environment, labels and the order to the engine that runs one container spec."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from cluster.images.catalog import MEMCACHED
from cluster.spec import LONGEST_NAME, Container, ContainerSpec, Link, Purpose

NETWORK = "metis"
MB = 1 << 20
SECOND = 1_000_000_000  # the engine counts nanoseconds
GRACE: Mapping[Purpose, int] = {"measured": 2, "deployed": 10, "support": 5}  # seconds to end by itself
SUPPORT_NAMES = {MEMCACHED: "cache"}


def service_name(spec: ContainerSpec) -> str:
    """Name of the service of a container."""
    if spec.slot is None:
        return support_name(spec.app, None if spec.shared else spec.node_name)
    return slot_name(spec.session, spec.node_name, spec.slot)


def slot_name(session: str, node: str, slot: int) -> str:
    """Name of the service in a slot."""
    return _name(f"metis-{session}-{node}-{slot}")


def support_name(service: str, node: str | None) -> str:
    """Name of a support service of a node, or of the whole cluster."""
    return _name("-".join(["metis", SUPPORT_NAMES.get(service, service), *([node] if node else [])]))


def environment(spec: ContainerSpec) -> dict[str, str]:
    """Environment of a container; variables of its own prevail over links."""
    slot = {} if spec.slot is None else {"METIS_SLOT": str(spec.slot)}
    by_variable = sorted(spec.links, key=lambda link: link.variable)
    linked = {link.variable: link.value(f"tasks.{_linked(link, spec)}") for link in by_variable}
    return {**spec.identity(), **slot, **linked, **spec.env}


def signature(spec: ContainerSpec) -> str:
    """See `Container.signature`: a digest of image, environment and limits."""
    parts = [spec.image, sorted(environment(spec).items()), [spec.cpus, spec.memory_mb]]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def owned_labels(cluster: str, purpose: Purpose | None = None) -> dict[str, str]:
    """Labels of all that belongs to a cluster, or of what has one purpose in it."""
    return {"metis.cluster": cluster} | ({"metis.purpose": purpose} if purpose else {})


def labels_of(spec: ContainerSpec, cluster: str) -> dict[str, str]:
    """Labels of the service of an application's container, by which `container_of_labels` finds it again."""
    redis = next((_linked(link, spec) for link in spec.links if link.slot is not None), "")
    return {
        **owned_labels(cluster, spec.purpose),
        "metis.session": spec.session,
        "metis.app": spec.app,
        "metis.node": spec.node_name,
        "metis.slot": str(spec.slot),
        "metis.port": str(spec.published),
        "metis.redis": redis,
        "metis.signature": signature(spec),
    }


def container_of(spec: ContainerSpec) -> Container:
    """The container that a spec of an application becomes."""
    address = spec.node.address if spec.node else ""
    slot, port = int(spec.slot or 0), int(spec.published or 0)
    return Container(spec.app, spec.node_name, slot, service_name(spec), port, address, signature(spec))


def container_of_labels(labels: Mapping[str, str], addresses: Mapping[str, str]) -> Container:
    """The container that a service with these labels runs.

    Args:
        labels: of the service.
        addresses: of the nodes, by name.

    Raises:
        KeyError: they are not those of an application's container.
    """
    node, slot = labels["metis.node"], int(labels["metis.slot"])
    return Container(
        labels["metis.app"],
        node,
        slot,
        slot_name(labels["metis.session"], node, slot),
        int(labels["metis.port"]),
        addresses.get(node, ""),
        labels["metis.signature"],
    )


def order(spec: ContainerSpec, cluster: str) -> dict[str, Any]:
    """Keywords of `APIClient.create_service` for one container spec of a cluster.

    The image is named by its id: then a node neither asks a registry nor can run another one under that tag.
    What is measured is not started again: there, a container that ends is a failure.
    """
    from docker.types import ContainerSpec as Task
    from docker.types import EndpointSpec, Placement, Resources, RestartPolicy, TaskTemplate

    name, limits = service_name(spec), _limits(spec)
    if spec.slot is None:
        labels = {**owned_labels(cluster, spec.purpose), "metis.node": spec.node_name}
    else:
        labels = labels_of(spec, cluster)
    task = Task(
        spec.image,
        env=environment(spec),
        labels={**labels, "metis.service": name},
        stop_grace_period=GRACE[spec.purpose] * SECOND,
        init=True,  # else a program that handles no SIGTERM takes its whole grace to end
        healthcheck=None if spec.health_check else {"Test": ["NONE"]},
    )
    restarts = "none" if spec.purpose == "measured" else "any"
    bound = [f"node.hostname=={spec.node.hostname}"] if spec.node else []
    template = TaskTemplate(
        task,
        resources=Resources(**limits) if limits else None,
        restart_policy=RestartPolicy(condition=restarts, delay=SECOND),
        placement=Placement(constraints=bound),
        networks=[{"Target": NETWORK}],
    )
    given = {
        "task_template": template,
        "name": name,
        "labels": dict(labels),
        "endpoint_spec": EndpointSpec(mode="dnsrr", ports=_ports(spec)),
    }
    return given if spec.slot is not None else _signed(given)


def _signed(given: dict[str, Any]) -> dict[str, Any]:
    """The order of a support service with a digest of itself among its labels."""
    text = json.dumps(given, sort_keys=True, default=str)
    given["labels"]["metis.signature"] = hashlib.sha256(text.encode()).hexdigest()[:12]
    return given


def _limits(spec: ContainerSpec) -> dict[str, int]:
    cpu = {} if spec.cpus is None else {"cpu_limit": int(spec.cpus * 1e9)}
    return cpu | ({} if spec.memory_mb is None else {"mem_limit": spec.memory_mb * MB})


def _ports(spec: ContainerSpec) -> list[dict[str, Any]]:
    if spec.published is None:
        return []
    published = {"TargetPort": spec.ports[0], "PublishedPort": spec.published, "PublishMode": "host"}
    return [{"Protocol": "tcp", **published}]


def _linked(link: Link, spec: ContainerSpec) -> str:
    """Name of the service that a link of this spec leads to."""
    if link.slot is None:
        return support_name(link.app, link.node)
    return slot_name(spec.session, str(link.node), link.slot)


def _name(wanted: str) -> str:
    """`wanted`, or a name like it that a Swarm accepts: fit characters, short enough, unlike any other."""
    plain = re.sub(r"[^A-Za-z0-9]+$", "", re.sub(r"[^A-Za-z0-9_-]", "-", wanted))
    if plain == wanted and len(wanted) <= LONGEST_NAME:
        return wanted
    return f"{plain[: LONGEST_NAME - 9]}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"
