"""A placement for others to run or to read: a Swarm stack file, Kubernetes manifests, a table."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml

from metis.errors import InputError
from metis.problem.counts import IntArray, whole_counts

STACK_VERSION = "3.8"
NODE_COLUMN = "node"
LONGEST_NAME = 63  # of a service or a Kubernetes object, as DNS allows


@dataclass(frozen=True)
class Link:
    """An environment variable that tells a container where something else answers.

    Attributes:
        variable: name of the variable.
        to: name of the application or support that answers there.
        port: where it answers.
        form: value of the variable, with `{host}` and `{port}`.
    """

    variable: str
    to: str
    port: int
    form: str = "{host}:{port}"

    def value(self, host: str) -> str:
        """The variable's value for this host."""
        return self.form.format(host=host, port=self.port)


@dataclass(frozen=True)
class Application:
    """What a container of an application is started from.

    Attributes:
        name: of the application.
        image: of its containers, with its tag.
        port: where it answers HTTP.
        env: its environment.
        cpus: limit of a container.
        memory_mb: limit of a container.
        links: to applications on the same node, where there is one, and to supports.
    """

    name: str
    image: str
    port: int = 8080
    env: Mapping[str, str] = field(default_factory=dict)
    cpus: float = 2.0
    memory_mb: int = 8192
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Support:
    """What applications need beside them and no placement counts: a cache of each node, a source of files.

    Attributes:
        name: what links name.
        image: of its containers, with its tag.
        port: where it answers.
        command: what is run instead of the image's own; None for that.
        env: its environment.
        memory_mb: limit; None for none.
        each_node: one on every node that holds somebody who needs it, instead of one in all.
    """

    name: str
    image: str
    port: int
    command: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    memory_mb: int | None = None
    each_node: bool = True


@dataclass(frozen=True)
class Plan:
    """A checked placement: who stands where.

    Attributes:
        placement: int [nodes, apps].
        nodes: host name of each node.
        applications: one per column.
        supports: what they need beside them.
    """

    placement: IntArray
    nodes: tuple[str, ...]
    applications: tuple[Application, ...]
    supports: tuple[Support, ...] = ()

    def __post_init__(self) -> None:
        check_nodes(self.placement, self.nodes, [app.name for app in self.applications])
        _refuse_alike("application", [app.name for app in self.applications])
        _refuse_alike("node", self.nodes)
        if not self.placement.any():
            raise InputError("placement holds no container: there is nothing to run")

    def rows(self) -> Iterator[tuple[str, IntArray]]:
        """Nodes that hold something, and their counts, [apps]."""
        for node, counts in zip(self.nodes, self.placement, strict=True):
            if counts.any():
                yield node, counts


def check_nodes(placement: IntArray, nodes: Sequence[str], apps: Sequence[str]) -> None:
    """Refuse a placement that is not [nodes, apps] counts.

    Raises:
        InputError: another shape, or a count that is none.
    """
    whole_counts(placement, "placement")
    if placement.shape != (len(nodes), len(apps)):
        raise InputError(
            f"placement of shape {placement.shape}: give a row for each of {len(nodes)} nodes and a column "
            f"for each of {len(apps)} applications {list(apps)}"
        )


def placement_csv(placement: IntArray, nodes: Sequence[str], apps: Sequence[str]) -> str:
    """The placement as a table: a column `node` and one per application, as `existing=` reads it."""
    check_nodes(placement, nodes, apps)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow([NODE_COLUMN, *apps])
    for node, counts in zip(nodes, placement, strict=True):
        table.writerow([node, *map(int, counts)])
    return written.getvalue()


def swarm_stack(plan: Plan, first_port: int = 8081) -> str:
    """A stack file for `docker stack deploy`: a service per container, bound to its node.

    A node's containers are published on its own ports from `first_port` on, in host mode: several replicas
    of one service could not be, and a routing mesh would send requests to other nodes.
    """
    named: list[tuple[str, dict[str, Any]]] = []
    for support in plan.supports:
        for place in _places(plan, support):
            named.append((_slug(support.name, place), _stack_support(support, place)))
    for node, counts in plan.rows():
        held = [app for app, count in zip(plan.applications, counts, strict=True) for _ in range(count)]
        first = {app.name: _slug(app.name, node, slot) for slot, app in reversed([*enumerate(held)])}
        for slot, app in enumerate(held):
            hosts = first | _hosts_of(plan.supports, node)
            ports = [{"target": app.port, "published": first_port + slot, "protocol": "tcp", "mode": "host"}]
            service = {
                "image": app.image,
                "environment": _environment(app, node, hosts) | {"METIS_SLOT": str(slot)},
                "ports": ports,
                "networks": ["metis"],
                "deploy": _stack_deploy(node, app.cpus, app.memory_mb),
            }
            named.append((_slug(app.name, node, slot), service))
    _refuse_alike("service", [name for name, _ in named])
    networks = {"metis": {"driver": "overlay"}}
    return _yaml({"version": STACK_VERSION, "services": dict(named), "networks": networks})


def _places(plan: Plan, support: Support) -> list[str | None]:
    """Where a support runs: on each node that holds somebody who needs it, or anywhere."""
    needy = np.array([any(link.to == support.name for link in app.links) for app in plan.applications])
    nodes = [node for node, counts in plan.rows() if counts[needy].any()]
    return [*nodes] if support.each_node else [None] if nodes else []


def _stack_support(support: Support, node: str | None) -> dict[str, Any]:
    command = {"command": list(support.command)} if support.command else {}
    env = {"environment": dict(support.env)} if support.env else {}
    deploy = _stack_deploy(node, None, support.memory_mb)
    return {"image": support.image, **command, **env, "networks": ["metis"], "deploy": deploy}


def _stack_deploy(node: str | None, cpus: float | None, memory_mb: int | None) -> dict[str, Any]:
    limits = {} if cpus is None else {"cpus": f"{cpus:g}"}
    limits |= {} if memory_mb is None else {"memory": f"{memory_mb}M"}
    return {
        "mode": "replicated",
        "replicas": 1,
        "endpoint_mode": "dnsrr",
        **({"placement": {"constraints": [f"node.hostname == {node}"]}} if node else {}),
        **({"resources": {"limits": limits}} if limits else {}),
        "restart_policy": {"condition": "any"},
    }


def kubernetes_manifests(plan: Plan) -> str:
    """Manifests for `kubectl apply`: a Deployment per application and node, a Service per application.

    Node affinity binds each Deployment to its node. What others on a node read from has a Service of that
    node as well, so that they reach the one beside them.
    """
    documents: list[dict[str, Any]] = []
    for app, column in zip(plan.applications, plan.placement.T, strict=True):
        if column.any():
            documents.append(_service(_slug(app.name), {"app": _slug(app.name)}, app.port))
    for support in plan.supports:
        for place in _places(plan, support):
            documents += _kubernetes_support(support, place)
    for node, counts in plan.rows():
        documents += _kubernetes_node(plan, node, counts)
    for kind in ("Service", "Deployment"):
        _refuse_alike(kind, [one["metadata"]["name"] for one in documents if one["kind"] == kind])
    return "---\n".join(_yaml(document) for document in documents)


def _kubernetes_support(support: Support, node: str | None) -> list[dict[str, Any]]:
    labels = _labels(support.name, node)
    limits = {} if support.memory_mb is None else {"memory": f"{support.memory_mb}Mi"}
    container = _container(support.image, support.port, support.env, limits)
    if support.command:
        container["args"] = list(support.command)
    service = _service(_slug(support.name, node), labels, support.port)
    return [_deployment(labels, 1, container, node), service]


def _kubernetes_node(plan: Plan, node: str, counts: IntArray) -> list[dict[str, Any]]:
    """Deployments of one node, and Services of what others there read from."""
    ports = {link.to: link.port for app in plan.applications for link in app.links}
    here = [(app, int(count)) for app, count in zip(plan.applications, counts, strict=True) if count]
    hosts = {app.name: _slug(app.name, node) for app, _ in here} | _hosts_of(plan.supports, node)
    documents = []
    for app, count in here:
        labels = _labels(app.name, node)
        limits = {"cpu": f"{app.cpus:g}", "memory": f"{app.memory_mb}Mi"}
        container = _container(app.image, app.port, _environment(app, node, hosts), limits)
        documents.append(_deployment(labels, count, container, node))
        if app.name in ports:
            documents.append(_service(_slug(app.name, node), labels, ports[app.name]))
    return documents


def _hosts_of(supports: Sequence[Support], node: str) -> dict[str, str]:
    return {one.name: _slug(one.name, node if one.each_node else None) for one in supports}


def _container(image: str, port: int, env: Mapping[str, str], limits: Mapping[str, str]) -> dict[str, Any]:
    given = [{"name": name, "value": str(value)} for name, value in env.items()]
    # equal requests and limits: the node is neither overbooked nor the container the first to be evicted
    resources = {"resources": {"requests": dict(limits), "limits": dict(limits)}} if limits else {}
    ports = [{"containerPort": port}]
    return {"name": "main", "image": image, "ports": ports, **({"env": given} if given else {}), **resources}


def _deployment(
    labels: Mapping[str, str], replicas: int, container: Mapping[str, Any], node: str | None
) -> dict[str, Any]:
    spec: dict[str, Any] = {"containers": [dict(container)]}
    if node is not None:
        match = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
        required = {"nodeSelectorTerms": [{"matchExpressions": [match]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "-".join(labels.values()), "labels": dict(labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": spec},
        },
    }


def _service(name: str, selector: Mapping[str, str], port: int) -> dict[str, Any]:
    ports = [{"port": port, "targetPort": port}]
    spec = {"selector": dict(selector), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _labels(app: str, node: str | None) -> dict[str, str]:
    return {"app": _slug(app)} | ({"node": _slug(node)} if node else {})


def _environment(app: Application, node: str, hosts: Mapping[str, str]) -> dict[str, str]:
    """A container's environment; links to what is not there are left out."""
    linked = {link.variable: link.value(hosts[link.to]) for link in app.links if link.to in hosts}
    return {"METIS_APP": app.name, "METIS_NODE": node, **{k: str(v) for k, v in app.env.items()}, **linked}


def _slug(*parts: object) -> str:
    """A name as DNS and Kubernetes take it: small letters, digits and hyphens."""
    name = re.sub(r"[^a-z0-9]+", "-", "-".join(str(p) for p in parts if p is not None).lower()).strip("-")
    if not name or len(name) > LONGEST_NAME:
        raise InputError(f"{name!r}: a service's name has 1 to {LONGEST_NAME} letters and digits; rename it")
    return name


def _refuse_alike(kind: str, names: Sequence[str]) -> None:
    """Refuse names that would become one: of two services of one name, one would be lost."""
    seen: dict[str, str] = {}
    for name in names:
        slug = _slug(name)
        if slug in seen:
            raise InputError(f"{kind}s {seen[slug]!r} and {name!r} would both be called {slug!r}; rename one")
        seen[slug] = name


def _yaml(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(document), sort_keys=False, default_flow_style=False)
