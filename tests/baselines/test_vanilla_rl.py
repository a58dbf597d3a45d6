import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.vanilla_rl import VanillaRl, VanillaRlSettings
from metis.learn.paper.high_level import GroupSettings
from metis.learn.paper.reinforce import ReinforceSettings
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("A", "B"), 3)
SHORT = ReinforceSettings(hidden=8, replayed=4, demonstrations=3)


def vanilla(**changes):
    return TimedScheduler("vanilla", VanillaRl(GroupSettings(**changes)))


def test_learns_to_keep_enemies_apart():
    mixed = (SPACE.counts > 0).all(axis=1)
    tables = Tables(SPACE, {"rps": np.where(mixed[:, None], 0.5, 1.0) * (SPACE.counts > 0)})
    cluster, group = Cluster(SPACE, 3), np.array([4, 3])
    worth = MeanRps().bind(group, cluster, tables)
    learn = ReinforceSettings(episodes=20, replayed=10, learning_rate=1e-2, hidden=16)
    decision = vanilla(steps=150, learn=learn).place(group, cluster, worth)
    curve = decision.trace["curve"]
    assert worth[SPACE.index(decision.placement)].sum() == pytest.approx(1.0)
    assert np.mean([row["value"] for row in curve[-20:]]) > curve[0]["value"] + 0.15


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 3, 4]))
def test_any_size_and_any_start(seed, nodes):
    rng = np.random.default_rng(seed)
    cluster = Cluster(SPACE, nodes, rng.multinomial(2, [0.4, 0.2, 0.4], size=nodes)[:, :2])
    group = rng.multinomial(int(rng.integers(1, cluster.free_slots + 1)), [0.3, 0.7])
    decision = vanilla(steps=2, seed=seed, learn=SHORT).place(group, cluster, rng.random(SPACE.size))
    assert decision.placement.sum() == group.sum()


def test_one_decision_per_container_whatever_the_fan_out_says():
    cluster, group = Cluster(SPACE, 4), np.array([3, 3])
    results = [
        vanilla(steps=3, fan_out=k, learn=SHORT).place(group, cluster, SPACE.totals / 6.0).placement
        for k in (2, 3)
    ]
    np.testing.assert_array_equal(*results)


def test_more_episodes_an_update_than_published_at_the_published_rate():
    learn = VanillaRl().settings.learn
    assert learn == VanillaRlSettings().learn
    assert (learn.episodes, learn.replayed, learn.learning_rate, learn.entropy) == (30, 30, 1e-3, 0.01)
