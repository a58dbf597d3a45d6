"""What others run on the nodes, and which ports are held: read of what hosts print, and by node."""

import pytest

from cluster.backend import Occupancy, Tenant
from cluster.provision.inventory import Inventory
from cluster.swarm.membership import LABEL, prepare
from cluster.swarm.occupancy import look, read
from tests.cluster.swarm.played import Played
from tests.cluster.swarm.test_membership import HOSTS

PRINTED = """/metis-deploy-w1-0.1.abc|metis-deploy-w1-0|alpha|134217728|500000000|8081 8081
/web.1.xyz|web||4294967296|2000000000|8090
/agent.id.q|agent||0|0|
/lonely|<no value>|<no value>|268435456|0|
-- ports
LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=7,fd=3))
LISTEN 0      5            0.0.0.0:8082       0.0.0.0:*    users:(("python3",pid=4711,fd=3))
LISTEN 0      4096         0.0.0.0:8081       0.0.0.0:*    users:(("docker-proxy",pid=9,fd=4))
LISTEN 0      4096            [::]:8090          [::]:*    users:(("docker-proxy",pid=10,fd=4))
LISTEN 0      4096               *:9000             *:*
"""


@pytest.fixture
def swarm():
    made = Played(Inventory("hosts", "alpha", HOSTS, "known"))
    prepare(made)
    return made


def test_tenants_and_ports_are_read_of_what_a_host_prints():
    tenants, ports = read(PRINTED, "alpha", {"agent"})
    assert tenants == (
        Tenant("web", 2.0, 4096),
        Tenant("agent", everywhere=True),
        Tenant("lonely", 0.0, 256),
    )
    assert ports == {
        22: "sshd (process 7)",
        8081: "metis-deploy-w1-0",
        8082: "python3 (process 4711)",
        8090: "web",
        9000: "a process",
    }


def test_tenants_take_slots_by_their_limits_and_one_without_takes_one():
    def taken(*tenants):
        return Occupancy(tenants=tenants).slots(cpus=2.0, memory_mb=1000)

    assert taken() == 0
    assert taken(Tenant("a", 2.0, 100)) == 1
    assert taken(Tenant("a", 0.5, 100), Tenant("b", 0.5, 100)) == 1  # together less than one container
    assert taken(Tenant("a", 0.5, 2001)) == 3
    assert taken(Tenant("a", 4.0), Tenant("unlimited")) == 3
    assert taken(Tenant("agent", 4.0, 4000, everywhere=True)) == 0


def test_nodes_say_whether_they_take_containers_and_what_is_on_them(swarm):
    swarm.on_host["w1"] = PRINTED
    swarm.serve("agent", "w1", mode="Global")
    swarm.serve("front", "w2")
    swarm.services[-1]["Endpoint"] = {"Ports": [{"PublishedPort": 8084, "PublishMode": "ingress"}]}
    found = look(swarm)
    assert [one.name for one in found["w1"].counted] == ["web", "lonely"]
    # a port of the routing mesh is held on every node
    assert (found["w1"].ports[8084], found["w2"].ports[8084]) == ("front", "front")
    swarm.nodes["id-w1"]["Spec"]["Availability"] = "drain"
    swarm.nodes["id-w2"]["Status"]["State"] = "down"
    assert {name: one.state for name, one in look(swarm).items()} == {"w1": "drained", "w2": "down"}


def test_a_host_that_does_not_respond_is_closed_and_says_why(swarm):
    swarm.silent.add("w2")
    assert look(swarm)["w2"].state == "w2: does not respond"
    assert look(swarm)["w1"].state == "ready"


def test_what_this_cluster_runs_is_no_tenant(swarm):
    swarm.serve("metis-deploy-w1-0", "w1", **{LABEL: "alpha"})
    swarm.on_host["w1"] = "/x|metis-deploy-w1-0|alpha|0|0|8081 \n-- ports\n"
    assert look(swarm)["w1"].tenants == ()
