"""Container specs become services of a Swarm, and are found again by their labels; no Swarm needed."""

import json

from hypothesis import given
from hypothesis import strategies as st

from cluster.spec import LONGEST_NAME, Container
from cluster.swarm.services import (
    container_of,
    container_of_labels,
    environment,
    order,
    signature,
    slot_name,
    support_name,
)

ADDRESSES = {"w1": "10.0.0.2", "w2": "10.0.0.3"}


def test_an_environment_says_what_and_where_and_holds_the_addresses_of_links(layout):
    redis, mms, ycsb = layout().colocation("w1", [1, 1, 1], "s")
    assert environment(redis) == {"METIS_APP": "Redis", "METIS_NODE": "w1", "METIS_SLOT": "0"}
    assert environment(mms) == {
        "METIS_APP": "MMS",
        "METIS_NODE": "w1",
        "METIS_SLOT": "1",
        "METIS_REDIS": "tasks.metis-s-w1-0:6379",
        "METIS_ORIGIN": "http://tasks.metis-origin:8080",
        "A": "1",
    }
    assert environment(ycsb)["METIS_MEMCACHED"] == "tasks.metis-cache-w1:11211"


def test_a_signature_differs_where_a_container_would_be_started_otherwise(layout):
    alone = signature(layout().colocation("w1", [0, 1, 0], "s")[0])
    assert signature(layout().colocation("w1", [0, 1, 1], "s")[0]) == alone
    assert signature(layout(memory_mb=100).colocation("w1", [0, 1, 0], "s")[0]) != alone
    assert signature(layout().containers("w1", [(0, "MMS"), (1, "Redis")], "s")[0]) != alone


def test_a_service_is_bound_to_its_node_its_limits_and_its_port(layout):
    ours = layout(cpus=1.5, memory_mb=100)
    given = order(ours.colocation("w1", [0, 1, 0], "s", "measured")[0], "c")
    task = given["task_template"]
    assert given["name"] == "metis-s-w1-0"
    assert task["Placement"]["Constraints"] == ["node.hostname==host-1"]
    assert task["Resources"]["Limits"] == {"NanoCPUs": 1_500_000_000, "MemoryBytes": 100 << 20}
    assert task["ContainerSpec"]["Image"] == "sha256:MMS"
    assert task["ContainerSpec"]["Healthcheck"] == {"Test": ["NONE"]}
    assert task["RestartPolicy"]["Condition"] == "none"
    assert given["endpoint_spec"]["Mode"] == "dnsrr"
    assert given["endpoint_spec"]["Ports"] == [
        {"Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 8081, "PublishMode": "host"}
    ]
    deployed = order(ours.colocation("w1", [0, 1, 0], "s", "deployed")[0], "c")["task_template"]
    assert deployed["RestartPolicy"]["Condition"] == "any"
    assert "Healthcheck" not in deployed["ContainerSpec"]


def test_a_container_is_found_again_by_its_labels(layout):
    for one in layout().colocation("w1", [1, 1, 1], "s", "measured"):
        labels = order(one, "c")["labels"]
        assert container_of_labels(labels, ADDRESSES) == container_of(one)
        assert labels["metis.cluster"] == "c"
        assert labels["metis.purpose"] == "measured"
    assert container_of(layout().colocation("w2", [0, 1, 0], "s")[0]).origin == "http://10.0.0.3:8081"


def test_support_services_are_of_a_node_or_of_the_cluster(layout):
    cache = order(layout(cache_mb=80).support("memcached", "w2"), "c")
    assert cache["name"] == "metis-cache-w2"
    assert cache["task_template"]["Resources"]["Limits"] == {"MemoryBytes": (80 + 10 + 64) << 20}
    assert cache["task_template"]["RestartPolicy"]["Condition"] == "any"
    origin = order(layout().support("origin"), "c")
    assert (origin["name"], origin["labels"]["metis.node"]) == ("metis-origin", "m")
    assert "Healthcheck" not in origin["task_template"]["ContainerSpec"]


def test_a_support_service_is_started_anew_only_where_it_would_differ(layout):
    def signed(**settings):
        return order(layout(**settings).support("memcached", "w1"), "c")["labels"]["metis.signature"]

    assert signed() == signed(memory_mb=77)
    assert signed() != signed(cache_mb=77)


def test_an_order_is_json_the_engine_accepts(layout):
    for one in layout().colocation("w1", [1, 1, 1], "s"):
        assert json.loads(json.dumps(order(one, "c")))["labels"]["metis.app"] == one.app


@given(
    st.from_regex(r"[a-z_][a-z0-9_]{0,40}", fullmatch=True),
    st.from_regex(r"[a-z0-9][a-z0-9.-]{0,60}", fullmatch=True),
)
def test_names_are_such_as_a_swarm_accepts_and_never_the_same(session, node):
    names = [slot_name(session, node, 0), slot_name(session, node, 1), support_name("memcached", node)]
    others = [slot_name(session, node + "x", 0), support_name("memcached", node + ".")]
    assert len({*names, *others}) == 5
    for name in names:
        assert len(name) <= LONGEST_NAME
        assert name[-1].isalnum()
        assert all(letter.isalnum() or letter in "-_" for letter in name)


def test_a_container_says_where_it_is():
    one = Container("MMS", "w1", 2, "metis-s-w1-2", 8083, "10.0.0.2")
    assert (one.where, one.origin) == ("MMS on w1 (slot 2)", "http://10.0.0.2:8083")
