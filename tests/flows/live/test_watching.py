"""Watching: looks at intervals, troubles that do not end it, proposals that move little and are not made."""

import shlex
import time
from dataclasses import replace

import numpy as np
import pytest

from baselines.optimum import place_optimum
from cluster.deployment import moved
from cluster.settings import WatchSettings
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.live.watching import deploy_command, look_line, watch, watched_cluster
from metis.errors import InputError, SurroundingsError
from metis.measure.embedded import InterferenceModel
from metis.measure.testbed import EmbeddedTestbed
from metis.operate.memory import load_memory
from metis.operate.watch import LiveMeasurement
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps

TABLE = """
pressures: [cpu]
apps:
  cache: {{company: -0.05, presence: {{cache: 0, web: 0, batch: -0.1}}, demand: {{cpu: 1}}, knee: {{cpu: 1}},
          effect: {{cpu: -0.25}}, latency: null}}
  web: {{company: 0, presence: {{cache: {helped}, web: 0, batch: 0}}, demand: {{cpu: 0.7}}, knee: {{cpu: 2}},
        effect: {{cpu: -0.2}}, latency: null}}
  batch: {{company: -0.02, presence: {{cache: 0, web: -0.15, batch: 0}}, demand: {{cpu: 1.5}},
          knee: {{cpu: 1}}, effect: {{cpu: -0.15}}, latency: null}}
"""
GROUP = np.array([4, 5, 3])
NODES = 6


def optimum(worth, group, cluster):
    return place_optimum(group, cluster, worth)[0]


def make_testbed(folder, helped):
    path = folder / f"helped{helped}.yaml"
    path.write_text(TABLE.format(helped=helped))
    return EmbeddedTestbed(InterferenceModel.load(path), slots=3, noise=0.01)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return make_testbed(tmp_path_factory.mktemp("watch"), 0.5)


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    """The coefficients drifted: a cache slows web."""
    return make_testbed(tmp_path_factory.mktemp("watch"), -0.4)


@pytest.fixture(scope="module")
def cluster(before):
    return Cluster(before.space, NODES)


@pytest.fixture(scope="module")
def profile(before):
    return before.measure(before.space.counts[1:], seed=0, repeats=5)


@pytest.fixture(scope="module")
def deployed(before, cluster):
    return optimum(MeanRps().bind(GROUP, cluster, before.truth()), GROUP, cluster)


class World:
    """A cluster with what runs and what it reaches; time passes only while measuring or waiting."""

    def __init__(self, *testbeds, running, troubles=()):
        self.testbeds, self.running, self.troubles = testbeds, running, dict(troubles)
        self.looks, self.now, self.waits = 0, 0.0, []
        self.changed = []

    def see(self):
        self.looks += 1
        if self.looks in self.troubles:
            raise self.troubles[self.looks]
        testbed = self.testbeds[min(self.looks, len(self.testbeds)) - 1]

        def measure(rows):
            self.now += 1.0
            return LiveMeasurement(testbed.measure(self.running[rows], seed=100 + self.looks), {})

        return self.running, measure

    def wait(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


def run(world, profile, cluster, after_look=None, nodes=(), memory=None, **options):
    settings = WatchSettings(**{"interval": 10.0, "looks": 1, "noise": 0.02, **options})
    rows = []

    def report(found):
        rows.append(dict(found.looks[-1]))
        if after_look:
            after_look(found)

    found = watch(
        profile,
        world.see,
        settings,
        MeanRps(),
        cluster,
        nodes=nodes,
        memory=memory,
        report=report,
        wait=world.wait,
        clock=lambda: world.now,
    )
    assert rows == found.looks
    return found


def test_a_sound_deployment_is_left_alone(before, profile, cluster, deployed):
    world = World(before, running=deployed)
    found = run(world, profile, cluster, looks=3)
    assert [row["proposed"] for row in found.looks] == [False] * 3
    assert found.proposal is None
    assert world.waits == [9.0, 9.0]  # an interval from look to look, the looking included


def test_drift_ends_in_a_proposal_that_is_truly_better(before, after, profile, cluster, deployed):
    world = World(before, after, running=deployed)
    found = run(world, profile, cluster, looks=3, remeasure=10)
    first, second, third = found.looks
    assert not first["drifted"]
    assert second["drifted"]
    assert second["proposed"]
    assert not third["drifted"]  # it is known now
    assert third["proposed"]  # and nobody moved anything
    assert found.proposal.sum(axis=0).tolist() == GROUP.tolist()
    worth = MeanRps().bind(GROUP, cluster, after.truth())
    runs, better = (worth[cluster.space.index(one)].sum() for one in (deployed, found.proposal))
    assert better / runs - 1 > 0.5 * third["gain"] > 0.01
    assert third["gain"] < better / runs - 1 + 0.02  # it does not promise what it cannot keep
    assert third["moves"] == moved(found.proposal, deployed) < GROUP.sum()
    assert world.running is deployed


def test_trouble_is_noted_and_the_next_look_tries_again(before, profile, cluster, deployed):
    lost = SurroundingsError("worker-1 does not answer")
    found = run(World(before, running=deployed, troubles=[(1, lost)]), profile, cluster, looks=2)
    assert found.looks[0]["error"] == "worker-1 does not answer"
    assert "error" not in found.looks[1]
    assert "failed: worker-1" in look_line(found.looks[0])
    assert "none drifted" in look_line(found.looks[1])


def test_where_no_look_works_the_reason_is_raised(before, profile, cluster, deployed):
    lost = SurroundingsError("worker-1 does not answer")
    with pytest.raises(SurroundingsError, match="worker-1 does not answer"):
        run(World(before, running=deployed, troubles=[(1, lost), (2, lost)]), profile, cluster, looks=2)
    with pytest.raises(InputError, match="nothing runs"):
        run(World(before, running=np.zeros_like(deployed)), profile, cluster)


def test_an_interrupt_ends_an_endless_watch_in_good_order(before, profile, cluster, deployed):
    def stop(found):
        if len(found.looks) == 2:
            raise KeyboardInterrupt

    found = run(World(before, running=deployed), profile, cluster, after_look=stop, looks=None)
    assert len(found.looks) == 2
    world = World(before, running=deployed, troubles=[(1, KeyboardInterrupt())])
    with pytest.raises(SurroundingsError, match="before its first look"):
        run(world, profile, cluster, looks=None)


def test_the_command_deploys_the_proposal_of_the_run():
    command = "metis watch cluster=lab watch.looks=3 cluster.name=two output=json 'tracking.path=a b'"
    made = deploy_command(command, "0" * 32)
    words = ["cluster=lab", "cluster.name=two", "tracking.path=a b", "placement=" + "0" * 32]
    assert shlex.split(made) == ["metis", "deploy", *words]


def test_proposals_honour_the_rules_and_the_workers_there_are(before):
    words = ["cluster.nodes=99", "rules.never_together=[[cache,web]]"]
    made = watched_cluster(validated(compose_plain(words)), before.space, 4)
    assert made.nodes == 4
    assert made.empty
    assert not made.allowed[before.space.index([1, 1, 0])]


@pytest.mark.parametrize("seed", range(6))
def test_a_proposal_that_was_made_is_never_proposed_back(before, after, profile, cluster, seed, tmp_path):
    rng = np.random.default_rng(seed)
    running = np.zeros((NODES, 3), dtype=np.int64)
    slots = rng.permutation(np.repeat(np.arange(NODES), 3))[: GROUP.sum()]
    np.add.at(running, (slots, np.repeat(np.arange(3), GROUP)), 1)
    path, nodes = tmp_path / "watch.json", [f"n{i}" for i in range(NODES)]
    proposed = 0
    for turn in range(4):  # a run of `metis watch` each, with what the last one remembered
        memory, _ = load_memory(path, "lab", profile, 0.02)
        world = World((before, after)[turn % 2], running=running)
        found = run(
            world, profile, cluster, nodes=nodes, memory=memory, remeasure=10, confidence=0.5, min_gain=0.0
        )
        memory.save(path, "lab")
        if found.proposal is None:
            continue
        gave = memory.lately(nodes, time.time(), 24.0)
        assert not ((found.proposal > running) & gave).any()
        assert found.plan["moves"] == np.maximum(running - found.proposal, 0).sum()
        assert len(found.plan["waves"]) > 0
        running = found.proposal
        proposed += 1
    assert proposed


class Slowed(World):
    """A cluster of which some nodes, or all, are slow; each is measured by itself."""

    def __init__(self, testbed, running, slow):
        super().__init__(testbed, running=running)
        self.slow = slow

    def see(self):
        running, _ = super().see()

        def measure(rows):
            singles = {}
            for row in rows.tolist():
                one = self.testbeds[0].measure(running[[row]], seed=row)
                singles[row] = replace(one, rps=one.rps * self.slow.get(row, 1.0))
            live = LiveMeasurement(one, {}, singles)
            return replace(live, profile=live.of(rows.tolist()))

        return running, measure


def test_nothing_moves_to_or_from_a_bad_machine_and_nothing_at_all_where_everything_fell(
    before, profile, cluster, deployed
):
    nodes = tuple(f"w{row}" for row in range(NODES))
    full = [row for row in range(NODES) if (deployed[row] > 0).sum() > 1]
    found = run(Slowed(before, deployed, {full[0]: 0.5}), profile, cluster, nodes=nodes)
    assert list(found.looks[0]["bad_nodes"]) == [nodes[full[0]]]
    assert f"{nodes[full[0]]} serves 0." in look_line(found.looks[0])
    assert found.proposal is None or (found.proposal[full[0]] == deployed[full[0]]).all()
    hog = run(Slowed(before, deployed, dict.fromkeys(range(NODES), 0.5)), profile, cluster, nodes=nodes)
    assert hog.looks[0]["everything"] == pytest.approx(0.5, abs=0.05)
    assert hog.looks[0]["colocations"] == len(np.unique(deployed[deployed.any(axis=1)], axis=0))
    assert "no move could help" in look_line(hog.looks[0])
    assert hog.proposal is None
    assert not hog.looks[0]["drifted"]
