"""`existing=live`: what stands on a live cluster as a file of a placement."""

from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cluster.spec import Container
from flows.live import running
from flows.live.running import with_live
from metis.errors import InputError, SurroundingsError
from metis.problem.placement_files import named_nodes, read_placement
from metis.problem.space import ColocationSpace
from tests.flows.conftest import settings_of

NODES = ("w1", "w2", "w3")
SLOTS: dict[str, int] = {}  # of those that have another number than the others


@pytest.fixture
def stands(tmp_path, monkeypatch):
    """Put these (application, node) on a cluster that is set up; return its settings."""

    def put(*held):
        (tmp_path / "inventory.json").write_text("{}")
        workers = [SimpleNamespace(name=name, slots=SLOTS.get(name)) for name in NODES]
        found = [Container(app, node, i, f"c{i}", 8081, "127.0.0.1") for i, (app, node) in enumerate(held)]
        asked = []

        def standing(session):
            asked.append(session)
            return found

        @contextmanager
        def opened(settings, inventory, doing):
            assert doing == ""  # only to look: others are not kept out
            yield SimpleNamespace(inventory=SimpleNamespace(workers=workers), standing=standing)

        monkeypatch.setattr(running, "opened", opened)
        monkeypatch.setattr("cluster.provision.inventory.Inventory.load", lambda path: path)
        words = ["cluster=lab", f"cluster.state={tmp_path}", "apps.names=[Redis,MMS]", "existing=live"]
        return settings_of(*words, "deploy.session=two"), asked

    return put


def test_what_stands_becomes_a_file_and_its_nodes_are_counted(stands):
    settings, asked = stands(("Redis", "w1"), ("Redis", "w1"), ("MMS", "w3"), ("MMS", "gone"))
    found = with_live(settings)
    space = ColocationSpace(("Redis", "MMS"), 2)
    path = running.cluster_state(settings) / running.FILE
    assert found.existing == str(path)
    assert found.cluster.nodes == 3
    assert read_placement(path, space).tolist() == [[2, 0], [0, 0], [0, 1]]
    assert named_nodes(path, space.apps) == NODES
    assert asked == ["two"]


def test_where_nothing_stands_that_is_said(stands):
    settings, _ = stands()
    with pytest.raises(InputError, match="existing=live: nothing of two runs on w1, w2, w3"):
        with_live(settings)


def test_without_a_live_cluster_it_is_refused(tmp_path):
    with pytest.raises(InputError, match="cluster=local has no hosts"):
        with_live(settings_of("existing=live"))
    with pytest.raises(SurroundingsError, match="is not set up"):
        with_live(settings_of("existing=live", "cluster=lab", f"cluster.state={tmp_path}"))
    assert with_live(settings_of("existing=plan.csv")).existing == "plan.csv"


def test_hosts_that_differ_need_types_that_say_so(stands, monkeypatch):
    monkeypatch.setitem(SLOTS, "w2", 1)
    settings, _ = stands(("Redis", "w1"))
    with pytest.raises(InputError, match="w2: has slots: 1 in the inventory, not 2; nodes that differ need"):
        with_live(settings)


def test_a_problem_folder_says_which_nodes_there_are(stands):
    settings, _ = stands(("Redis", "w1"))
    found = with_live(replace(settings, problem="folder", cluster=replace(settings.cluster, nodes=2)))
    assert found.cluster.nodes == 2
