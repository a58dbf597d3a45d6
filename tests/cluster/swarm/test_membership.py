"""Hosts in a Swarm by the name of their cluster: what one name never does to another, or to strangers."""

import pytest

from cluster.provision.inventory import Host, Inventory
from cluster.swarm.departure import departure, leave
from cluster.swarm.membership import JOINED, LABEL, host_states, prepare
from metis.errors import InputError
from tests.cluster.swarm.played import Played

HOSTS = (
    Host("m", "manager", "10.0.0.1"),
    Host("w1", "worker", "10.0.0.2"),
    Host("w2", "worker", "10.0.0.3"),
)


@pytest.fixture
def swarm():
    """Three machines in no Swarm."""
    return Played(Inventory("hosts", "alpha", HOSTS, "known"))


@pytest.fixture
def theirs(swarm):
    """A Swarm of the operator's: manager and first worker were nodes before, and run a service."""
    swarm.join(HOSTS[0])
    swarm.join(HOSTS[1])
    swarm.serve("web", "w1")
    return swarm


def test_nodes_carry_the_name_of_the_cluster_that_joined_them(theirs):
    prepare(theirs)
    assert [theirs.labels(host.name)[LABEL] for host in HOSTS] == ["alpha"] * 3
    assert [theirs.labels(host.name).get(JOINED) for host in HOSTS] == [None, None, "alpha"]


def test_a_second_name_on_the_same_swarm_is_refused_and_changes_nothing(swarm):
    prepare(swarm)
    before = {host.name: dict(swarm.labels(host.name)) for host in HOSTS}
    third = Host("w3", "worker", "10.0.0.4")
    with pytest.raises(InputError, match=r"cluster.name 'ops': node m of this Swarm belongs to .* 'alpha'"):
        prepare(swarm.named("ops", (*HOSTS, third)))
    assert {host.name: dict(swarm.labels(host.name)) for host in HOSTS} == before
    assert "w3" not in swarm.member


def test_another_name_takes_out_nothing_of_a_swarm_that_it_did_not_join(swarm):
    """The same hosts by another name: nodes, services and labels of the first are left as they are."""
    prepare(swarm)
    swarm.serve("metis-deploy-w1-0", "w1", **{LABEL: "alpha"})
    swarm.serve("stranger", "w2")
    other = swarm.named("ops")
    found = departure(other)
    assert found.changes == ()
    leave(other, force=True)
    assert (swarm.left, len(swarm.services)) == ([], 2)
    assert {swarm.labels(host.name)[LABEL] for host in HOSTS} == {"alpha"}


def test_a_departure_is_shown_before_it_is_made(swarm):
    prepare(swarm)
    swarm.serve("metis-deploy-w1-0", "w1", **{LABEL: "alpha"})
    swarm.networks.append(("metis", {LABEL: "alpha"}))
    found = departure(swarm)
    assert found.changes == (
        "service metis-deploy-w1-0 is removed",
        "network metis is removed",
        "w1 leaves the Swarm",
        "w2 leaves the Swarm",
        "m leaves the Swarm, which ends with it",
    )
    assert (len(swarm.services), swarm.left) == (1, [])
    leave(swarm)
    assert (swarm.services, swarm.networks, swarm.left) == ([], [], ["w1", "w2", "m"])
    assert departure(swarm).changes == ()


def test_a_host_on_which_tasks_of_others_run_is_taken_out_only_by_force(swarm):
    prepare(swarm)
    swarm.serve("metis-deploy-w1-0", "w1", **{LABEL: "alpha"})
    swarm.serve("shop", "w2")
    assert departure(swarm).others == ("service shop runs on w2",)
    with pytest.raises(InputError, match=r"service shop runs on w2: not of this cluster.*force=true"):
        leave(swarm)
    assert (swarm.left, len(swarm.services)) == ([], 2)
    leave(swarm, force=True)
    assert swarm.left == ["w1", "w2", "m"]
    assert [one["Spec"]["Name"] for one in swarm.services] == ["shop"]


def test_a_swarm_that_was_there_before_is_never_left(theirs):
    prepare(theirs)
    found = departure(theirs)
    assert found.changes == ("w2 leaves the Swarm",)
    assert found.others == ()  # what runs on nodes that stay is not touched
    assert found.stays == ("m: the Swarm was there before, or has nodes of others; it stays",)
    leave(theirs, force=True)
    assert theirs.left == ["w2"]
    assert set(theirs.nodes) == {"id-m", "id-w1"}
    assert [dict(theirs.labels(name)) for name in ("m", "w1")] == [{}, {}]
    assert len(theirs.services) == 1


def test_a_swarm_that_we_made_stays_where_others_joined_it_since(swarm):
    prepare(swarm)
    swarm.join(Host("x", "worker", "10.0.0.9"))
    leave(swarm)
    assert swarm.left == ["w1", "w2"]
    assert "id-x" in swarm.nodes


def test_nodes_joined_by_an_earlier_version_leave_under_their_name_alone(swarm):
    for host in HOSTS:
        swarm.join(host, **{LABEL: "alpha", JOINED: "true"})
    leave(swarm.named("ops"))
    assert swarm.left == []
    leave(swarm)
    assert swarm.left == ["w1", "w2", "m"]


def test_drained_and_paused_nodes_are_seen(swarm):
    prepare(swarm)
    swarm.nodes["id-w1"]["Spec"]["Availability"] = "drain"
    swarm.nodes["id-w2"]["Spec"]["Availability"] = "pause"
    assert {name: one.state for name, one in host_states(swarm).items()} == {
        "m": "ready",
        "w1": "drained",
        "w2": "paused",
    }
    said = []
    prepare(swarm, said.append)
    assert [line.split(",")[0] for line in said] == ["w1: is drained", "w2: is paused"]
    assert "docker node update --availability active w1" in said[0]


def test_a_worker_is_not_outside_because_its_manager_is_silent(swarm):
    prepare(swarm)
    swarm.silent.add("m")
    found = host_states(swarm)
    assert found["m"].state == "not reached"
    assert (found["w1"].state, found["w1"].why) == ("in a Swarm", "its manager is not reached")
