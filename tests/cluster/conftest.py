"""A small made-up cluster: three applications, their images, and the layout of its nodes."""

from pathlib import Path

import pytest

from cluster.images.build import Image
from cluster.images.catalog import Workload
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from cluster.spec import Layout, layout_of

HOSTS = (
    Host("m", "manager", "127.0.0.1", port=2201, inner="10.0.0.1"),
    Host("w1", "worker", "127.0.0.1", port=2202, inner="10.0.0.2"),
    Host("w2", "worker", "127.0.0.1", port=2203, inner="10.0.0.3"),
)
INVENTORY = Inventory("hosts", "c", HOSTS, "none", facts={"w1": {"hostname": "host-1"}})
WORKLOADS = (
    Workload("Redis", Path(), provides=("redis",)),
    Workload("MMS", Path(), needs=("redis", "origin"), env={"A": "1"}),
    Workload("YCSB-A", Path(), needs=("memcached",)),
)
IMAGES = (
    *(Image(name, f"metis/{name}:1", f"sha256:{name}") for name in ("Redis", "MMS", "YCSB-A")),
    Image("memcached", "metis/memcached:1", "sha256:cache"),
    Image("origin", "metis/origin:1", "sha256:files"),
)


@pytest.fixture
def layout():
    """Make the layout, of settings that differ from the defaults or of other images."""

    def make(images=IMAGES, **settings) -> Layout:
        return layout_of(INVENTORY, WORKLOADS, images, LaunchSettings(**settings))

    return make
