"""Container specs out of counts: slots, ports, limits, links and the support services they need."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.settings import LaunchSettings
from cluster.spec import Layout, Link, Node, dns_name, refuse_alike
from cluster.swarm.backend import SwarmBackend
from cluster.swarm.services import container_of
from metis.errors import InputError
from tests.cluster.conftest import IMAGES, WORKLOADS

REDIS_BESIDE = Link("METIS_REDIS", "Redis", 6379, "w1", 0)
ORIGIN = Link("METIS_ORIGIN", "origin", 8080, form="http://{host}:{port}")


def test_counts_fill_slots_in_the_order_of_applications(layout):
    specs = layout().colocation("w1", np.array([1, 2, 0]), "s")
    assert [(one.app, one.slot, one.published, one.node) for one in specs] == [
        ("Redis", 0, 8081, Node("w1", "host-1", "10.0.0.2")),
        ("MMS", 1, 8082, Node("w1", "host-1", "10.0.0.2")),
        ("MMS", 2, 8083, Node("w1", "host-1", "10.0.0.2")),
    ]
    assert {one.session for one in specs} == {"s"}


def test_a_spec_links_to_what_its_application_needs_and_no_more(layout):
    redis, mms, ycsb = layout().colocation("w1", [1, 1, 1])
    assert redis.links == ()
    assert mms.links == (REDIS_BESIDE, ORIGIN)
    assert ycsb.links == (Link("METIS_MEMCACHED", "memcached", 11211, "w1"),)
    assert mms.env == {"A": "1"}
    (alone,) = layout().colocation("w1", [0, 1, 0])
    assert alone.links == (ORIGIN,)


def test_the_redis_in_the_lowest_slot_serves(layout):
    specs = layout().containers("w2", [(5, "Redis"), (2, "Redis"), (0, "MMS")])
    assert [(one.slot, [link.slot for link in one.links]) for one in specs] == [
        (0, [2, None]),
        (2, []),
        (5, []),
    ]
    assert specs[1].ports == (8080, 6379)
    assert specs[0].ports == (8080,)


def test_settings_give_limits_and_ports(layout):
    (one,) = layout(cpus=1.5, memory_mb=100, first_port=9001).containers("w1", [(3, "MMS")])
    assert (one.cpus, one.memory_mb, one.published) == (1.5, 100, 9004)


def test_only_what_is_deployed_runs_its_health_check(layout):
    checks = {
        purpose: layout().colocation("w1", [1, 0, 0], "s", purpose)[0].health_check
        for purpose in ("measured", "deployed")
    }
    assert checks == {"measured": False, "deployed": True}


def test_a_cache_is_of_its_node_and_the_origin_of_the_cluster(layout):
    ours = layout(cache_mb=80)
    cache = ours.support("memcached", "w1")
    assert (cache.node_name, cache.shared, cache.memory_mb) == ("w1", False, 80 + 10 + 64)
    assert cache.env == {"METIS_CACHE_MB": "80"}
    origin = ours.support("origin")
    assert (origin.node_name, origin.shared, origin.memory_mb) == ("m", True, None)
    assert ours.needed() == ("memcached", "origin")


def test_a_placement_needs_the_support_that_its_containers_link_to(layout):
    whole = layout().cluster(np.array([[1, 1, 0], [0, 0, 2]]))
    assert whole.apps == ("Redis", "MMS", "YCSB-A")
    assert [(one.app, one.node_name) for one in whole.containers] == [
        ("Redis", "w1"),
        ("MMS", "w1"),
        ("YCSB-A", "w2"),
        ("YCSB-A", "w2"),
    ]
    assert [(one.app, one.node_name) for one in whole.support] == [("memcached", "w2"), ("origin", "m")]
    assert layout().cluster(np.array([[1, 0, 0], [0, 0, 0]])).support == ()


@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=2, max_size=2).map(np.array))
def test_a_placement_becomes_as_many_specs_and_no_port_is_taken_twice(placement):
    nodes = (Node("a", "a"), Node("b", "b"))
    made = Layout(nodes, WORKLOADS, {one.app: one.tag for one in IMAGES}, LaunchSettings())
    specs = made.cluster(placement).containers
    counts = [[sum(one.app == w.name and one.node == n for one in specs) for w in WORKLOADS] for n in nodes]
    assert counts == placement.tolist()
    assert len({(one.node_name, one.published) for one in specs}) == len(specs)
    for one in specs:  # a link to a neighbour leads to a Redis that is there
        for link in one.links:
            if link.slot is not None:
                assert (link.app, link.node, link.slot) in {(o.app, o.node_name, o.slot) for o in specs}


@pytest.mark.parametrize("counts", [[1, 2], [1, -1, 0], [0.5, 0, 0]])
def test_counts_that_are_none_are_refused(layout, counts):
    with pytest.raises(InputError, match=r"w1: counts .*: give a count for each of Redis, MMS, YCSB-A"):
        layout().colocation("w1", counts)


def test_unknown_nodes_applications_and_images_are_refused(layout):
    for name in ("m", "w9"):  # a manager runs no containers
        with pytest.raises(InputError, match=rf"no node '{name}' for containers; use w1, w2"):
            layout().colocation(name, [1, 0, 0])
    with pytest.raises(InputError, match="there is no application 'ISR'"):
        layout().containers("w1", [(0, "ISR")])
    with pytest.raises(InputError, match="a slot is given twice"):
        layout().containers("w1", [(0, "MMS"), (0, "Redis")])
    with pytest.raises(InputError, match="there is no image of origin; run the stage build"):
        layout(images=IMAGES[:-1]).support("origin")
    with pytest.raises(InputError, match="a row for each of 2 nodes"):
        layout().cluster(np.zeros((3, 3), dtype=int))


def test_names_are_those_of_dns_and_two_may_not_become_one():
    assert dns_name("YCSB-A", "Worker.3", 0) == "ycsb-a-worker-3-0"
    assert dns_name("origin", None) == "origin"
    for odd in ("ü", "b" * 80):
        with pytest.raises(InputError, match="1 to 63"):
            dns_name(odd)
    with pytest.raises(InputError, match=r"nodes 'a\.b' and 'a-b' would both be called 'a-b'"):
        refuse_alike("node", ["a.b", "a-b"])


class Started(SwarmBackend):
    """A backend that notes what it would start."""

    def __init__(self, layout):
        self.layout, self.started = layout, []

    def start(self, specs):
        self.started += specs
        return [container_of(one) for one in specs]

    def stop(self, containers):
        self.started = []


def test_what_is_loaded_by_itself_has_no_neighbour_in_its_environment(layout):
    backend = Started(layout())
    with backend.paired("w1", [1, 2, 1], 1, "s") as (containers, alone):
        # MMS would read from the Redis beside it: one without is started besides; the others are as if alone
        assert [one.slot for one in containers] == [0, 1, 2, 3]
        assert {app: one.slot for app, one in alone.items()} == {"Redis": 0, "MMS": 4, "YCSB-A": 3}
        assert backend.started[4].links == (ORIGIN,)
    assert not backend.started
    with backend.paired("w1", [1, 2, 1], 0, "s") as (containers, alone):
        assert len(backend.started) == len(containers) == 4
        assert alone == {}
