from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from baselines.divide_conquer import DivideConquer, DivideConquerSettings
from metis.errors import InputError, PlacementError
from metis.learn.loop import Budget
from metis.learn.paper.high_level import GroupSettings
from metis.learn.paper.reinforce import ReinforceSettings
from metis.learn.paper.sub_scheduler import (
    SubSchedulerLearning,
    SubSchedulerSettings,
    sub_scheduler_learner,
)
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.rules import Rules
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("A", "B"), 3)
SHORT = ReinforceSettings(hidden=8, replayed=4)


def dc(steps=2, **changes):
    return TimedScheduler("dc", DivideConquer(GroupSettings(**({"steps": steps, "learn": SHORT} | changes))))


def test_learns_to_keep_enemies_apart():
    mixed = (SPACE.counts > 0).all(axis=1)
    tables = Tables(SPACE, {"rps": np.where(mixed[:, None], 0.5, 1.0) * (SPACE.counts > 0)})
    cluster, group = Cluster(SPACE, 5), np.array([8, 5])
    worth = MeanRps().bind(group, cluster, tables)
    learn = ReinforceSettings(episodes=20, replayed=10, hidden=16, entropy=0.003)
    decision = dc(250, fan_out=3, learn=learn).place(group, cluster, worth)
    curve = decision.trace["curve"]
    assert worth[SPACE.index(decision.placement)].sum() == pytest.approx(1.0)
    assert np.mean([row["value"] for row in curve[-20:]]) > curve[0]["value"] + 0.15


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(n, 2) for n in range(5, 9)] + [(n, 3) for n in range(1, 10)]))
def test_any_size_and_any_start(seed, size):
    nodes, fan_out = size
    rng = np.random.default_rng(seed)
    cluster = Cluster(SPACE, nodes, rng.multinomial(2, [0.4, 0.2, 0.4], size=nodes)[:, :2])
    group = rng.multinomial(int(rng.integers(1, cluster.free_slots + 1)), [0.3, 0.7])
    decision = dc(fan_out=fan_out, seed=seed).place(group, cluster, rng.random(SPACE.size))
    assert decision.placement.sum() == group.sum()


def test_rules_are_kept_and_a_dead_end_is_named():
    rules = Rules(never_together=[("A", "B")], at_most={"A": 2})
    cluster = Cluster(SPACE, 6, allowed=rules.mask(SPACE))
    decision = dc().place(np.array([5, 6]), cluster, np.ones(SPACE.size))
    assert decision.placement[:, 0].max() <= 2
    with pytest.raises(PlacementError, match="container of B"):
        dc().place(np.array([12, 1]), cluster, np.ones(SPACE.size))


def test_beside_rules_place_the_host_first():
    cluster = Cluster(SPACE, 3, allowed=Rules(only_beside={"A": ["B"]}).mask(SPACE))
    decision = dc(steps=20).place(np.array([4, 3]), cluster, np.ones(SPACE.size))
    hosts, guests = decision.placement[:, 1], decision.placement[:, 0]
    assert (hosts[guests > 0] > 0).all()


def test_existing_containers_count_in_the_value():
    cluster = Cluster(SPACE, 2, np.array([[1, 0], [0, 0]]))
    worth = SPACE.totals / 10.0
    decision = dc().place(np.array([1, 1]), cluster, worth)
    assert decision.trace["curve"][-1]["best"] == pytest.approx(0.3)


def test_changing_one_key_keeps_the_other_defaults_of_this_learner():
    chosen = TypeAdapter(DivideConquerSettings).validate_python({"learn": {"hidden": 8}})
    assert chosen.learn == replace(DivideConquerSettings().learn, hidden=8)
    assert (chosen.learn.episodes, chosen.learn.entropy) == (30, 0.003)


def test_what_is_out_of_bounds_is_named():
    with pytest.raises(InputError, match=r"divide_conquer\.fan_out 1: give at least 2"):
        DivideConquerSettings(fan_out=1)
    with pytest.raises(InputError, match=r"eta 1\.0001: give at least learn\.eta_floor, 1\.001"):
        replace(DivideConquerSettings().learn, eta=1.0001)


def test_a_budget_is_steps_unless_time_is_given():
    assert DivideConquerSettings().budget == Budget(steps=100)
    assert GroupSettings(cpu_seconds=5.0).budget == Budget(cpu_seconds=5.0)
    assert GroupSettings(steps=7, seconds=5.0).budget == Budget(7, 5.0)


def test_updates_and_episodes_of_a_group_are_in_the_trace():
    trace = dc(steps=3).place(np.array([3, 2]), Cluster(SPACE, 4), np.ones(SPACE.size)).trace
    assert (trace["updates"], trace["episodes"]) == (3, 3 * SHORT.episodes)


def test_preparing_a_learner_changes_nothing_that_it_learns_from():
    tables = Tables(SPACE, {"rps": np.where(SPACE.counts > 0, 1.0, 0.0)})
    chosen = SubSchedulerSettings(nodes=3, ranges=1, learn=SubSchedulerLearning(episodes=4, hidden=8))
    learner = sub_scheduler_learner(MeanRps(), tables, chosen, 0, 0)
    before = learner.state()
    learner.prepare()
    after = learner.state()
    assert all((before[name] == after[name]).all() for name in before)
