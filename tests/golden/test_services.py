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
    return request.param, subjects.layout_of(inventory, subjects.load_catalog([], APPS), images, settings)


def as_container(spec):
    """A container in the words of the time when it was frozen: the name of its service, and of its Redis."""
    found = dict(vars(subjects.container_of(spec)))
    found["service"] = found.pop("name")
    return found | {"redis": subjects.labels_of(spec, "made-up")["metis.redis"] or None}


def test_services(layout):
    kind, ours = layout
    held, lone = [1, 1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0, 0]
    specs = {
        purpose: (
            ours.colocation("one", held, "plan", purpose),
            ours.colocation("two", lone, "plan", purpose),
        )
        for purpose in ("deployed", "measured")
    }
    containers, alone = specs["deployed"]
    measured, measured_alone = specs["measured"]
    services = {
        "containers": [as_container(one) for one in (*containers, *alone)],
        "deployed": [subjects.order(one, "made-up") for one in (*containers, *alone)],
        "measured": [subjects.order(one, "made-up") for one in (measured[1], *measured_alone)],
        "cache": {
            node: subjects.order(ours.support("memcached", node), "made-up") for node in ("one", "two")
        },
        "pictures": subjects.order(ours.support("origin"), "made-up"),
        "needed": ours.needed(),
        "environments": {subjects.container_of(one).name: subjects.environment(one) for one in containers},
    }
    if kind == "tight":  # only what its settings change
        services = {name: services[name] for name in ("measured", "cache")}
    check(f"services/{kind}", json.loads(json.dumps(services)))
