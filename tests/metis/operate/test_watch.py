"""Looks at what runs: sound measurements change nothing, drift is confirmed, learnt, and planned around."""

from dataclasses import replace

import numpy as np
import pytest

from metis.errors import InputError, SurroundingsError
from metis.measure.embedded import InterferenceModel
from metis.measure.testbed import EmbeddedTestbed
from metis.operate.watch import Knowledge, LiveMeasurement, Thresholds, fold, inspect_running
from metis.problem.cluster import Cluster
from metis.problem.counts import describe_colocation
from metis.problem.objectives import Latency, MeanRps
from metis.program.colocation_program import solve_colocation_program

TABLE = """
pressures: [cpu]
apps:
  cache: {{company: -0.05, presence: {{cache: 0, web: 0, batch: -0.1}}, demand: {{cpu: 1}}, knee: {{cpu: 1}},
          effect: {{cpu: -0.25}}, latency: null}}
  web: {{company: 0, presence: {{cache: {helped}, web: 0, batch: 0}}, demand: {{cpu: 0.7}}, knee: {{cpu: 2}},
        effect: {{cpu: -0.2}}, latency: null}}
  batch: {{company: -0.02, presence: {{cache: 0, web: {hurt}, batch: 0}}, demand: {{cpu: 1.5}},
          knee: {{cpu: 1}}, effect: {{cpu: -0.15}}, latency: null}}
"""
GROUP = np.array([4, 5, 3])


def plan(worth, group, cluster, free=None):
    return solve_colocation_program(worth, group, cluster, mip_rel_gap=1e-6).placement


def make_testbed(folder, name, noise=0.0, helped=0.5, hurt=-0.15):
    path = folder / f"{name}.yaml"
    path.write_text(TABLE.format(helped=helped, hurt=hurt))
    return EmbeddedTestbed(InterferenceModel.load(path), slots=3, noise=noise)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """What was profiled: web runs faster beside a cache."""
    return make_testbed(tmp_path_factory.mktemp("before"), "before")


@pytest.fixture(scope="module")
def after(tmp_path_factory):
    """What runs now: a cache no longer helps web, it slows it."""
    return make_testbed(tmp_path_factory.mktemp("after"), "after", helped=-0.4)


@pytest.fixture(scope="module")
def profile(before):
    return before.measure(before.space.counts[1:], seed=0)


@pytest.fixture(scope="module")
def running(before):
    cluster = Cluster(before.space, 6)
    return plan(MeanRps().bind(GROUP, cluster, before.truth()), GROUP, cluster)


class Watched:
    """Measures what runs on a testbed, and notes which nodes it was asked for."""

    def __init__(self, testbed, running, silent=(), seed=1):
        self.testbed, self.running, self.silent, self.seed = testbed, running, silent, seed
        self.asked: list[list[int]] = []

    def __call__(self, rows):
        self.asked.append(rows.tolist())
        heard = [row for row in rows if row not in self.silent]
        silent = {f"node {row}": "does not answer" for row in rows if row in self.silent}
        found = self.testbed.measure(self.running[heard], self.seed + len(self.asked))
        return LiveMeasurement(found, silent)


def take(known, running, measure, **patrol):
    known = known if isinstance(known, Knowledge) else Knowledge.of(known, patrol.get("noise", 0.05))
    cluster = Cluster(known.base.space, len(running))
    return inspect_running(known, running, cluster, measure, MeanRps(), plan, Thresholds(**patrol))


def test_where_nothing_changed_nothing_is_told_and_nothing_proposed(before, profile, running):
    measure = Watched(before, running)
    found = take(profile, running, measure)
    assert not found.drifted
    assert not found.remeasured
    assert found.known.profile is profile
    assert found.proposal is None
    assert found.gain == pytest.approx(0, abs=1e-6)
    assert measure.asked == [np.flatnonzero(running.any(axis=1)).tolist()]


def test_drift_is_measured_again_learnt_and_planned_around(after, profile, running):
    measure = Watched(after, running)
    # what was not seen since is known so little that at 90 % nothing is proposed
    assert take(profile, running, Watched(after, running), remeasure=100).proposal is None
    found = take(profile, running, measure, remeasure=100, confidence=0.5)
    assert 0 < found.interval[0] < found.best - found.value < found.interval[1] + 0.1
    assert found.drifted
    assert {one.app for one in found.drifted} == {"web"}
    assert all(one.recorded for one in found.drifted)
    again = [row for row, held in enumerate(running) if words(profile, held) in found.remeasured]
    assert measure.asked[1] == again
    # what is known now of what runs is what it really reaches
    cluster = Cluster(profile.space, len(running))
    worth = MeanRps().bind(GROUP, cluster, after.truth())
    assert found.value == pytest.approx(worth[profile.space.index(running)].sum())
    # and the proposal is truly better, by what it promises at least
    truly = worth[profile.space.index(found.proposal)].sum()
    assert found.proposal.sum(axis=0).tolist() == GROUP.tolist()
    assert truly > found.value * 1.05
    # what it promises is not far from what it would keep, although nobody measured most of it since
    assert found.gain == pytest.approx(truly / found.value - 1, abs=0.1)
    assert found.unmeasured > 0
    assert found.gain_low < found.gain


def words(profile, counts):
    return describe_colocation(counts, profile.apps)


def test_at_most_so_many_co_locations_are_measured_again(after, profile, running):
    measure = Watched(after, running)
    found = take(profile, running, measure, remeasure=1)
    assert len(found.remeasured) == 1
    farthest = found.drifted[0].colocation
    assert found.remeasured[0] == farthest
    assert take(profile, running, Watched(after, running), remeasure=0).remeasured == ()


def test_one_spoilt_run_does_not_last(before, profile, running):
    measure = Watched(before, running)

    def spoilt_once(rows):
        live = measure(rows)
        if len(measure.asked) == 1:
            rps = live.profile.rps.copy()
            rps[0] *= 0.5
            return LiveMeasurement(replace(live.profile, rps=rps), {})
        return live

    found = take(profile, running, spoilt_once, noise=0.05)
    assert found.calmed == found.remeasured != ()
    assert not found.drifted
    assert found.known.profile is profile


def test_a_drifted_measurement_is_news_once(after, profile, running):
    first = take(profile, running, Watched(after, running), remeasure=100)
    second = take(first.known, running, Watched(after, running))
    assert not second.drifted
    assert second.known is first.known
    assert second.best == pytest.approx(first.best, rel=1e-3)


def test_noise_alone_makes_few_alarms_and_no_proposal(tmp_path, profile, running):
    noisy = make_testbed(tmp_path, "noisy", noise=0.03)
    recorded = noisy.measure(noisy.space.counts[1:], seed=0, repeats=9)
    cluster = Cluster(noisy.space, len(running))
    runs = plan(MeanRps().bind(GROUP, cluster, noisy.truth()), GROUP, cluster)
    looks = [take(recorded, runs, Watched(noisy, runs, seed=seed), noise=0.03) for seed in range(0, 60, 3)]
    measured = sum(int(one.fresh.present.sum()) for one in looks)
    assert sum(len(one.drifted) for one in looks) <= 0.02 * measured
    assert sum(one.proposal is not None for one in looks) <= 2


def test_co_locations_nobody_recorded_are_judged_by_belief_and_learnt(before, after, running):
    others = np.setdiff1d(np.arange(1, before.space.size), before.space.index(running))
    sparse = before.measure(before.space.counts[others], seed=0)
    sound = take(sparse, running, Watched(before, running))
    learnt = len(np.unique(before.space.index(running[running.any(axis=1)])))
    assert len(sound.known.profile) == len(sparse) + learnt
    assert sound.known.profile.provenance["live"] == learnt
    drifted = take(sparse, running, Watched(after, running))
    assert any(not one.recorded for one in drifted.drifted)


def test_silent_nodes_are_named_and_the_rest_goes_on(after, profile, running):
    nodes = np.flatnonzero(running.any(axis=1))
    found = take(profile, running, Watched(after, running, silent=[nodes[0]]))
    assert found.silent == {f"node {nodes[0]}": "does not answer"}
    assert len(found.fresh)


def test_what_cannot_be_watched_is_refused(before, profile, running):
    cluster = Cluster(before.space, len(running))
    measure = Watched(before, running)
    with pytest.raises(InputError, match="nothing runs"):
        inspect_running(Knowledge.of(profile), np.zeros_like(running), cluster, measure, MeanRps(), plan)
    with pytest.raises(InputError, match="latency"):
        inspect_running(Knowledge.of(profile), running, cluster, measure, Latency(), plan)
    with pytest.raises(SurroundingsError, match="node 0: no answer"):
        take(profile, running, lambda rows: LiveMeasurement(profile.rows([]), {"node 0": "no answer"}))


def test_what_nobody_measured_is_counted_and_may_disappoint(before, after, running):
    alone = before.measure(np.vstack([np.eye(3, dtype=np.int64), running[running.any(axis=1)]]), seed=0)
    found = take(alone, running, Watched(after, running), min_gain=0.0)
    assert found.low <= found.best
    assert found.unmeasured > 0
    assert found.gain_low < found.gain


def test_folding_keeps_what_stayed_in_its_interval(before, profile):
    fresh = before.measure(before.space.counts[5:9], seed=3)
    assert fold(profile, fresh, []) is profile
    known = Knowledge.of(profile)
    assert known.after(fresh, []).profile is profile
    assert known.after(fresh, []).seen == set(before.space.index(fresh.colocations).tolist())


def test_a_machine_that_became_slower_is_no_drift_of_the_co_locations(before, profile, running):
    assert running.tolist()[0] == [0, 0, 1]  # batch runs alone somewhere, so its unit can be told

    def slower(rows):
        live = Watched(before, running)(rows)
        return LiveMeasurement(replace(live.profile, rps=live.profile.rps * [1.0, 1.0, 0.6]), {})

    found = take(profile, running, slower)
    assert found.units == {"batch": pytest.approx(0.6)}
    assert not found.drifted
    assert found.proposal is None


def test_moves_that_cost_more_than_they_surely_gain_are_not_proposed(before, profile):
    # two caches and two webs apart, on three of six nodes
    running = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    free = take(profile, running, Watched(before, running), noise=0.01)
    assert free.proposal is not None
    moves = np.maximum(running - free.proposal, 0).sum()
    each = free.interval[0] / moves
    for share, proposed in ((0.9, True), (1.1, False)):
        cost = np.full(3, share * each)
        found = take(profile, running, Watched(before, running), noise=0.01, move_cost=cost)
        assert (found.proposal is not None) == proposed
        assert found.cost == pytest.approx(share * free.interval[0])


class Planted(Watched):
    """Measures each node by itself: some are slow, some applications changed, or everything is."""

    def __init__(self, testbed, running, slow=None, changed=None, everything=1.0, first=False):
        super().__init__(testbed, running)
        self.slow, self.changed, self.everything, self.first = slow or {}, changed or {}, everything, first

    def __call__(self, rows):
        self.asked.append(rows.tolist())
        singles, calm = {}, self.first and len(self.asked) > 1
        for row in rows.tolist():
            one = self.testbed.measure(self.running[[row]], self.seed + 100 * row + len(self.asked))
            share = 1.0 if calm else self.slow.get(row, 1.0) * self.everything
            apps = np.array([self.changed.get(app, 1.0) for app in one.apps])
            singles[row] = replace(one, rps=one.rps * share * apps)
        live = LiveMeasurement(one, {}, singles)
        return replace(live, profile=live.of(rows.tolist()))


RUNNING = np.array([[1, 1, 0], [0, 1, 1], [1, 1, 1], [0, 2, 1], [1, 0, 1], [1, 1, 1]])


def look(before, profile, **planted):
    chosen = []

    def noted(worth, group, cluster, free):
        chosen.append(free)
        part = Cluster(cluster.space, int(free.sum()))
        placement = RUNNING.copy()
        placement[free] = plan(worth, RUNNING[free].sum(axis=0), part)
        return placement

    measure = Planted(make_noisy(before), RUNNING, **planted)
    known = Knowledge.of(profile, 0.05)
    cluster = Cluster(profile.space, len(RUNNING))
    names = tuple("abcdef")
    found = inspect_running(known, RUNNING, cluster, measure, MeanRps(), noted, Thresholds(noise=0.05), names)
    return found, chosen, measure


def make_noisy(testbed):
    return replace(testbed, noise=0.03)


def test_a_bad_machine_is_named_and_not_learned_from(before, profile):
    found, chosen, measure = look(before, profile, slow={2: 0.55})
    assert list(found.as_dict()["bad_nodes"]) == ["c"]
    assert found.as_dict()["bad_nodes"]["c"] == pytest.approx(0.55, abs=0.05)
    assert not found.drifted
    assert found.known.profile is profile
    assert measure.asked[1] == [2]  # it was measured again
    assert chosen[0].tolist() == [True, True, False, True, True, True]
    assert found.proposal is None or (found.proposal[2] == RUNNING[2]).all()


def test_a_changed_application_is_drift_wherever_it_runs(before, profile):
    found, chosen, _ = look(before, profile, changed={"batch": 0.6})
    assert list(found.as_dict()["changed"]) == ["batch"]
    assert not found.diagnosis.nodes
    assert {one.app for one in found.drifted} == {"batch"}
    assert chosen[0].all()


def test_what_slows_everything_is_learned_from_by_nothing_and_no_move_is_proposed(before, profile):
    found, chosen, _ = look(before, profile, everything=0.5)
    assert found.as_dict()["everything"] == pytest.approx(0.5, abs=0.05)
    assert not chosen
    assert found.proposal is None
    assert not found.drifted
    assert found.known.profile is profile


def test_a_bad_machine_beside_a_changed_application(before, profile):
    found, _, _ = look(before, profile, slow={5: 0.5}, changed={"batch": 0.6})
    assert list(found.as_dict()["bad_nodes"]) == ["f"]
    assert list(found.as_dict()["changed"]) == ["batch"]


def test_a_disturbance_that_passed_names_nothing(before, profile):
    for planted in ({"slow": {2: 0.55}}, {"everything": 0.5}):
        found, _, _ = look(before, profile, **planted, first=True)
        assert not found.diagnosis.nodes
        assert found.diagnosis.everything is None
