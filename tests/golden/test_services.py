"""Swarm services: what the cluster is told to run is what it was told when frozen."""

import json

import pytest

from tests.golden import subjects
from tests.golden.frozen import check

APPS = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")
HOSTS = (
    subjects.Host("boss", "manager", "192.0.2.1", inner="10.0.0.1"),
    subjects.Host("one", "worker", "192.0.2.2", port=2202, inner="10.0.0.2"),
    subjects.Host("two", "worker", "192.0.2.3"),
    subjects.Host("far", "client", "192.0.2.4"),
)
FACTS = {"one": {"hostname": "host-1"}, "boss": {"hostname": "host-0"}}


@pytest.fixture(params=["plain", "tight"])
def layout(request):
    chosen = {"cpus": 1.5, "memory_mb": 100, "cache_mb": 77, "first_port": 9001}
    settings = subjects.LaunchSettings(**(chosen if request.param == "tight" else {}))
    images = tuple(
        subjects.Image(name, f"metis/{name.lower()}:1", f"sha256:{name.lower()}")
        for name in (*APPS, "memcached", "origin")
    )
    inventory = subjects.Inventory("hosts", "made-up", HOSTS, "known_hosts", facts=FACTS)
    return request.param, subjects.Layout(inventory, subjects.load_catalog([], APPS), images, settings)


def test_services(layout):
    kind, ours = layout
    containers = ours.colocation("one", [1, 1, 1, 1, 1, 1, 1], "plan")
    alone = ours.colocation("two", [0, 1, 0, 0, 0, 0, 0], "plan")
    services = {
        "containers": [vars(one) for one in (*containers, *alone)],
        "deployed": [ours.service(one, "plan", "deployed") for one in (*containers, *alone)],
        "measured": [ours.service(one, "plan", "measured") for one in (containers[1], *alone)],
        "cache": {node: ours.cache(node) for node in ("one", "two")},
        "pictures": ours.pictures(),
        "needed": ours.needed(),
        "environments": {one.service: ours.environment(one) for one in containers},
    }
    if kind == "tight":  # only what its settings change
        services = {name: services[name] for name in ("measured", "cache")}
    check(f"services/{kind}", json.loads(json.dumps(services)))
