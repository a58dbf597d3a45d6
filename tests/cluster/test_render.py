"""Renderings of the same container specs hold what the placement says: parsed back, counted, compared."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.export import placement_csv, render_placement
from cluster.images.catalog import Workload, load_catalog
from cluster.kubernetes import manifests as kubernetes
from cluster.settings import BuildSettings, ExportSettings, LaunchSettings
from cluster.spec import ClusterSpec, Layout, Node
from cluster.swarm import stack as swarm
from metis.errors import InputError

WORKLOADS = (
    Workload("Redis", Path(), provides=("redis",)),
    Workload("MMS", Path(), needs=("redis", "origin")),
    Workload("YCSB-A", Path(), env={"YCSB_WORKLOAD": "A"}, needs=("memcached",)),
)
IMAGES = {
    "Redis": "metis/redis:1",
    "MMS": "metis/mms:1",
    "YCSB-A": "metis/ycsb:1",
    "memcached": "metis/memcached:1",
    "origin": "metis/origin:1",
}
LIMITS = LaunchSettings(cpus=1.5, memory_mb=512, cache_mb=64)
NODES = ("worker-1", "worker-2", "Worker.3")
PLACEMENT = np.array([[1, 2, 0], [0, 1, 1], [0, 0, 0]])


def specs(placement=PLACEMENT, nodes=NODES, workloads=WORKLOADS, images=IMAGES) -> ClusterSpec:
    layout = Layout(tuple(Node(name, name) for name in nodes), workloads, images, LIMITS)
    return layout.cluster(placement)


def stack(**options) -> dict:
    return yaml.safe_load(swarm.render(specs(**options)))


def manifests(**options) -> list[dict]:
    return list(yaml.safe_load_all(kubernetes.render(specs(**options))))


def of_kind(documents, kind) -> dict[str, dict]:
    return {one["metadata"]["name"]: one for one in documents if one["kind"] == kind}


def test_a_table_is_what_existing_reads():
    frame = pd.read_csv(io.StringIO(placement_csv(PLACEMENT, NODES, ["Redis", "MMS", "YCSB-A"])))
    assert list(frame.columns) == ["node", "Redis", "MMS", "YCSB-A"]
    assert frame["node"].tolist() == list(NODES)
    assert frame.drop(columns="node").to_numpy().tolist() == PLACEMENT.tolist()


def test_a_table_is_read_by_metis_itself(tmp_path):
    from metis.problem.placement_files import read_placement
    from metis.problem.space import ColocationSpace

    path = tmp_path / "plan.csv"
    path.write_text(placement_csv(PLACEMENT, ["a.b", "c-d", "e"], ["Redis", "MMS", "YCSB-A"]))
    space = ColocationSpace(("Redis", "MMS", "YCSB-A"), 3)
    assert read_placement(path, space).tolist() == PLACEMENT.tolist()


def test_every_container_of_a_stack_is_bound_to_its_node_and_port():
    whole = stack()
    assert whole["version"] == "3.8"
    service = whole["services"]["mms-worker-1-1"]
    assert service["image"] == "metis/mms:1"
    assert service["ports"] == [{"target": 8080, "published": 8082, "protocol": "tcp", "mode": "host"}]
    deploy = service["deploy"]
    assert deploy["placement"]["constraints"] == ["node.hostname == worker-1"]
    assert deploy["resources"]["limits"] == {"cpus": "1.5", "memory": "512M"}
    assert deploy["replicas"] == 1
    assert deploy["endpoint_mode"] == "dnsrr"
    assert whole["networks"] == {"metis": {"driver": "overlay"}}


def test_neighbours_hold_the_addresses_of_one_another():
    services = stack()["services"]
    assert services["mms-worker-1-2"]["environment"]["METIS_REDIS"] == "redis-worker-1-0:6379"
    assert "METIS_REDIS" not in services["mms-worker-2-0"]["environment"]  # no Redis beside it
    assert services["mms-worker-2-0"]["environment"]["METIS_ORIGIN"] == "http://origin:8080"
    beside = services["ycsb-a-worker-2-1"]["environment"]
    assert beside["METIS_MEMCACHED"] == "memcached-worker-2:11211"
    assert beside["YCSB_WORKLOAD"] == "A"
    assert beside["METIS_SLOT"] == "1"
    for address in (beside["METIS_MEMCACHED"], services["mms-worker-1-2"]["environment"]["METIS_REDIS"]):
        assert address.partition(":")[0] in services


def test_supports_run_where_they_are_needed():
    services = stack()["services"]
    caches = [name for name in services if name.startswith("memcached")]
    assert caches == ["memcached-worker-2"]
    cache = services["memcached-worker-2"]
    assert cache["environment"] == {"METIS_CACHE_MB": "64"}
    assert cache["deploy"]["resources"]["limits"] == {"memory": "136M"}
    assert "ports" not in cache
    assert "placement" not in services["origin"]["deploy"]
    alone = stack(placement=np.array([[1, 0, 0], [0, 0, 0], [0, 0, 0]]))["services"]
    assert list(alone) == ["redis-worker-1-0"]


def test_kubernetes_binds_each_deployment_to_its_node():
    deployments = of_kind(manifests(), "Deployment")
    assert set(deployments) == {
        "redis-worker-1",
        "mms-worker-1",
        "mms-worker-2",
        "ycsb-a-worker-2",
        "memcached-worker-2",
        "origin",
    }
    spec = deployments["mms-worker-1"]["spec"]
    assert spec["replicas"] == 2
    affinity = spec["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [
        {"key": "kubernetes.io/hostname", "operator": "In", "values": ["worker-1"]}
    ]
    (container,) = spec["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "1.5", "memory": "512Mi"}
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert (
        container["readinessProbe"]["tcpSocket"] == container["livenessProbe"]["tcpSocket"] == {"port": 8080}
    )
    for deployment in deployments.values():
        wanted = deployment["spec"]["selector"]["matchLabels"]
        assert wanted == deployment["spec"]["template"]["metadata"]["labels"]


def test_kubernetes_services_reach_an_application_and_the_redis_of_a_node():
    documents = manifests()
    services = of_kind(documents, "Service")
    assert services["mms"]["spec"]["selector"] == {"app": "mms"}
    assert services["redis-worker-1"]["spec"]["selector"] == {"app": "redis", "node": "worker-1"}
    assert services["redis-worker-1"]["spec"]["ports"] == [{"port": 6379, "targetPort": 6379}]
    (container,) = of_kind(documents, "Deployment")["mms-worker-1"]["spec"]["template"]["spec"]["containers"]
    env = {one["name"]: one["value"] for one in container["env"]}
    assert env["METIS_REDIS"] == "redis-worker-1:6379"
    assert all(isinstance(value, str) for value in env.values())
    for address in (env["METIS_REDIS"], env["METIS_ORIGIN"].removeprefix("http://")):
        assert address.partition(":")[0] in services


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=5)
    .map(np.array)
    .filter(lambda counts: counts.any())
)
@settings(max_examples=40, deadline=None)
def test_both_hold_just_the_containers_of_the_placement(placement):
    nodes = [f"node-{i}" for i in range(len(placement))]
    wanted = Counter(
        {
            (app.name, node): int(count)
            for node, row in zip(nodes, placement, strict=True)
            for app, count in zip(WORKLOADS, row, strict=True)
            if count
        }
    )
    whole = specs(placement, nodes)
    services = yaml.safe_load(swarm.render(whole))["services"].values()
    found_env = [one["environment"] for one in services if "METIS_APP" in one.get("environment", {})]
    assert Counter((env["METIS_APP"], env["METIS_NODE"]) for env in found_env) == wanted
    ports = Counter(
        (one["deploy"]["placement"]["constraints"][0], one["ports"][0]["published"])
        for one in services
        if "ports" in one
    )
    assert all(count == 1 for count in ports.values())
    deployed = of_kind(yaml.safe_load_all(kubernetes.render(whole)), "Deployment").values()
    found: Counter = Counter()
    for one in deployed:
        env = {e["name"]: e["value"] for e in one["spec"]["template"]["spec"]["containers"][0].get("env", [])}
        if "METIS_APP" in env:
            found[env["METIS_APP"], env["METIS_NODE"]] += one["spec"]["replicas"]
    assert found == wanted


def test_both_renderings_hold_the_same_limits_images_and_addresses():
    """Of each container, whatever backend writes it; names of hosts are each backend's own."""
    by_stack = {
        (one["environment"]["METIS_APP"], one["environment"]["METIS_NODE"]): one
        for one in stack()["services"].values()
        if "METIS_APP" in one.get("environment", {})
    }
    seen = 0
    for deployment in of_kind(manifests(), "Deployment").values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        env = {one["name"]: one["value"] for one in container.get("env", [])}
        if "METIS_APP" not in env:
            continue
        other = by_stack[env["METIS_APP"], env["METIS_NODE"]]
        seen += 1
        assert container["image"] == other["image"]
        limits, theirs = container["resources"]["limits"], other["deploy"]["resources"]["limits"]
        assert limits == {"cpu": theirs["cpus"], "memory": theirs["memory"].replace("M", "Mi")}
        assert set(env) | {"METIS_SLOT"} == set(other["environment"])
    assert seen == len(by_stack) == 4


def export(kind, placement=PLACEMENT, nodes=NODES, names=("Redis", "MMS", "YCSB-A"), registry=None) -> str:
    catalog = load_catalog([], names)
    return render_placement(
        kind, placement, nodes, catalog, BuildSettings(), LaunchSettings(), ExportSettings(registry)
    )


@pytest.mark.parametrize("kind", ["swarm", "kubernetes"])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"placement": PLACEMENT[:, :2]}, "a column for each of 3 applications"),
        ({"placement": -PLACEMENT}, "not a count"),
        ({"placement": PLACEMENT * 0}, "no container"),
        ({"nodes": ("a.b", "a-b", "c")}, "'a.b' and 'a-b' would both be called 'a-b'"),
        ({"nodes": ("a", "a", "c")}, "'a' and 'a' would both"),
        ({"nodes": ("a", "ü", "c")}, "1 to 63"),
        ({"nodes": ("a", "b" * 80, "c")}, "1 to 63"),
    ],
)
def test_what_cannot_be_named_or_counted_is_refused(kind, options, says):
    with pytest.raises(InputError, match=says):
        export(kind, **options)


def test_images_are_those_of_the_stage_build_and_may_come_from_a_registry():
    plain, pulled = export("swarm"), export("swarm", registry="reg:5000")
    assert "image: metis/redis:" in plain
    assert plain.replace("image: metis/", "image: reg:5000/metis/") == pulled


def test_an_export_reserves_a_share_of_the_cores_all_memory_and_pins_the_origin():
    deployments = of_kind(yaml.safe_load_all(export("kubernetes")), "Deployment")
    (container,) = deployments["mms-worker-1"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"] == {
        "requests": {"cpu": "1", "memory": "8192Mi"},
        "limits": {"cpu": "2", "memory": "8192Mi"},
    }
    affinity = deployments["origin"]["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["worker-1"]
    (cache,) = deployments["memcached-worker-2"]["spec"]["template"]["spec"]["containers"]
    assert cache["readinessProbe"]["tcpSocket"] == {"port": 11211}
    origin = yaml.safe_load(export("swarm"))["services"]["origin"]
    assert origin["deploy"]["placement"]["constraints"] == ["node.hostname == worker-1"]


def test_services_that_would_share_a_name_are_refused():
    workloads, images = (Workload("a", Path()), Workload("a-b", Path())), {"a": "i", "a-b": "i"}
    clash = specs(np.array([[0, 1], [1, 0]]), ("c", "b-c"), workloads, images)
    for render in (swarm.render, kubernetes.render):
        with pytest.raises(InputError, match="both be called"):
            render(clash)
