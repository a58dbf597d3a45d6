"""The high level: it learns over frozen sub-schedulers, keeps the rules and loses nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import PlacementError
from metis.learn.paper.high_level import GroupSettings, PaperScheduler, cut
from metis.learn.paper.policy import initial_weights
from metis.learn.paper.reinforce import ReinforceSettings
from metis.learn.paper.sub_scheduler import (
    SubSchedulers,
)
from metis.learn.paper.tree import TreeShape
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.rules import Rules
from metis.problem.scheduler import TimedScheduler
from tests.metis.learn.paper.hostile import SPACE, hostile_tables


def untrained(ranges=2):
    shape = TreeShape(3, 1, 2, hidden=8)
    models = [initial_weights(shape, np.random.default_rng(seed)) for seed in range(ranges)]
    return SubSchedulers(SPACE, shape, tuple(np.stack(rows) for rows in zip(*models, strict=True)))


def test_the_high_level_learns_over_frozen_sub_schedulers(sub_schedulers):
    cluster, tables, group = Cluster(SPACE, 9), hostile_tables(), np.array([13, 12])
    worth = MeanRps().bind(group, cluster, tables)
    learn = ReinforceSettings(learning_rate=1.5e-2, entropy=0.05, replayed=10, demonstrations=30)
    scheduler = PaperScheduler(sub_schedulers[0], GroupSettings(steps=40, learn=learn))
    decision = TimedScheduler("paper", scheduler).place(group, cluster, worth)
    curve = decision.trace["curve"]
    assert curve[0]["episodes"] == 30
    assert curve[-1]["episodes"] == 30 + 39 * 10
    value = worth[SPACE.index(decision.placement)].sum()
    assert value == pytest.approx(curve[-1]["best"])
    assert value >= 0.9
    again = TimedScheduler("paper", scheduler).place(group, cluster, worth)
    np.testing.assert_array_equal(again.placement, decision.placement)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 14), st.booleans())
def test_any_size_any_start_any_rule(seed, nodes, ruled):
    rng = np.random.default_rng(seed)
    rules = Rules(at_most={"A": 2}, never_together=[("A", "B")] if seed % 2 else [])
    allowed = rules.mask(SPACE) if ruled else None
    existing = rng.multinomial(2, [0.3, 0.3, 0.4], size=nodes)[:, :2]
    if ruled:
        existing *= 0
    cluster = Cluster(SPACE, nodes, existing, allowed)
    group = rng.multinomial(int(rng.integers(1, nodes + 1 if ruled else cluster.free_slots + 1)), [0.5, 0.5])
    scheduler = PaperScheduler(untrained(), GroupSettings(steps=2, learn=ReinforceSettings(demonstrations=3)))
    decision = TimedScheduler("paper", scheduler).place(group, cluster, rng.random(SPACE.size))
    assert decision.placement.sum() == group.sum()  # rules and capacity: checked by TimedScheduler


def test_a_full_cluster_is_filled_to_the_last_slot():
    cluster, group = Cluster(SPACE, 7), np.array([20, 8])
    learn = ReinforceSettings(demonstrations=4, replayed=4)
    scheduler = TimedScheduler("paper", PaperScheduler(untrained(), GroupSettings(steps=3, learn=learn)))
    decision = scheduler.place(group, cluster, np.ones(SPACE.size))
    assert decision.placement.sum(axis=1).tolist() == [4] * 7


def test_no_node_left_by_a_rule_is_named():
    cluster = Cluster(SPACE, 2, allowed=Rules(at_most={"A": 1}).mask(SPACE))
    scheduler = PaperScheduler(untrained(), GroupSettings(steps=1))
    with pytest.raises(PlacementError, match="another container of A"):
        scheduler(np.array([3, 1]), cluster, np.ones(SPACE.size))


def test_sub_clusters_are_as_few_and_as_even_as_can_be():
    existing = np.arange(14).reshape(7, 2) % 3
    parts = cut(Cluster(SPACE, 7, existing), TreeShape(3, 1, 2))
    assert parts.nodes.tolist() == [3, 2, 2]
    assert parts.start.nodes.tolist() == [[1, 1, 1], [1, 1, 0], [1, 1, 0]]
    np.testing.assert_array_equal(parts.start.counts[parts.where[:, 0], parts.where[:, 1]], existing)
