"""Moves made on a cluster in memory: recorded, measured, guarded, gone on with, taken back."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from flows.command.applied import check_apply
from flows.live import moves
from flows.live.moves import Moves
from flows.live.rebalancing import check_same, made_last, new_record, record_path, under_way
from flows.live.record import BACK, MADE, STOPPED, UNDER_WAY, document_of, read_record
from flows.live.session import LiveSession
from metis.errors import InputError, SurroundingsError
from metis.operate.rebalance import rebalance
from metis.operate.settings import RebalanceSettings
from metis.operate.waves import WaveOrder
from metis.problem.cluster import Cluster
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules
from metis.problem.tables import Tables
from tests.cluster.test_deployment import APPS, NODES, SLOTS
from tests.cluster.test_moves import NO_RULES, SPACE, Killed, at, waves_of
from tests.flows.conftest import settings_of

BEFORE = [[0, 2, 0], [0, 2, 0], [0, 0, 0]]
AFTER = [[0, 1, 0], [0, 1, 0], [0, 2, 0]]


ALONE = dict.fromkeys(APPS, 10.0)


class Site:
    """A deployment in memory, with a plan to move it; containers on busy nodes are slow."""

    def __init__(self, folder, monkeypatch):
        words = ["cluster=lab", f"cluster.state={folder}", f"apps.names=[{','.join(APPS)}]", "existing=live"]
        self.settings = settings_of(*words, "moves=2", "apply=true")
        self.swarm = at(BEFORE)
        self.swarm.sweep_jobs = lambda session: None
        self.rates, self.loads = {}, 0
        self.session = LiveSession(self.settings, SPACE, (), (), self.swarm)
        monkeypatch.setattr(moves, "_source", lambda session, duration, warm_up: self.load)

    def load(self, containers):
        """RPS of a container by its node, a hundredth more on odd loads."""
        self.loads += 1
        found = self.swarm.load(containers)
        wobble = 1 + self.loads % 2 / 100
        return {
            one.name: replace(found[one.name], rps=self.rates.get(one.node, 10.0) * wobble)
            for one in containers
        }

    def record(self, alone=ALONE, changed=()):
        before, order, waves = waves_of(self.swarm, AFTER)
        rps = np.where(SPACE.counts > 0, 1.0 / np.maximum(SPACE.totals, 1)[:, None], np.nan)
        cluster = Cluster(SPACE, len(NODES), before)

        def judged(state):
            return SimpleNamespace(rps=float(np.nansum(rps[SPACE.index(state)] * state) / state.sum()))

        found = SimpleNamespace(cluster=cluster, nodes=NODES, judged=judged)
        plan = {"waves": waves, "starts": [10.0] * len(waves), "moves": sum(map(len, waves))}
        assert order.complete
        self.swarm.stop(changed)
        return new_record(self.session, plan, found, NO_RULES, alone)

    def run(self, record):
        return Moves(self.session, record, lambda text, done, total: None).run()

    def saved(self):
        return read_record(record_path(self.settings))


@pytest.fixture
def site(tmp_path, monkeypatch):
    return Site(tmp_path, monkeypatch)


def test_a_plan_is_made_and_measured_before_and_after(site):
    site.rates = {"worker-3": 12.0}
    record = site.run(site.record())
    assert record.state == MADE
    assert site.swarm.placement() == AFTER
    found = document_of(record, 0.95)
    assert found["before"] == pytest.approx(1.005)
    assert found["after"] == pytest.approx((1.005 + 1.2 * 1.005) / 2)
    assert found["change"] == pytest.approx(0.1005)
    assert (found["failures"], found["made"]) == (0, len(record.steps))
    assert [wave["predicted_change"] for wave in found["waves"]] == [pytest.approx(0.25)]
    assert site.saved().state == MADE
    assert under_way(site.settings) is None


def test_without_stand_alone_rps_the_first_load_is_the_unit(site):
    assert document_of(site.run(site.record({})), 0.95)["before"] == pytest.approx(1, abs=0.02)


def test_a_wave_that_measures_worse_is_undone(site):
    site.rates = {"worker-3": 1.0}
    record = site.run(site.record())
    assert record.state == STOPPED
    assert "mean RPS changed by -0.45" in record.reason
    assert site.swarm.placement() == BEFORE
    assert (record.made, record.wave) == (0, None)


def test_a_guard_that_asks_for_more_confidence_lets_it_pass(site):
    session = replace(site.settings, rebalance=RebalanceSettings(guard=0.9999999))
    site.session = replace(site.session, settings=session)
    site.rates = {"worker-3": 5.0}
    assert site.run(site.record()).state == MADE


def test_a_node_that_dies_midway_ends_the_moves_in_a_legal_state(site):
    record = site.record()
    start = site.swarm.start

    def dying(specs):
        start(specs)
        site.swarm.dead = {"worker-3"}

    site.swarm.start = dying
    site.run(record)
    assert record.state == STOPPED
    assert record.reason == "worker-3: does not respond"
    assert site.swarm.placement() == BEFORE


@pytest.mark.parametrize("actions", range(4))
def test_killed_the_same_command_goes_on(site, actions):
    site.swarm.actions = actions
    with pytest.raises(Killed):
        site.run(site.record())
    site.swarm.actions = 100
    record = under_way(site.settings)
    assert record.state == UNDER_WAY
    check_same(record, site.settings)
    assert site.run(record).state == MADE
    assert site.swarm.placement() == AFTER


@pytest.mark.parametrize("actions", [1, 3])
def test_killed_it_can_be_taken_back(site, actions):
    site.swarm.actions = actions
    with pytest.raises(Killed):
        site.run(site.record())
    site.swarm.actions = 100
    record = made_last(site.settings)
    record.back = True
    assert site.run(record).state == BACK
    assert site.swarm.placement() == BEFORE
    with pytest.raises(InputError, match="no moves of deploy were made"):
        made_last(site.settings)


def test_moves_that_were_made_can_be_taken_back(site):
    record = site.run(site.record())
    record = made_last(site.settings)
    record.back = True
    found = document_of(site.run(record), 0.95)
    assert (found["state"], found["made"]) == (BACK, 0)
    assert found["change"] == pytest.approx(0, abs=0.02)
    assert site.swarm.placement() == BEFORE


def test_other_moves_are_refused_while_some_are_under_way(site):
    site.swarm.actions = 1
    with pytest.raises(Killed):
        site.run(site.record())
    record = under_way(site.settings)
    with pytest.raises(InputError, match=r"moves 5: moves with moves 2 are under way \(wave 1 of 1\)"):
        check_same(record, replace(site.settings, moves=5))
    record.back = True
    with pytest.raises(InputError, match="goes on with that"):
        check_same(record, site.settings)


def test_what_others_changed_is_not_gone_on_from(site):
    site.swarm.actions = 1
    with pytest.raises(Killed):
        site.run(site.record())
    site.swarm.actions = 100
    site.swarm.stop(site.swarm.standing()[:1])
    with pytest.raises(SurroundingsError, match=r"MMS does not run any more on worker-1 \(slot 0\)"):
        site.run(under_way(site.settings))
    assert under_way(site.settings) is None
    assert json.loads((record_path(site.settings).parent / "moves.json.old").read_text())["made"] == 0


def test_what_runs_and_was_not_planned_from_is_refused(site):
    with pytest.raises(
        SurroundingsError, match="changed by others while the moves were planned; nothing was"
    ):
        site.record(changed=site.swarm.standing()[:1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["existing=plan.csv", "moves=2"],
            "existing plan.csv: apply=true moves what runs, so give existing=live",
        ),
        (["existing=live"], "moves are not given: apply=true makes one plan"),
        (["existing=live", "moves=[1,2]"], r"moves \[1,2\]: apply=true makes one plan"),
        (["existing=live", "moves=2", "why=worker-1"], "why and why_not: explain a plan"),
    ],
)
def test_settings_that_cannot_be_applied_are_refused(words, says):
    with pytest.raises(InputError, match=says):
        check_apply(settings_of("cluster=lab", "apply=true", *words))


def test_taking_back_and_applying_need_one_another_and_a_cluster():
    with pytest.raises(InputError, match="add apply=true"):
        check_apply(settings_of("rebalance.back=true"))
    with pytest.raises(InputError, match="cluster=local has no hosts"):
        check_apply(settings_of("apply=true", "moves=2", "existing=live"))


TYPES = (
    NodeTypeSettings("big", nodes=("worker-3", "worker-1"), slots=SLOTS),
    NodeTypeSettings("small", nodes=("worker-2",), slots=1),
)


def planned_on_types(site, moves, types=TYPES, requests=None):
    """A plan where nodes differ, whose rows are in the order of the types: Checksum suffers from MMS."""
    stated = state_problem(types, requests or {}, Rules(), APPS, SLOTS, np.array([0, 1, 1]))
    runs = [site.swarm.placement()[NODES.index(node)] for node in stated.nodes]
    cluster = Cluster(SPACE, len(runs), np.array(runs), stated=stated)
    counts = SPACE.counts
    rps = np.where(counts > 0, np.where((counts[:, [1]] > 0) & (counts[:, [2]] > 0), 0.5, 1.0), 0.0)
    tables = Tables(SPACE, {"rps": rps})
    worth = worth_of(MeanRps(), np.zeros(3, dtype=np.int64), cluster, tables)
    return rebalance(tables, worth, cluster, stated.nodes, moves, RebalanceSettings())


def test_moves_are_made_on_nodes_of_several_types(site):
    """The one slot of worker-2 is free: Checksum gets it. Rows of the plan are not in the hosts' order."""
    site.swarm = at([[0, 2, 1], [0, 0, 0], [0, 3, 0]])
    site.session = replace(site.session, backend=site.swarm)
    site.swarm.sweep_jobs = lambda session: None
    found = planned_on_types(site, 1)
    record = new_record(site.session, found.document(0), found, WaveOrder(found.cluster), ALONE)
    assert site.run(record).state == MADE
    assert site.swarm.placement() == [[0, 2, 0], [0, 0, 1], [0, 3, 0]]
    assert record.predicted == [pytest.approx(0.75), pytest.approx(1.0)]


def test_a_node_that_is_stated_and_not_there_is_refused(site):
    site.swarm = at([[0, 2, 1], [0, 0, 0], [0, 3, 0]])
    found = planned_on_types(site, 1)
    other = replace(found, nodes=("worker-9", *found.nodes[1:]))
    with pytest.raises(InputError, match="node 'worker-9' is no worker of this cluster: it has worker-1, "):
        new_record(site.session, other.document(0), other, WaveOrder(other.cluster), ALONE)
