"""The network of a cluster: made once, and one of others is neither joined nor removed."""

import pytest

from cluster.provision.inventory import Inventory
from cluster.swarm.membership import prepare
from cluster.swarm.support import Support
from metis.errors import SurroundingsError
from tests.cluster.swarm.played import Played
from tests.cluster.swarm.test_membership import HOSTS


@pytest.fixture
def swarm():
    made = Played(Inventory("hosts", "alpha", HOSTS, "known"))
    prepare(made)
    return made


def support(swarm, layout):
    made = layout()
    return Support(swarm, type(made)(made.nodes, made.workloads[:1], made.images, made.settings))


def test_the_network_is_made_once_and_removed_again(swarm, layout):
    assert support(swarm, layout).ensure(["w1"]) == ["network metis"]
    assert support(swarm, layout).ensure(["w1"]) == []
    support(swarm, layout).remove_network()
    assert swarm.networks == []
    support(swarm, layout).remove_network()  # there is none


def test_a_network_of_others_by_that_name_is_refused_and_left_alone(swarm, layout):
    swarm.networks.append(("metis", {"owner": "ops"}))
    with pytest.raises(SurroundingsError, match=r"a network 'metis' .* that this cluster did not make"):
        support(swarm, layout).ensure(["w1"])
    support(swarm, layout).remove_network()
    assert swarm.networks == [("metis", {"owner": "ops"})]
