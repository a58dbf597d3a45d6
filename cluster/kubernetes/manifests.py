"""Container specs as manifests for `kubectl apply`, written without a cluster at hand."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import yaml

from cluster.spec import HTTP, ClusterSpec, ContainerSpec, dns_name, refuse_alike

PROBE_EVERY, PROBE_AFTER = 5, 60  # seconds; it may take a while until an application listens


def render(cluster: ClusterSpec) -> str:
    """The manifests: a Deployment per application and node, a Service per application.

    Node affinity binds each Deployment to its node. An application that its neighbours read from has a
    Service of its node as well, so that they reach the one beside them.

    Raises:
        InputError: two objects would have the same name, or one has none.
    """
    present = {one.app for one in cluster.containers}
    documents = [
        _service(dns_name(app), {"app": dns_name(app)}, HTTP) for app in cluster.apps if app in present
    ]
    for spec in cluster.support:
        labels = _labels(spec)
        documents += [_deployment(labels, [spec]), _service(_joined(labels), labels, spec.ports[0])]
    for _, alike in groupby(cluster.containers, key=lambda one: (one.node, one.app)):
        documents += _application(list(alike))
    for kind in ("Service", "Deployment"):
        refuse_alike(kind, [one["metadata"]["name"] for one in documents if one["kind"] == kind])
    return "---\n".join(yaml.safe_dump(one, sort_keys=False, default_flow_style=False) for one in documents)


def _application(specs: Sequence[ContainerSpec]) -> list[dict[str, Any]]:
    """The Deployment of an application on one node, and the Service of what neighbours read from it."""
    labels = _labels(specs[0])
    read = [_service(_joined(labels), labels, port) for port in specs[0].ports if port != HTTP]
    return [_deployment(labels, specs), *read]


def _deployment(labels: Mapping[str, str], specs: Sequence[ContainerSpec]) -> dict[str, Any]:
    """One Deployment for containers that differ in nothing but their slot."""
    first = specs[0]
    pod: dict[str, Any] = {"containers": [_container(first)]}
    if first.node is not None:
        match = {"key": "kubernetes.io/hostname", "operator": "In", "values": [first.node.hostname]}
        required = {"nodeSelectorTerms": [{"matchExpressions": [match]}]}
        pod["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": _joined(labels), "labels": dict(labels)},
        "spec": {
            "replicas": len(specs),
            "selector": {"matchLabels": dict(labels)},
            "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
        },
    }


def _container(spec: ContainerSpec) -> dict[str, Any]:
    linked = {link.variable: link.value(dns_name(link.app, link.node)) for link in spec.links}
    given = {**spec.identity(), **spec.env, **linked}
    env = [{"name": name, "value": value} for name, value in given.items()]
    limits = {} if spec.cpus is None else {"cpu": f"{spec.cpus:g}"}
    limits |= {} if spec.memory_mb is None else {"memory": f"{spec.memory_mb}Mi"}
    # memory is never overbooked; cores may be, as a full node's limits often exceed them
    requests = limits if spec.cpus is None else limits | {"cpu": f"{spec.cpus * spec.cpu_share:g}"}
    resources = {"resources": {"requests": dict(requests), "limits": dict(limits)}} if limits else {}
    main = {"name": "main", "image": spec.image, "ports": [{"containerPort": spec.ports[0]}]}
    return {**main, **({"env": env} if env else {}), **resources, **_probes(spec)}


def _probes(spec: ContainerSpec) -> dict[str, Any]:
    """Whether its port is open: an application need not serve /healthz."""
    opened = {"tcpSocket": {"port": spec.ports[0]}, "periodSeconds": PROBE_EVERY}
    return {"readinessProbe": opened, "livenessProbe": {**opened, "initialDelaySeconds": PROBE_AFTER}}


def _service(name: str, selector: Mapping[str, str], port: int) -> dict[str, Any]:
    ports = [{"port": port, "targetPort": port}]
    spec = {"selector": dict(selector), "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _labels(spec: ContainerSpec) -> dict[str, str]:
    """Labels that select the pods; the one service for the whole cluster has no node among them."""
    node = {"node": dns_name(spec.node.name)} if spec.node and not spec.shared else {}
    return {"app": dns_name(spec.app)} | node


def _joined(labels: Mapping[str, str]) -> str:
    return dns_name(*labels.values())
