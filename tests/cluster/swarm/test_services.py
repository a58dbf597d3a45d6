"""Counts become containers, containers become services; no Swarm needed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.images.build import Image
from cluster.images.catalog import Workload
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from cluster.swarm.services import LONGEST_NAME, Layout, cache_name, service_name
from metis.errors import InputError

HOSTS = (
    Host("m", "manager", "127.0.0.1", port=2201, inner="10.0.0.1"),
    Host("w1", "worker", "127.0.0.1", port=2202, inner="10.0.0.2"),
    Host("w2", "worker", "127.0.0.1", port=2203, inner="10.0.0.3"),
)
INVENTORY = Inventory("hosts", "c", HOSTS, "none", facts={"w1": {"hostname": "host-1"}})


def layout(tmp_path, **settings):
    workloads = (
        Workload("Redis", tmp_path, provides=("redis",)),
        Workload("MMS", tmp_path, needs=("redis", "origin"), env={"A": "1"}),
        Workload("YCSB-A", tmp_path, needs=("memcached",)),
    )
    images = tuple(Image(name, f"metis/{name}:1", f"sha256:{name}") for name in ("Redis", "MMS", "YCSB-A"))
    images += (Image("memcached", "metis/memcached:1", "sha256:cache"),)
    return Layout(INVENTORY, workloads, images, LaunchSettings(**settings))


def test_counts_fill_slots_in_the_order_of_applications(tmp_path):
    made = layout(tmp_path).colocation("w1", np.array([1, 2, 0]), "s")
    assert [(one.app, one.slot, one.port, one.address) for one in made] == [
        ("Redis", 0, 8081, "10.0.0.2"),
        ("MMS", 1, 8082, "10.0.0.2"),
        ("MMS", 2, 8083, "10.0.0.2"),
    ]
    assert [one.redis for one in made] == [None, "metis-s-w1-0", "metis-s-w1-0"]
    assert made[1].origin == "http://10.0.0.2:8082"


def test_a_container_is_told_what_it_needs_and_no_more(tmp_path):
    ours = layout(tmp_path)
    redis, mms, ycsb = ours.colocation("w1", [1, 1, 1], "s")
    assert ours.environment(redis) == {"METIS_APP": "Redis", "METIS_NODE": "w1", "METIS_SLOT": "0"}
    assert ours.environment(mms) == {
        "METIS_APP": "MMS",
        "METIS_NODE": "w1",
        "METIS_SLOT": "1",
        "METIS_REDIS": "tasks.metis-s-w1-0:6379",
        "METIS_ORIGIN": "http://tasks.metis-origin:8080",
        "A": "1",
    }
    assert ours.environment(ycsb)["METIS_MEMCACHED"] == "tasks.metis-cache-w1:11211"
    (alone,) = ours.colocation("w1", [0, 1, 0], "s")
    assert "METIS_REDIS" not in ours.environment(alone)


def test_the_redis_in_the_lowest_slot_serves(tmp_path):
    made = layout(tmp_path).colocated("w2", [(5, "Redis"), (2, "Redis"), (0, "MMS")], "s")
    assert [(one.slot, one.redis) for one in made] == [(0, "metis-s-w2-2"), (2, None), (5, None)]


def test_a_signature_tells_whether_it_would_be_started_otherwise(tmp_path):
    alone = layout(tmp_path).colocation("w1", [0, 1, 0], "s")[0].signature
    assert layout(tmp_path).colocation("w1", [0, 1, 1], "s")[0].signature == alone
    assert layout(tmp_path, memory_mb=100).colocation("w1", [0, 1, 0], "s")[0].signature != alone
    beside = layout(tmp_path).colocated("w1", [(0, "MMS"), (1, "Redis")], "s")[0].signature
    assert beside != alone


def test_a_service_is_bound_to_its_node_its_limits_and_its_port(tmp_path):
    ours = layout(tmp_path, cpus=1.5, memory_mb=100)
    (one,) = ours.colocation("w1", [0, 1, 0], "s")
    spec = ours.service(one, "s", "measured")
    task = spec["task_template"]
    assert task["Placement"]["Constraints"] == ["node.hostname==host-1"]
    assert task["Resources"]["Limits"] == {"NanoCPUs": 1_500_000_000, "MemoryBytes": 100 << 20}
    assert task["ContainerSpec"]["Image"] == "sha256:MMS"
    assert task["ContainerSpec"]["Healthcheck"] == {"Test": ["NONE"]}
    assert task["RestartPolicy"]["Condition"] == "none"
    assert spec["endpoint_spec"]["Mode"] == "dnsrr"
    assert spec["endpoint_spec"]["Ports"] == [
        {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 8081, "PublishMode": "host"}
    ]
    deployed = ours.service(one, "s", "deployed")["task_template"]
    assert deployed["RestartPolicy"]["Condition"] == "any"
    assert "Healthcheck" not in deployed["ContainerSpec"]


def test_a_container_is_found_again_by_its_labels(tmp_path):
    ours = layout(tmp_path)
    for one in ours.colocation("w1", [1, 1, 1], "s"):
        assert ours.found(ours.service(one, "s", "measured")["labels"]) == one


def test_the_cache_is_started_anew_only_when_it_would_differ(tmp_path):
    def signature(**settings):
        return layout(tmp_path, **settings).cache("w1")["labels"]["metis.signature"]

    assert signature() == signature(memory_mb=77)
    assert signature() != signature(cache_mb=77)
    assert layout(tmp_path).needed() == ("memcached", "origin")


@pytest.mark.parametrize("counts", [[1, 2], [1, -1, 0], [0.5, 0, 0]])
def test_counts_that_are_none_are_refused(tmp_path, counts):
    with pytest.raises(
        InputError, match=r"w1: counts .*: give a count for each of \['Redis', 'MMS', 'YCSB-A'\]"
    ):
        layout(tmp_path).colocation("w1", counts, "s")


def test_nodes_and_applications_that_are_none_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"m: a manager runs no containers; use one of \['w1', 'w2'\]"):
        layout(tmp_path).colocation("m", [1, 0, 0], "s")
    with pytest.raises(InputError, match="no host 'w9'"):
        layout(tmp_path).colocation("w9", [1, 0, 0], "s")
    with pytest.raises(InputError, match="there is no application 'ISR'"):
        layout(tmp_path).colocated("w1", [(0, "ISR")], "s")
    with pytest.raises(InputError, match="a slot is given twice"):
        layout(tmp_path).colocated("w1", [(0, "MMS"), (0, "Redis")], "s")
    with pytest.raises(InputError, match="there is no image of origin; run the stage build"):
        layout(tmp_path).pictures()


@given(
    st.from_regex(r"[a-z_][a-z0-9_]{0,40}", fullmatch=True),
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}", fullmatch=True),
)
def test_names_are_such_as_the_swarm_takes_and_never_the_same(session, node):
    names = [service_name(session, node, 0), service_name(session, node, 1), cache_name(node)]
    others = [service_name(session, node + "x", 0), cache_name(node + ".")]
    assert len({*names, *others}) == 5
    for name in names:
        assert len(name) <= LONGEST_NAME
        assert name[-1].isalnum()
        assert all(letter.isalnum() or letter in "-_" for letter in name)
