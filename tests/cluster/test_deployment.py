"""Plans of a deployment: what may stay stays, no node is ever overfull, and a failure says what stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.backend import Occupancy, Tenant
from cluster.deployment import aligned, carry_out, moved, obstacles, placement_of, plan, plan_back, too_many
from cluster.images.catalog import Workload
from cluster.settings import LaunchSettings
from cluster.spec import Container, ContainerSpec, Held, Layout, Node
from metis.errors import InputError, SurroundingsError

APPS = ("Redis", "MMS", "Checksum")
NODES = ("worker-1", "worker-2", "worker-3")
SLOTS = 3
WORKLOADS = (
    Workload("Redis", Path(), provides=("redis",)),
    Workload("MMS", Path(), needs=("redis",)),
    Workload("Checksum", Path()),
)


@dataclass
class Cluster:
    """A backend in memory, which refuses a slot taken twice and counts what was ever started."""

    nodes: Sequence[str] = NODES
    images: dict[str, str] = field(default_factory=lambda: dict.fromkeys(APPS, "1"))
    up: dict[str, Container] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    refuses: str = ""  # node where nothing can be started

    @property
    def inventory(self):
        return SimpleNamespace(workers=[SimpleNamespace(name=name, slots=None) for name in self.nodes])

    def specs(self, node: str, held: Held, session: str, purpose: str) -> list[ContainerSpec]:
        layout = Layout(
            tuple(Node(name, name, "10.0.0.1") for name in NODES), WORKLOADS, self.images, LaunchSettings()
        )
        return layout.containers(node, held, session, purpose)

    def signature(self, spec: ContainerSpec) -> str:
        return f"{spec.image}/{spec.links}"

    def container(self, spec: ContainerSpec) -> Container:
        name = f"metis-{spec.session}-{spec.node_name}-{spec.slot}"
        where = (spec.app, spec.node_name, spec.slot)
        return Container(*where, name, spec.published, "10.0.0.1", self.signature(spec))

    def standing(self, session: str = "deploy") -> list[Container]:
        return list(self.up.values())

    def start(self, specs: Sequence[ContainerSpec]) -> list[Container]:
        for spec in specs:
            assert (spec.purpose, spec.session) == ("deployed", "deploy")
            one = self.container(spec)
            if one.node == self.refuses:
                raise SurroundingsError(f"{one.app} on {one.node} does not respond")
            assert one.name not in self.up, "two containers in one slot"
            assert 0 <= one.slot < SLOTS
            self.up[one.name] = one
            self.started.append(one.name)
        return [self.container(spec) for spec in specs]

    def stop(self, containers: Sequence[Container]) -> None:
        for one in containers:
            del self.up[one.name]


def planned(cluster: Cluster, placement: np.ndarray):
    return plan(cluster, "deploy", cluster.standing(), placement, APPS, SLOTS)


def deploy(cluster: Cluster, placement: np.ndarray, at_once: int = 1) -> None:
    carry_out(cluster, planned(cluster, placement), at_once)


def names(containers: Sequence[Container]) -> list[tuple[int, str]]:
    return [(one.slot, one.app) for one in containers]


placements = st.lists(
    st.lists(st.integers(0, SLOTS), min_size=3, max_size=3).filter(lambda row: sum(row) <= SLOTS),
    min_size=1,
    max_size=3,
).map(np.array)


def test_on_an_empty_cluster_everything_is_started():
    changes = planned(Cluster(), np.array([[1, 1, 0], [0, 0, 2]]))
    assert [change.node for change in changes] == list(NODES)
    assert [names(change.start) for change in changes] == [
        [(0, "Redis"), (1, "MMS")],
        [(0, "Checksum"), (1, "Checksum")],
        [],
    ]
    assert changes[2].nothing


def test_what_may_stay_is_not_touched():
    cluster = Cluster()
    deploy(cluster, np.array([[1, 1, 1]]))
    (change, *_) = planned(cluster, np.array([[1, 0, 2]]))
    assert names(change.keep) == [(0, "Redis"), (2, "Checksum")]
    assert names(change.stop) == [(1, "MMS")]
    assert names(change.start) == [(1, "Checksum")]
    assert not change.again


@given(before=placements, between=placements)
def test_what_ran_before_runs_again_in_its_slots(before, between):
    cluster = Cluster()
    deploy(cluster, before)
    stood = dict(cluster.up)
    held = {}
    for one in stood.values():
        held.setdefault(one.node, {})[one.slot] = one.app
    deploy(cluster, between)
    carry_out(cluster, plan_back(cluster, "deploy", cluster.standing(), held), 1)
    assert cluster.up == stood
    assert all(change.nothing for change in plan_back(cluster, "deploy", cluster.standing(), held))


def test_a_container_whose_redis_goes_is_started_anew_in_its_slot():
    cluster = Cluster()
    deploy(cluster, np.array([[1, 1, 0]]))
    (change, *_) = planned(cluster, np.array([[0, 1, 1]]))
    assert names(change.stop) == [(0, "Redis"), (1, "MMS")]
    assert names(change.start) == [(0, "Checksum"), (1, "MMS")]
    assert names(change.again) == [(1, "MMS")]


def test_of_several_redis_the_one_that_others_read_from_stays():
    cluster = Cluster()
    deploy(cluster, np.array([[2, 1, 0]]))
    (change, *_) = planned(cluster, np.array([[1, 1, 0]]))
    assert names(change.keep) == [(0, "Redis"), (2, "MMS")]
    assert names(change.stop) == [(1, "Redis")]


def test_a_newer_image_restarts_its_containers_alone():
    cluster = Cluster()
    placement = np.array([[1, 1, 0], [0, 1, 1]])
    deploy(cluster, placement)
    cluster.images["MMS"] = "2"
    changes = planned(cluster, placement)
    assert [names(change.again) for change in changes] == [[(1, "MMS")], [(0, "MMS")], []]
    assert [names(change.keep) for change in changes] == [[(0, "Redis")], [(1, "Checksum")], []]


def test_nodes_that_are_gone_are_cleared_first():
    cluster = Cluster()
    deploy(cluster, np.array([[1, 0, 0], [0, 1, 0]]))
    cluster.nodes = ["worker-1"]
    changes = planned(cluster, np.array([[1, 0, 0]]))
    assert [(change.node, names(change.stop)) for change in changes] == [
        ("worker-2", [(0, "MMS")]),
        ("worker-1", []),
    ]


@pytest.mark.parametrize(
    ("placement", "says"),
    [
        ([[2, 2, 0]], "worker-1 would hold 4"),
        ([[1, 0, 0]] * 4, "3 nodes"),
        ([[1, 0]], "3 applications"),
    ],
)
def test_what_the_nodes_cannot_hold_is_refused(placement, says):
    with pytest.raises(InputError, match=says):
        planned(Cluster(), np.array(placement))


@given(first=placements, second=placements, at_once=st.integers(1, 3))
def test_carrying_out_a_plan_yields_the_placement_and_restarts_nothing_that_may_stay(first, second, at_once):
    cluster = Cluster()
    deploy(cluster, first, at_once)
    assert placement_of(cluster.standing("deploy"), NODES, APPS)[: len(first)].tolist() == first.tolist()
    changes = planned(cluster, second)
    cluster.started.clear()
    carry_out(cluster, changes, at_once)  # the cluster itself refuses a slot taken twice
    stands = placement_of(cluster.standing("deploy"), NODES, APPS)
    assert stands[: len(second)].tolist() == second.tolist()
    assert not stands[len(second) :].any()
    kept = {one.name for change in changes for one in change.keep}
    assert kept.isdisjoint(cluster.started)
    assert all(change.nothing for change in planned(cluster, second))
    # what stands is what would be started: same slots, images and neighbours
    for node in NODES:
        held = sorted((one.slot, one.app) for one in cluster.standing("deploy") if one.node == node)
        here = sorted(cluster.standing("deploy"), key=lambda one: one.slot)
        fresh = [cluster.container(spec) for spec in cluster.specs(node, held, "deploy", "deployed")]
        assert [one for one in here if one.node == node] == fresh


def test_nodes_change_a_few_at_a_time_and_say_so():
    cluster, reports = Cluster(), []
    changes = planned(cluster, np.array([[1, 0, 0]] * 3))
    carry_out(cluster, changes, 2, lambda *reported: reports.append(reported))
    assert reports == [(0, 3, "worker-1, worker-2"), (2, 3, "worker-3"), (3, 3, "")]


def test_a_failure_midway_says_what_stands_and_the_next_run_goes_on():
    cluster = Cluster(refuses="worker-2")
    placement = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(
        SurroundingsError, match="MMS on worker-2 does not respond; worker-2 stands half"
    ) as e:
        deploy(cluster, placement)
    assert "1 of 3 nodes are as planned, 1 still as before" in str(e.value)
    cluster.refuses = ""
    cluster.started.clear()
    deploy(cluster, placement)
    assert cluster.started == ["metis-deploy-worker-2-0", "metis-deploy-worker-3-0"]
    assert placement_of(cluster.standing("deploy"), NODES, APPS).tolist() == placement.tolist()


def test_what_would_fail_midway_is_known_before_anything_changes():
    cluster = Cluster()
    deploy(cluster, np.array([[1, 0, 0]]))
    changes = planned(cluster, np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]]))

    def against(**occupied):
        by_node = {name.replace("_", "-"): known for name, known in occupied.items()}
        return obstacles(changes, by_node, SLOTS, 1.0, 100)

    assert against() == []
    own = Occupancy(ports={8081: "metis-deploy-worker-1-0", 22: "sshd"})  # its own container holds it
    assert against(worker_1=own) == []
    assert against(worker_1=Occupancy(ports={8082: "python3 (process 4)"})) == [
        "worker-1: port 8082, of MMS in slot 1, is held by python3 (process 4); launch.first_port=N chooses "
        "other ports"
    ]
    assert against(worker_2=Occupancy("drained")) == [
        "worker-2: drained, and 1 containers are to start there"
    ]
    assert against(worker_1=Occupancy(tenants=(Tenant("web", 1.0, 100),))) == []
    assert against(worker_1=Occupancy(tenants=(Tenant("web", 2.0, 100),))) == [
        "worker-1: is to hold 2 containers, and others (web) take 2 of its 3 slots"
    ]


def test_an_interrupt_says_what_stands_and_goes_on():
    class Interrupted(Cluster):
        def start(self, specs):
            if specs[0].node_name == "worker-2":
                raise KeyboardInterrupt
            return super().start(specs)

    said = []
    cluster = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        carry_out(cluster, planned(cluster, np.array([[1, 0, 0]] * 3)), 1, interrupted=said.append)
    assert said == ["worker-2 stands half changed, 1 of 3 nodes are as planned, 1 still as before"]


def test_rows_go_where_most_can_stay():
    running = np.array([[2, 0, 0], [0, 2, 0], [0, 0, 2]])
    wanted = np.array([[0, 0, 2], [2, 0, 0], [0, 1, 0]])
    assert aligned(wanted, running).tolist() == [[2, 0, 0], [0, 1, 0], [0, 0, 2]]
    assert moved(aligned(wanted, running), running) == 0
    assert moved(wanted, running) == 5


@given(st.permutations(range(3)), placements.filter(lambda rows: len(rows) == 3))
def test_the_same_co_locations_in_another_order_move_nothing(order, running):
    assert moved(aligned(running[list(order)], running), running) == 0
    assert aligned(running, running).tolist() == running.tolist()


def test_containers_of_others_are_not_counted():
    cluster = Cluster()
    specs = cluster.specs("worker-1", [(0, "Redis"), (1, "MMS")], "deploy", "deployed")
    here = [cluster.container(spec) for spec in specs]
    elsewhere = replace(here[0], node="worker-9")
    assert placement_of([*here, elsewhere], NODES, ["MMS"]).tolist() == [[1], [0], [0]]


def test_nodes_with_fewer_slots_are_named_before_anything_changes():
    backend = Cluster()
    changes = plan(backend, "deploy", [], np.array([[1, 0, 1], [0, 0, 2], [0, 0, 0]]), APPS, SLOTS)
    slots = {"worker-1": 1, "worker-2": 2, "worker-3": 1}
    assert too_many(changes, slots) == ["worker-1: is to hold 2 containers, and has 1 slot"]
    assert too_many(changes, dict.fromkeys(NODES, 3)) == []
