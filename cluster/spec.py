"""Containers as a cluster should run them: computed from counts, rendered or started by a backend."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from cluster.images.catalog import MEMCACHED, ORIGIN, SUPPORT, Workload
from cluster.provision.inventory import Host, Inventory, endpoint
from cluster.settings import LaunchSettings
from metis.errors import InputError
from metis.inputs.names import meant
from metis.problem.counts import IntArray, whole_counts

if TYPE_CHECKING:
    from cluster.images.build import Image

HTTP, REDIS_PORT, MEMCACHED_PORT = 8080, 6379, 11211
LONGEST_NAME = 63  # of a service or a Kubernetes object, as DNS allows

Purpose = Literal["measured", "deployed", "support"]
Held = Sequence[tuple[int, str]]  # slot and application of each container of a node


@dataclass(frozen=True)
class Node:
    """A node that containers are bound to.

    Attributes:
        name: in placements, reports and errors.
        hostname: what the cluster calls it.
        address: where clients reach its published ports; empty where nothing is started.
    """

    name: str
    hostname: str
    address: str = ""


@dataclass(frozen=True)
class Link:
    """An environment variable that holds the address of another container.

    Attributes:
        variable: name of the variable.
        app: application or support service at that address.
        port: that it listens on.
        node: where it runs; None for the one of the whole cluster.
        slot: of an application's container; None for a support service.
        form: value of the variable, with `{host}` and `{port}`.
    """

    variable: str
    app: str
    port: int
    node: str | None = None
    slot: int | None = None
    form: str = "{host}:{port}"

    def value(self, host: str) -> str:
        """The variable's value, where a backend calls the other container `host`."""
        return self.form.format(host=host, port=self.port)


@dataclass(frozen=True)
class ContainerSpec:
    """What one container is started from, whatever backend starts it.

    Attributes:
        app: application, or support service.
        image: reference of its image: a tag, or the engine's id.
        node: that it is bound to; None for any.
        slot: place on the node, from 0; None for a support service.
        ports: that it listens on; HTTP first, where it serves HTTP.
        published: port of the node that leads to the first of them; None where clients need none.
        env: variables of its own, beside those that say what and where it is.
        links: variables with addresses of other containers.
        cpus: limit; None for none.
        memory_mb: limit; None for none.
        cpu_share: share of the CPU limit that is reserved, where a backend reserves any.
        session: of the measurement or deployment it belongs to; empty for a support service.
        purpose: `measured` containers end with their measurement, `deployed` ones are restarted and stay,
            `support` services serve both.
        health_check: whether the check of its image runs, which takes CPU.
        shared: of a support service, whether there is one for the whole cluster instead of one per node.
    """

    app: str
    image: str
    node: Node | None
    slot: int | None = None
    ports: tuple[int, ...] = (HTTP,)
    published: int | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    cpus: float | None = None
    memory_mb: int | None = None
    cpu_share: float = 1.0
    session: str = ""
    purpose: Purpose = "deployed"
    health_check: bool = True
    shared: bool = False

    @property
    def where(self) -> str:
        """Application, node and slot in words, for errors."""
        return f"{self.app} on {self.node_name} (slot {self.slot})"

    @property
    def node_name(self) -> str:
        """Name of its node; empty where it may run on any."""
        return self.node.name if self.node else ""

    def identity(self) -> dict[str, str]:
        """Variables that say which application it is, and where; none for a support service."""
        if self.slot is None:
            return {}
        return {"METIS_APP": self.app, "METIS_NODE": self.node_name}


@dataclass(frozen=True)
class Container:
    """A container that runs, as a backend found or started it.

    Attributes:
        app: name of the application.
        node: name of its node.
        slot: place on the node, from 0.
        name: that the backend knows it by.
        port: published on the node.
        address: of the node, as the other hosts reach it.
        signature: digest of image, environment and limits: another one means that it would be started
            otherwise now.
    """

    app: str
    node: str
    slot: int
    name: str
    port: int
    address: str
    signature: str = ""

    @property
    def origin(self) -> str:
        """URL of its server, without a path."""
        return f"http://{endpoint(self.address, self.port)}"

    @property
    def where(self) -> str:
        """Application, node and slot in words, for errors."""
        return f"{self.app} on {self.node} (slot {self.slot})"


@dataclass(frozen=True)
class ClusterSpec:
    """All that runs on a cluster.

    Attributes:
        apps: applications, in the order of a placement's columns.
        containers: of applications, by node and slot.
        support: services that these link to.
    """

    apps: tuple[str, ...]
    containers: tuple[ContainerSpec, ...]
    support: tuple[ContainerSpec, ...] = ()


@dataclass(frozen=True)
class Layout:
    """Turns counts of applications on nodes into the specs of their containers.

    Attributes:
        nodes: in the order of a placement's rows.
        workloads: in the order of its columns.
        images: reference of the image of each application and support service.
        settings: limits and ports.
        origin_node: where the origin of files runs; None for any node.
        cpu_share: see `ContainerSpec`.
    """

    nodes: tuple[Node, ...]
    workloads: tuple[Workload, ...]
    images: Mapping[str, str]
    settings: LaunchSettings
    origin_node: Node | None = None
    cpu_share: float = 1.0

    def workload(self, app: str) -> Workload:
        """The workload called `app`."""
        for workload in self.workloads:
            if workload.name == app:
                return workload
        raise InputError(
            f"there is no application {app!r}; {meant(app, [one.name for one in self.workloads])}"
        )

    def node(self, name: str) -> Node:
        """The node called `name`."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise InputError(
            f"there is no node {name!r} for containers; {meant(name, [one.name for one in self.nodes])}"
        )

    def image(self, app: str) -> str:
        """Reference of the image of an application or support service."""
        try:
            return self.images[app]
        except KeyError:
            raise InputError(f"there is no image of {app}; run the stage build for it") from None

    def needed(self) -> tuple[str, ...]:
        """Support services that the applications need."""
        needs = {need for workload in self.workloads for need in workload.needs}
        return tuple(name for name in SUPPORT if name in needs)

    def containers(
        self, node: str, held: Held, session: str = "", purpose: Purpose = "deployed"
    ) -> list[ContainerSpec]:
        """Specs of the containers of a node.

        Args:
            node: name of the node.
            held: slot and application of all that will stand there; the Redis in the lowest slot is the one
                that its neighbours read from.
            session: of the measurement or deployment.
            purpose: see `ContainerSpec`.

        Raises:
            InputError: an unknown application or node, or a slot given twice.
        """
        place, ordered = self.node(node), sorted(held)
        if len({slot for slot, _ in ordered}) < len(ordered):
            raise InputError(f"{node}: a slot is given twice in {ordered}")
        redis = next(((slot, app) for slot, app in ordered if "redis" in self.workload(app).provides), None)
        return [
            ContainerSpec(
                app,
                self.image(app),
                place,
                slot,
                ports=(HTTP, REDIS_PORT) if self._serves_redis(app) else (HTTP,),
                published=self.settings.first_port + slot,
                env=dict(self.workload(app).env),
                links=_links(self.workload(app), node, redis),
                cpus=self.settings.cpus,
                memory_mb=self.settings.memory_mb,
                cpu_share=self.cpu_share,
                session=session,
                purpose=purpose,
                # a health check takes CPU from what is measured, and keeps a Redis out of DNS until it passed
                health_check=purpose == "deployed",
            )
            for slot, app in ordered
        ]

    def colocation(
        self,
        node: str,
        counts: Sequence[int] | IntArray,
        session: str = "",
        purpose: Purpose = "deployed",
    ) -> list[ContainerSpec]:
        """Specs of a co-location, counts [apps], in slots from 0, applications in their order.

        Raises:
            InputError: the counts are not one per application, or not whole numbers from 0.
        """
        given = np.asarray(counts)
        if given.shape != (len(self.workloads),) or (given < 0).any() or (given != given.astype(int)).any():
            names = ", ".join(one.name for one in self.workloads)
            raise InputError(f"{node}: counts {given.tolist()}: give a count for each of {names}")
        apps = [one.name for one, count in zip(self.workloads, given, strict=True) for _ in range(int(count))]
        return self.containers(node, list(enumerate(apps)), session, purpose)

    def support(self, service: str, node: str | None = None) -> ContainerSpec:
        """Spec of a support service: `memcached` of a node, or the cluster's `origin`."""
        image = self.image(service)
        if service == ORIGIN:
            return ContainerSpec(service, image, self.origin_node, purpose="support", shared=True)
        cache = self.settings.cache_mb
        return ContainerSpec(
            service,
            image,
            self.node(str(node)),
            ports=(MEMCACHED_PORT,),
            env={"METIS_CACHE_MB": str(cache)},
            # its memory is for the data alone: connections and the table of keys come on top
            memory_mb=cache + cache // 8 + 64,
            purpose="support",
            health_check=False,
        )

    def cluster(self, placement: IntArray, session: str = "", purpose: Purpose = "deployed") -> ClusterSpec:
        """Specs of a whole placement, int [nodes, apps], and of the support services that it needs.

        Raises:
            InputError: the placement has another shape, or holds something else than counts.
        """
        apps = tuple(one.name for one in self.workloads)
        check_placement(placement, [one.name for one in self.nodes], apps)
        rows = zip(self.nodes, placement, strict=True)
        specs = [one for node, row in rows for one in self.colocation(node.name, row, session, purpose)]
        return ClusterSpec(apps, tuple(specs), tuple(self._linked_support(specs)))

    def _linked_support(self, specs: Iterable[ContainerSpec]) -> list[ContainerSpec]:
        """Support services that these containers link to, each once."""
        links = [link for one in specs for link in one.links if link.slot is None]
        targets = dict.fromkeys((link.app, link.node) for link in links)
        return [self.support(app, node) for service in SUPPORT for app, node in targets if app == service]

    def _serves_redis(self, app: str) -> bool:
        """Whether other applications may read from this one as from a Redis."""
        wanted = any("redis" in one.needs for one in self.workloads)
        return wanted and "redis" in self.workload(app).provides


def _links(workload: Workload, node: str, redis: tuple[int, str] | None) -> tuple[Link, ...]:
    links = []
    if "redis" in workload.needs and redis:
        links.append(Link("METIS_REDIS", redis[1], REDIS_PORT, node, redis[0]))
    if MEMCACHED in workload.needs:
        links.append(Link("METIS_MEMCACHED", MEMCACHED, MEMCACHED_PORT, node))
    if ORIGIN in workload.needs:
        links.append(Link("METIS_ORIGIN", ORIGIN, HTTP, form="http://{host}:{port}"))
    return tuple(links)


def layout_of(
    inventory: Inventory, workloads: Sequence[Workload], images: "Sequence[Image]", settings: LaunchSettings
) -> Layout:
    """The layout of a cluster's workers; the origin of files runs beside the manager."""

    def node(host: Host) -> Node:
        known = inventory.facts.get(host.name, {})
        return Node(host.name, str(known.get("hostname", host.name)), host.seen_as)

    return Layout(
        nodes=tuple(node(host) for host in inventory.workers),
        workloads=tuple(workloads),
        images={one.app: one.id for one in images},
        settings=settings,
        origin_node=node(inventory.manager),
    )


def check_placement(placement: IntArray, nodes: Sequence[str], apps: Sequence[str]) -> None:
    """Refuse a placement that is not counts, int [nodes, apps].

    Raises:
        InputError: another shape, or a value that is no count.
    """
    whole_counts(placement, "placement")
    if placement.shape != (len(nodes), len(apps)):
        raise InputError(
            f"placement of shape {placement.shape}: give a row for each of {len(nodes)} nodes and a column "
            f"for each of {len(apps)} applications {', '.join(apps)}"
        )


def dns_name(*parts: object) -> str:
    """A name as DNS and Kubernetes take it: small letters, digits and hyphens.

    Args:
        parts: joined by hyphens; None is left out.

    Raises:
        InputError: nothing is left of it, or it is too long.
    """
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(str(p) for p in parts if p is not None).lower()).strip("-")
    if not name or len(name) > LONGEST_NAME:
        raise InputError(f"{name!r}: a service's name has 1 to {LONGEST_NAME} letters and digits; rename it")
    return name


def refuse_alike(kind: str, names: Iterable[str]) -> None:
    """Refuse names that would become one: of two services of one name, one would be lost.

    Raises:
        InputError: two names become the same `dns_name`; names both.
    """
    seen: dict[str, str] = {}
    for name in names:
        slug = dns_name(name)
        if slug in seen:
            raise InputError(f"{kind}s {seen[slug]!r} and {name!r} would both be called {slug!r}; rename one")
        seen[slug] = name
