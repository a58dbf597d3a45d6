"""Deploying, as far as no host is needed: placements by name, plans in words, predicted against measured."""

import json
from dataclasses import dataclass
from types import SimpleNamespace
from uuid import uuid4

import numpy as np
import pytest

from cluster.deployment import plan
from cluster.load.generator import LoadResult
from cluster.spec import Container, ContainerSpec, Node
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.live.deployment import (
    by_name,
    compared,
    comparison_figure,
    plan_lines,
    plan_rows,
    summary,
    undeploy_command,
    whole_placement,
)
from flows.live.session import alone_rps
from flows.placing.given import chosen_placement, given_placement, with_files
from metis.errors import InputError
from metis.files import save_arrays
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("Redis", "MMS", "Checksum"), 2)
NODES = ("worker-1", "worker-2")
ROWS = [[1, 1, 0], [0, 0, 2]]
RUN = "0123456789abcdef" * 2


def colocated(node, held):
    return [
        Container(app, node, slot, f"metis-deploy-{node}-{slot}", 8081 + slot, "10.0.0.1", signature=app)
        for slot, app in held
    ]


@dataclass
class Backend:
    """Specs and signatures without a cluster; an application is its own signature."""

    nodes: tuple[str, ...]

    @property
    def inventory(self):
        return SimpleNamespace(workers=[SimpleNamespace(name=name) for name in self.nodes])

    def specs(self, node, held, session, purpose):
        return [ContainerSpec(app, app, Node(node, node), slot, session=session) for slot, app in held]

    def signature(self, spec):
        return spec.app


def settings(placement, *words):
    return validated(compose_plain(["cluster=lab", f"placement={placement}", *words]))


@pytest.fixture
def files(tmp_path):
    """The same placement as every kind of file."""
    save_arrays(tmp_path / "plan.npz", {"placement": ROWS, "apps": list(SPACE.apps)})
    (tmp_path / "plan.json").write_text(json.dumps({"placement": ROWS, "rps": 1.0}))
    (tmp_path / "plan.csv").write_text("node,Redis,MMS,Checksum\na,1,1,0\nb,0,0,2\n")
    return tmp_path


@pytest.mark.parametrize("name", ["plan.npz", "plan.json", "plan.csv"])
def test_a_placement_is_read_from_a_file(files, name):
    assert given_placement(settings(files / name), SPACE).tolist() == ROWS


@pytest.mark.parametrize("name", ["proposal.npz", "placement.npz", "decisions.npz"])
def test_a_run_of_watch_deploy_or_a_scheduler_holds_its_placement(store, name):
    """Of a scheduler's groups it is the first."""
    many = {"placements": [ROWS, [[0, 0, 1], [0, 0, 0]]]} if name == "decisions.npz" else {"placement": ROWS}
    with store.recording("deploy", "deploy", uuid4().hex, {}, {}, {}) as recording:
        save_arrays(recording.folder / name, {**many, "apps": list(SPACE.apps)})
    named = with_files(settings(recording.run_id), store)
    assert given_placement(named, SPACE).tolist() == ROWS


def test_of_a_scheduler_the_first_group_is_taken(tmp_path):
    other = [[0, 0, 1], [0, 0, 0]]
    save_arrays(tmp_path / "decisions.npz", {"placements": [ROWS, other], "apps": list(SPACE.apps)})
    assert chosen_placement({"baselines/greedy": tmp_path}, "greedy", SPACE).tolist() == ROWS
    with pytest.raises(InputError, match="'metis' placed nothing"):
        chosen_placement({"baselines/greedy": tmp_path}, "metis", SPACE)
    with pytest.raises(InputError, match="places"):
        chosen_placement({"baselines/greedy": tmp_path}, "greedy", ColocationSpace(("web", "MMS", "x"), 2))


def test_what_is_no_placement_is_refused_by_name(files):
    save_arrays(files / "other.npz", {"placement": ROWS, "apps": ["web", "MMS", "Checksum"]})
    save_arrays(files / "wide.npz", {"placement": [[1, 1]]})
    save_arrays(files / "full.npz", {"placement": [[2, 1, 0]]})
    for name, says in (
        ("none.npz", "no such file"),
        ("other.npz", "other.npz: places"),
        ("wide.npz", "wide.npz: placement of shape"),
        ("full.npz", "full.npz: node 0 holds 3 containers and has 2 slots"),
    ):
        with pytest.raises(InputError, match=says):
            given_placement(settings(files / name), SPACE)


def test_a_run_that_there_is_not_or_that_placed_nothing_is_named(store):
    with pytest.raises(InputError, match=RUN):
        with_files(settings(RUN), store)
    with store.recording("profile", "profile", uuid4().hex, {}, {}, {}) as recording:
        recording.folder.joinpath("other.csv").write_text("")
    with pytest.raises(InputError, match=rf"MLflow run {recording.run_id} holds no placement"):
        with_files(settings(recording.run_id), store)


def test_a_plan_in_words():
    before = np.array([[1, 1, 0], [0, 0, 1]])
    standing = [one for node, row in zip(NODES, before, strict=True) for one in colocated(node, held(row))]
    after = np.array([[1, 0, 1], [0, 0, 1]])
    changes = plan(Backend(NODES), "deploy", standing, after, SPACE.apps, 2)
    assert plan_lines(changes) == [
        "  worker-1: stop 1 MMS, start 1 Checksum, keep 1 Redis",
        "  2 containers stay, 1 are stopped, 1 are started",
    ]
    (row,) = plan_rows(changes)
    assert row == {"node": "worker-1", "keep": "1 Redis", "stop": "1 MMS", "start": "1 Checksum", "again": ""}


def held(row):
    apps = [app for app, count in zip(SPACE.apps, row, strict=True) for _ in range(count)]
    return list(enumerate(apps))


def test_a_long_plan_is_cut_for_the_terminal():
    nodes = [f"n{i}" for i in range(50)]
    changes = plan(Backend(nodes), "deploy", [], np.tile([1, 0, 0], (50, 1)), SPACE.apps, 2)
    lines = plan_lines(changes)
    assert "  and 10 nodes more" in lines
    assert lines[-1] == "  0 containers stay, 0 are stopped, 50 are started"


@pytest.fixture
def table():
    """Two nodes: one container reaches what was predicted, one half of it, one was not measured."""
    rps = np.ones((SPACE.size, 3))
    rps[SPACE.index([1, 1, 0])] = [0.8, 2.0, 0.0]
    tables = Tables(SPACE, {"rps": np.where(SPACE.counts > 0, rps, 0.0)})
    containers = [one for node, row in zip(NODES, ROWS, strict=True) for one in colocated(node, held(row))]
    measured = {
        "metis-deploy-worker-1-0": LoadResult(80.0, 0.01, 0.02, 800, 0, 10.0),
        "metis-deploy-worker-1-1": LoadResult(10.0, 0.1, 0.2, 100, 4, 10.0, "status 503"),
        "metis-deploy-worker-2-0": LoadResult(5.0, 0.1, 0.2, 50, 0, 10.0),
        "metis-deploy-worker-2-1": "does not answer",
    }
    running = SimpleNamespace(space=SPACE, nodes=NODES)
    return compared(running, containers, measured, tables, {"Redis": 100.0, "MMS": 10.0, "Checksum": 5.0})


def test_predicted_is_held_against_measured_per_container(table):
    assert table["app"].tolist() == ["Redis", "MMS", "Checksum", "Checksum"]
    assert table["colocation"].tolist() == ["1 Redis + 1 MMS"] * 2 + ["2 Checksum"] * 2
    assert table["predicted"].tolist() == [0.8, 2.0, 1.0, 1.0]
    assert table["measured"].tolist()[:3] == pytest.approx([0.8, 1.0, 1.0])
    assert np.isnan(table["measured"].iloc[3])
    assert table["error"].tolist()[:3] == pytest.approx([0.0, -0.5, 0.0])
    assert table["reason"].tolist() == ["", "status 503", "", "does not answer"]
    numbers = summary(table)
    assert numbers["predicted_rps"] == pytest.approx(1.2)
    assert numbers["measured_rps"] == pytest.approx(2.8 / 3)
    assert numbers["error_mean"] == pytest.approx(0.5 / 3)
    assert numbers["requests_per_second"] == pytest.approx(95.0)


def test_the_figure_has_a_dot_for_each_container_that_is_known(table):
    drawn = comparison_figure(table).decode()
    assert drawn.startswith("<?xml")
    for app in ("Redis", "MMS", "Checksum"):
        assert f"<!-- {app} -->" in drawn  # in the legend
    assert "mean predicted 1.267, measured 0.933" in drawn
    comparison_figure(table.assign(predicted=np.nan, error=np.nan))  # nothing known: still a figure


def test_without_simulator_or_stand_alone_rps_only_raw_figures_are_known():
    containers = colocated("worker-1", [(0, "Redis")])
    measured = {containers[0].name: LoadResult(80.0, 0.01, 0.02, 800, 0, 10.0)}
    found = compared(SimpleNamespace(space=SPACE, nodes=NODES), containers, measured, None, {})
    assert summary(found) == {"containers": 1.0, "requests_per_second": 80.0, "failures": 0.0}
    assert alone_rps(None) == {}


def test_what_a_deployment_leaves_is_removed_by_a_command_for_the_same_cluster():
    words = "cluster=hosts cluster.inventory='my hosts.yaml' placement=p.json deploy.session=two load.users=3"
    assert undeploy_command(f"metis deploy {words} tracking.path=/t") == (
        "metis undeploy cluster=hosts 'cluster.inventory=my hosts.yaml' deploy.session=two tracking.path=/t"
    )


def test_a_plan_that_names_nodes_goes_to_these():
    rows = np.array(ROWS)
    assert by_name(rows, ("worker-2", "worker-1"), NODES).tolist() == ROWS[::-1]
    assert by_name(rows[:1], ("worker-2",), NODES).tolist() == [[0, 0, 0], ROWS[0]]
    assert by_name(rows, ("node-1", "node-2"), NODES).tolist() == ROWS
    assert by_name(rows, None, NODES).tolist() == ROWS


def test_nodes_without_a_row_hold_nothing():
    assert whole_placement(np.array([[1, 0, 0]]), 2).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert whole_placement(np.array(ROWS), 1).tolist() == ROWS  # too many are refused by the plan


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["deploy"], "cluster=local has no hosts"),
        (["undeploy"], "cluster=local has no hosts"),
        (["watch"], "cluster=local has no hosts"),
        (["deploy", "cluster=lab"], "no profile was measured under these settings"),
        (["deploy", "cluster=lab", "placement=nowhere.csv", "--dry-run"], "'nowhere.csv': no such file"),
        (["deploy", "cluster=lab", "placement=x", "deploy.sessions=2"], "deploy.sessions"),
    ],
)
def test_what_cannot_be_deployed_is_one_line_and_exit_2(words, says, tracking, capfd):
    assert main([words[0], tracking, *words[1:]]) == 2
    out, err = capfd.readouterr()
    assert says in err
    assert err.count("\n") == 1
    assert not out


def test_undeploying_what_was_never_set_up_is_reported(tracking, capfd):
    assert main(["undeploy", "cluster=lab", tracking]) == 1
    assert "is not set up" in capfd.readouterr().err
