"""Verbs of a live cluster, as far as no host is needed: words, what need not be said, names of nodes."""

import json

import pytest

from cluster.backend import Departure
from cluster.provision.inventory import Host, Inventory
from flows.command.main import main
from flows.command.request import request_of
from flows.command.verbs import cluster, undeploy
from flows.live.state import INVENTORY

HOSTS = (
    "hosts:\n- {name: m, role: manager, address: 127.0.0.1}\n- {name: w, role: worker, address: 127.0.0.1}\n"
)


@pytest.fixture
def site(tmp_path, tracking):
    """The words of a cluster of hosts whose applications are not named."""
    path = tmp_path / "hosts.yaml"
    path.write_text(HOSTS)
    return ["cluster=hosts", f"cluster.inventory={path}", tracking]


@pytest.mark.parametrize(("name", "verb"), [("cluster", cluster.VERB), ("undeploy", undeploy.VERB)])
def test_what_measures_nothing_needs_no_names_of_applications(site, name, verb):
    assert request_of(name, verb, site).settings.apps.names is None


@pytest.mark.parametrize("words", [["down", "no"], ["accept", "no"], ["status", "yes"], ["up"], []])
def test_words_that_mean_nothing_are_refused(site, words, capfd):
    assert main(["cluster", *words, *site]) == 2
    assert "then overrides" in capfd.readouterr().err


@pytest.fixture
def ended(monkeypatch):
    """What `cluster down` does to a cluster whose second worker runs a task of others."""
    calls = []
    found = Departure(("w leaves the Swarm",), (), ("service shop runs on w",))
    monkeypatch.setattr(cluster, "departure", lambda inventory, settings: found)
    monkeypatch.setattr(cluster, "disband", lambda inventory, settings, report: calls.append(settings.force))
    return calls


def test_a_cluster_is_ended_only_where_that_was_said(site, ended, capfd):
    assert main(["cluster", "down", *site]) == 0
    shown = capfd.readouterr().out
    assert "nothing was changed" in shown
    assert "w leaves the Swarm" in shown
    assert "service shop runs on w (force=true insists)" in shown
    assert "`metis cluster down yes ...` does it" in shown
    assert main(["cluster", "down", *site, "output=json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["ended"] is False
    assert document["others"] == ["service shop runs on w"]
    assert ended == []
    assert main(["cluster", "down", "yes", *site]) == 0
    assert main(["cluster", "down", "yes", *site, "force=true"]) == 0
    assert ended == [False, True]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_explanation_names_nodes_as_the_plan_does(full_profile, tracking, tmp_path, capfd, form):
    plan = tmp_path / f"plan.{form}"
    if form == "csv":
        plan.write_text("node,Redis,MMS\nbeta,1,1\nalpha,0,2\n")
    else:
        held = {"alpha": {"MMS": 2}, "beta": {"Redis": 1, "MMS": 1}}
        plan.write_text(json.dumps({"nodes": ["beta", "alpha"], "placement": held}))
    words = ["profile=file", f"profile.path={full_profile}", "simulator=table", tracking]
    words += ["tracking.orchestrate=false", f"placement={plan}", "cluster.nodes=2", "output=json"]
    assert main(["explain", *words]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [one["node"] for one in document["nodes"]] == ["beta", "alpha"]


def test_a_live_cluster_names_the_nodes_that_a_plan_only_numbers(site, tmp_path):
    from flows.live.room import live_nodes
    from flows.live.state import cluster_state

    settings = request_of("cluster", cluster.VERB, site).settings
    assert live_nodes(settings) is None
    hosts = (Host("m", "manager", "127.0.0.1"), Host("w", "worker", "127.0.0.1"))
    state = cluster_state(settings)
    state.mkdir(parents=True)
    Inventory("hosts", "metis", hosts, "known").save(state / INVENTORY)
    assert live_nodes(settings) == ("w",)
