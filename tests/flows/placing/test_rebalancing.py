"""Plans of moves from settings: what runs on stated nodes, by name, and what arrives with the moves."""

from dataclasses import replace

import numpy as np
import pytest

from flows.configuration.compose import compose_plain
from flows.configuration.objects import make_cluster, make_testbed
from flows.configuration.settings import validated
from flows.placing.rebalancing import propose
from metis.errors import InputError

NODES = "node,type,slots,cpu\nn1,small,2,2\nn2,small,2,2\nn3,large,4,8\n"
APPS = "app,count,cpu\nRedis,1,1\nMMS,2,1\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nodes.csv").write_text(NODES)
    (tmp_path / "apps.csv").write_text(APPS)
    (tmp_path / "existing.csv").write_text("node,app,count\nn1,Redis,1\nn1,MMS,1\n")
    return tmp_path


def chosen(folder, *words):
    settings = validated(compose_plain([f"problem={folder}", "moves=1", *words]))
    return replace(settings, cluster=replace(settings.cluster, nodes=3))


def test_what_a_folder_asks_for_beyond_what_runs_arrives(folder):
    settings = chosen(folder)
    made = propose(settings, make_testbed(settings).truth(), arrives=False)
    plan = made.found.plans[0]
    assert made.found.nodes == ("n1", "n2", "n3")
    assert plan.placement.sum() == 2 + 3
    assert plan.moves <= 1
    used = plan.placement @ made.found.cluster.stated.requests
    assert (used <= made.found.cluster.stated.capacity).all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", "node,app,count\nn3,MMS,2\nn2,Redis,1\n"),
        ("wide.csv", "node,Redis,MMS\nn3,0,2\nn1,0,0\nn2,1,0\n"),
    ],
)
def test_what_runs_is_read_by_the_names_of_nodes(folder, name, text):
    (folder / name).write_text(text)
    settings = chosen(folder, f"existing={folder / name}")
    existing = make_cluster(settings, make_testbed(settings).space).existing
    assert existing[:, :2].tolist() == [[0, 0], [1, 0], [0, 2]]
    assert not np.any(existing[:, 2:])


def test_a_node_that_is_not_stated_is_named(folder):
    (folder / "wide.csv").write_text("node,Redis\nn4,1\n")
    settings = chosen(folder, f"existing={folder / 'wide.csv'}")
    with pytest.raises(InputError, match="no node 'n4' is stated"):
        make_cluster(settings, make_testbed(settings).space)
