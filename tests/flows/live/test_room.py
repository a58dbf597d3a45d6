"""The room for a placement on a live cluster: what others take, nodes that are closed, and who is named."""

import numpy as np
import pytest

from cluster.backend import Occupancy, Tenant
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LaunchSettings
from flows.live.preflight import findings, refuse_held_ports
from flows.live.room import Room, open_part, room_of, stand_in
from metis.errors import InputError, SurroundingsError
from metis.problem.cluster import Cluster
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from tests.flows.conftest import settings_of

SPACE = ColocationSpace(("A", "B"), 3)
LAUNCH = LaunchSettings(cpus=1.0, memory_mb=100, first_port=8081)


@pytest.fixture
def tables():
    """Every container of B takes a third from each neighbour, one of A a tenth."""
    others_a, others_b = SPACE.counts[:, 0], SPACE.counts[:, 1]
    share = 0.9**others_a * 0.67**others_b
    return Tables(SPACE, {"rps": np.where(SPACE.counts > 0, share[:, None], 0.0)})


def room(taken, closed=()):
    names = tuple(f"w{i + 1}" for i in range(len(taken)))
    return Room(names, np.array(taken), dict(closed), ("w1: why",))


def test_nodes_without_tenants_are_left_as_they_are(tables):
    cluster = Cluster(SPACE, 3, np.array([[1, 0], [0, 0], [0, 3]]))
    part = open_part(cluster, room([0, 0, 0]), tables)
    assert part.rows.tolist() == [0, 1, 2]
    assert part.cluster.existing.tolist() == cluster.existing.tolist()


def test_what_others_take_is_load_in_place_of_the_worst_neighbour_known(tables):
    part = open_part(Cluster(SPACE, 2), room([2, 0]), tables)
    assert stand_in(tables, part.cluster.allowed, [2]) == 1
    assert part.cluster.existing.tolist() == [[0, 2], [0, 0]]
    assert part.cluster.free_slots == 4


def test_a_stand_in_that_rules_forbid_gives_way_to_one_that_they_admit(tables):
    allowed = SPACE.counts[:, 1] < 2
    assert stand_in(tables, allowed, [2]) == 0
    assert stand_in(tables, allowed, [1]) == 1


def test_full_and_closed_nodes_get_nothing(tables):
    closed = {"w2": "drained"}
    cluster = Cluster(SPACE, 4, np.array([[0, 0], [0, 0], [1, 0], [1, 0]]))
    part = open_part(cluster, room([3, 0, 2, 1], closed), tables)
    assert part.rows.tolist() == [3]
    assert part.whole(np.array([[1, 0]]), 4).tolist() == [[0, 0], [0, 0], [0, 0], [1, 0]]


def test_where_no_node_has_room_it_says_why(tables):
    with pytest.raises(InputError, match="no node takes containers: w1: why"):
        open_part(Cluster(SPACE, 1), room([3]), tables)


def test_without_hosts_all_is_free_and_nodes_are_numbered():
    found = room_of(settings_of("cluster.nodes=3"))
    assert (found.nodes, found.taken.tolist(), found.notes) == (("node-1", "node-2", "node-3"), [0] * 3, ())


OCCUPIED = {
    "w1": Occupancy("ready", (Tenant("web", 1.0, 50),), {8082: "python3 (process 4)", 22: "sshd"}),
    "w2": Occupancy("drained"),
    "w3": Occupancy(ports={8081: "metis-deploy-w3-0"}),
}


def test_a_look_before_use_names_ports_tenants_and_closed_nodes():
    found = findings(OCCUPIED, 3, LAUNCH, own={"metis-deploy-w3-0"})
    assert found == [
        "w1: others run web (1 cores, 50 MB); that counts as 1 of its 3 slots",
        "w1: port 8082, of slot 1, is held by python3 (process 4); end that, or choose other ports by "
        "launch.first_port",
        "w2: drained: nothing is started there",
    ]
    assert findings(OCCUPIED, 1, LAUNCH, own={"metis-deploy-w3-0"})[1:] == found[2:]


def test_a_held_port_refuses_a_measurement_before_anything_is_started():
    refuse_held_ports(OCCUPIED, ["w1"], 1, 8081)
    with pytest.raises(SurroundingsError, match=r"w1: port 8082.*python3.*launch.first_port; nothing was"):
        refuse_held_ports(OCCUPIED, ["w1"], 2, 8081)
    with pytest.raises(SurroundingsError, match=r"w3: port 8081.*metis-deploy-w3-0.*metis undeploy"):
        refuse_held_ports(OCCUPIED, ["w3"], 1, 8081)


def test_nodes_of_several_types_keep_their_own_slots(tables):
    types = (
        NodeTypeSettings("big", nodes=("w1", "w3"), slots=3),
        NodeTypeSettings("small", nodes=("w2",), slots=1),
    )
    stated = state_problem(types, {}, Rules(), SPACE.apps, 3, np.array([1, 1]))
    cluster = Cluster(SPACE, 3, stated=stated)
    found = Room(("w1", "w3", "w2"), np.array([1, 0, 1]), {"w3": "drained"}, ())
    part = open_part(cluster, found, tables)  # the small node is full, another is drained
    assert part.rows.tolist() == [0]
    assert part.cluster.stated.nodes == ("w1",)
    assert part.cluster.slots.tolist() == [3]
    whole = open_part(cluster, Room(("w1", "w3", "w2"), np.zeros(3, dtype=int), {}), tables)
    assert (whole.rows.tolist(), whole.cluster.free_slots) == ([0, 1, 2], 7)


def test_a_live_cluster_of_types_is_placed_by_the_names_of_its_nodes(tmp_path):
    state = tmp_path / "cluster/metis"
    state.mkdir(parents=True)
    workers = (Host("w1", "worker", "127.0.0.1", port=1, slots=1), Host("w2", "worker", "127.0.0.1", port=1))
    inventory = Inventory("lab", "metis", (Host("m", "manager", "127.0.0.1", port=1), *workers), "none")
    inventory.save(state / "inventory.json")
    site = ["cluster=lab", "cluster.slots=3", f"tracking.path={tmp_path}"]
    types = "cluster.types=[{name: big, nodes: [w2], slots: 3}, {name: small, nodes: [w1], slots: 1}]"
    found = room_of(settings_of(*site, types))
    assert found.nodes == ("w2", "w1")  # in the order of the types, as placed
    with pytest.raises(InputError, match="w1: has slots: 1 in the inventory, not 3"):
        room_of(settings_of(*site, "cluster.nodes=2"))
    with pytest.raises(InputError, match=r"cluster\.types\.big: of a live cluster=lab give the names"):
        settings_of(*site, "cluster.types=[{name: big, count: 2, slots: 3}]")
