"""What a container on a node is: its slot, its port, its environment, and the Swarm service that runs it."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from cluster.images.build import Image
from cluster.images.catalog import SUPPORT, Workload
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from metis.errors import InputError
from metis.problem.counts import IntArray

NETWORK = "metis"
ORIGIN = "metis-origin"
HTTP, REDIS, MEMCACHED = 8080, 6379, 11211
MB = 1 << 20
SECOND = 1_000_000_000  # the engine counts nanoseconds
Purpose = Literal["measured", "deployed", "support"]
GRACE: Mapping[Purpose, int] = {"measured": 2, "deployed": 10, "support": 5}  # seconds to end by itself
LONGEST_NAME = 63


@dataclass(frozen=True)
class Container:
    """One container of an application on a node.

    Attributes:
        app: name of the application.
        node: name of the host.
        slot: place on the node, from 0.
        service: name of its Swarm service.
        port: published on the node.
        address: of the node, as the other hosts see it.
        redis: service of the Redis on the same node that it reads from; None where there is none.
        signature: digest of image, environment and limits: differs where it would be started otherwise now.
    """

    app: str
    node: str
    slot: int
    service: str
    port: int
    address: str
    redis: str | None = None
    signature: str = ""

    @property
    def origin(self) -> str:
        """Where it answers, without a path."""
        return f"http://{self.address}:{self.port}"

    @property
    def where(self) -> str:
        """Itself in words, for errors."""
        return f"{self.app} on {self.node} (slot {self.slot})"


@dataclass(frozen=True)
class Layout:
    """Turns counts into containers, and containers into services of one cluster.

    Attributes:
        inventory: the hosts.
        workloads: in the order of the counts.
        images: of the applications and of what supports them.
        settings: limits and ports.
    """

    inventory: Inventory
    workloads: tuple[Workload, ...]
    images: tuple[Image, ...]
    settings: LaunchSettings

    def workload(self, app: str) -> Workload:
        """The workload called `app`."""
        for workload in self.workloads:
            if workload.name == app:
                return workload
        raise InputError(f"there is no application {app!r}; use {[one.name for one in self.workloads]}")

    def image(self, app: str) -> Image:
        """The image of an application, or of `memcached` or `origin`."""
        for image in self.images:
            if image.app == app:
                return image
        raise InputError(f"there is no image of {app}; run the stage build for it")

    def node(self, name: str) -> Host:
        """The worker called `name`."""
        host = self.inventory.host(name)
        if host.role != "worker":
            workers = [worker.name for worker in self.inventory.workers]
            raise InputError(f"{name}: a {host.role} runs no containers; use one of {workers}")
        return host

    def hostname(self, host: Host) -> str:
        """What the Swarm calls a host."""
        return str(self.inventory.facts.get(host.name, {}).get("hostname", host.name))

    def needed(self) -> tuple[str, ...]:
        """Which support services the applications need."""
        needs = {need for workload in self.workloads for need in workload.needs}
        return tuple(name for name in SUPPORT if name in needs)

    def colocated(self, node: str, held: Sequence[tuple[int, str]], session: str) -> list[Container]:
        """The containers of a node, as they would be started.

        Args:
            node: name of the host.
            held: slot and application of all that will stand there; the Redis in the lowest slot is the one
                that its neighbours read from.
            session: whose they are.

        Raises:
            InputError: an application or node is none, or a slot is given twice.
        """
        host, ordered = self.node(node), sorted(held)
        if len({slot for slot, _ in ordered}) < len(ordered):
            raise InputError(f"{node}: a slot is given twice in {ordered}")
        serving = [slot for slot, app in ordered if "redis" in self.workload(app).provides]
        redis = service_name(session, node, serving[0]) if serving else None
        made = []
        for slot, app in ordered:
            reads = redis if "redis" in self.workload(app).needs else None
            service, port = service_name(session, node, slot), self.settings.first_port + slot
            one = Container(app, node, slot, service, port, host.seen_as, reads)
            made.append(replace(one, signature=self.signature(one)))
        return made

    def colocation(self, node: str, counts: Sequence[int] | IntArray, session: str) -> list[Container]:
        """The containers of a co-location, counts [apps], in slots from 0, applications in their order.

        Raises:
            InputError: the counts are not one per application, or not whole numbers from 0.
        """
        given = np.asarray(counts)
        if given.shape != (len(self.workloads),) or (given < 0).any() or (given != given.astype(int)).any():
            names = [one.name for one in self.workloads]
            raise InputError(f"{node}: counts {given.tolist()}: give a count for each of {names}")
        apps = [one.name for one, count in zip(self.workloads, given, strict=True) for _ in range(int(count))]
        return self.colocated(node, list(enumerate(apps)), session)

    def environment(self, container: Container) -> dict[str, str]:
        """What the container is told, by variable."""
        workload = self.workload(container.app)
        told = {
            "METIS_APP": container.app,
            "METIS_NODE": container.node,
            "METIS_SLOT": str(container.slot),
        }
        if "memcached" in workload.needs:
            told["METIS_MEMCACHED"] = f"tasks.{cache_name(container.node)}:{MEMCACHED}"
        if "origin" in workload.needs:
            told["METIS_ORIGIN"] = f"http://tasks.{ORIGIN}:{HTTP}"
        if container.redis:
            told["METIS_REDIS"] = f"tasks.{container.redis}:{REDIS}"
        return told | dict(workload.env)

    def signature(self, container: Container) -> str:
        """See `Container.signature`."""
        limits = [self.settings.cpus, self.settings.memory_mb]
        told = [self.image(container.app).id, sorted(self.environment(container).items()), limits]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12]

    def labels(self, container: Container, session: str, purpose: Purpose) -> dict[str, str]:
        """By which it is found again."""
        return {
            **self.mine(purpose),
            "metis.session": session,
            "metis.app": container.app,
            "metis.node": container.node,
            "metis.slot": str(container.slot),
            "metis.port": str(container.port),
            "metis.redis": container.redis or "",
            "metis.signature": container.signature,
        }

    def mine(self, purpose: Purpose | None = None) -> dict[str, str]:
        """Labels of all that belongs to this cluster, or of what has one purpose in it."""
        owned = {"metis.cluster": self.inventory.name}
        return owned | ({"metis.purpose": purpose} if purpose else {})

    def found(self, labels: Mapping[str, str]) -> Container:
        """The container that a service with these labels is.

        Raises:
            KeyError: they are not those of a container.
        """
        node, slot = labels["metis.node"], int(labels["metis.slot"])
        known = {host.name: host.seen_as for host in self.inventory.hosts}
        service = service_name(labels["metis.session"], node, slot)
        return Container(
            labels["metis.app"],
            node,
            slot,
            service,
            int(labels["metis.port"]),
            known.get(node, ""),
            labels["metis.redis"] or None,
            labels["metis.signature"],
        )

    def service(self, container: Container, session: str, purpose: Purpose) -> dict[str, Any]:
        """The service that runs a container, as `APIClient.create_service` wants it."""
        labels = self.labels(container, session, purpose)
        published = {"TargetPort": HTTP, "PublishedPort": container.port, "PublishMode": "host"}
        return _service(
            container.service,
            self.image(container.app).id,
            self.environment(container),
            labels,
            self.hostname(self.node(container.node)),
            GRACE[purpose],
            # a health check takes CPU from what is measured, and keeps a Redis out of DNS until it passed
            checked=purpose == "deployed",
            again=purpose == "deployed",
            limits={"cpu_limit": int(self.settings.cpus * 1e9), "mem_limit": self.settings.memory_mb * MB},
            ports=[{"Protocol": "tcp", **published}],
        )

    def cache(self, node: str) -> dict[str, Any]:
        """The service of a node's memcached; its label `metis.signature` tells how it was started."""
        spec = _service(
            cache_name(node),
            self.image("memcached").id,
            {"METIS_CACHE_MB": str(self.settings.cache_mb)},
            {**self.mine("support"), "metis.node": node},
            self.hostname(self.node(node)),
            GRACE["support"],
            checked=False,
            again=True,
            # its memory is for the data alone: connections and the table of keys come on top
            limits={"mem_limit": (self.settings.cache_mb + self.settings.cache_mb // 8 + 64) * MB},
        )
        return _signed(spec)

    def pictures(self) -> dict[str, Any]:
        """The service that pictures are read from over the network; labelled as `cache` is."""
        manager = self.inventory.manager
        labels = {**self.mine("support"), "metis.node": manager.name}
        image, name = self.image("origin").id, self.hostname(manager)
        return _signed(_service(ORIGIN, image, {}, labels, name, GRACE["support"], checked=True, again=True))


def service_name(session: str, node: str, slot: int) -> str:
    """Name of the service in a slot."""
    return _name(f"metis-{session}-{node}-{slot}")


def cache_name(node: str) -> str:
    """Name of the service of a node's memcached."""
    return _name(f"metis-cache-{node}")


def _name(wanted: str) -> str:
    """`wanted`, or what the Swarm takes for a name in its place, as long as it may be."""
    plain = re.sub(r"[^A-Za-z0-9]+$", "", re.sub(r"[^A-Za-z0-9_-]", "-", wanted))
    if plain == wanted and len(wanted) <= LONGEST_NAME:
        return wanted
    return f"{plain[: LONGEST_NAME - 9]}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


def _signed(spec: dict[str, Any]) -> dict[str, Any]:
    told = json.dumps(spec, sort_keys=True, default=str)
    spec["labels"]["metis.signature"] = hashlib.sha256(told.encode()).hexdigest()[:12]
    return spec


def _service(
    name: str,
    image: str,
    env: Mapping[str, str],
    labels: Mapping[str, str],
    hostname: str,
    grace: int,
    *,
    checked: bool,
    again: bool,
    limits: Mapping[str, int] | None = None,
    ports: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """One container on one host; `again`: started anew whenever it ends, else what ends is a failure.

    The image is named by its id: then a node neither asks a registry nor can run another one under that tag.
    """
    from docker.types import ContainerSpec, EndpointSpec, Placement, Resources, RestartPolicy, TaskTemplate

    spec = ContainerSpec(
        image,
        env=dict(env),
        labels={**labels, "metis.service": name},
        stop_grace_period=grace * SECOND,
        init=True,  # else a program that handles no SIGTERM takes its whole grace to end
        healthcheck=None if checked else {"Test": ["NONE"]},
    )
    template = TaskTemplate(
        spec,
        resources=Resources(**limits) if limits else None,
        restart_policy=RestartPolicy(condition="any" if again else "none", delay=SECOND),
        placement=Placement(constraints=[f"node.hostname=={hostname}"]),
        networks=[{"Target": NETWORK}],
    )
    return {
        "task_template": template,
        "name": name,
        "labels": dict(labels),
        "endpoint_spec": EndpointSpec(mode="dnsrr", ports=list(ports)),
    }
