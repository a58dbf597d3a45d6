"""REINFORCE as a learner, the sub-schedulers and the high level: they learn, resume and keep the rules."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError, PlacementError
from metis.learn.loop import Budget, train
from metis.learn.paper.high_level import GroupSettings, PaperScheduler, cut
from metis.learn.paper.policy import initial_weights
from metis.learn.paper.reinforce import ReinforceOnGroup, ReinforceSettings, TreeProblem, balanced_episodes
from metis.learn.paper.sub_scheduler import (
    SubSchedulers,
    SubSchedulerSettings,
    admitted_moves,
    judge_nodes,
    train_model,
    train_sub_schedulers,
)
from metis.learn.paper.tree import TreeShape
from metis.problem.cluster import Cluster
from metis.problem.objectives import Latency, MeanRps, SloShare
from metis.problem.rules import Rules
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("A", "B"), 4)
NODES = np.ones(3, dtype=int)


def hostile_tables(space=SPACE):
    """Applications that halve one another's RPS, and do not mind their own kind."""
    mixed = (space.counts > 0).all(axis=1)
    return Tables(space, {"rps": np.where(mixed[:, None], 0.5, 1.0) * (space.counts > 0)})


def hostile_problem(group=(5, 4), nodes=NODES, tables=None):
    tables = tables or hostile_tables()
    cluster = Cluster(SPACE, len(nodes))
    group = np.array(group)
    return TreeProblem(
        demand=group,
        counts=cluster.existing,
        ids=np.zeros(len(nodes), dtype=int),
        nodes=nodes,
        moves=admitted_moves(cluster),
        order=np.arange(2),
        judge=judge_nodes(SPACE, cluster.existing, nodes, MeanRps().bind(group, cluster, tables)),
    )


def group_learner(seed=0, **changes):
    learn = ReinforceSettings(
        **({"episodes": 20, "replayed": 10, "demonstrations": 5, "hidden": 16} | changes)
    )
    return ReinforceOnGroup(TreeShape(3, 1, 2, False, learn.hidden), learn, seed, hostile_problem())


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def sub_schedulers():
    chosen = SubSchedulerSettings(
        nodes=3, ranges=1, steps=150, learn=ReinforceSettings(episodes=32, hidden=16, learning_rate=2e-2)
    )
    return train_sub_schedulers(MeanRps(), hostile_tables(), chosen, seed=3)


def test_learns_to_keep_enemies_apart():
    learner = group_learner()
    curve = train(learner, Budget(120))
    assert curve[0]["value"] < 0.8
    assert np.mean([row["value"] for row in curve[-10:]]) >= 0.95
    assert learner.best_value == pytest.approx(1.0)
    assert not (learner.best_loads() > 0).all(axis=1).any()
    assert learner.best_loads().sum(axis=0).tolist() == [5, 4]


def test_resumed_is_uninterrupted(tmp_path):
    whole, file = group_learner(), tmp_path / "checkpoint.npz"
    curve = train(whole, Budget(8))
    train(group_learner(), Budget(5), key="k", checkpoint=file)
    resumed = group_learner(seed=0)
    continued = train(resumed, Budget(8), key="k", checkpoint=file)
    assert same(whole.state(), resumed.state())
    assert [row["loss"] for row in continued] == [row["loss"] for row in curve]


def test_the_seed_decides():
    runs = [group_learner(seed) for seed in (7, 7, 8)]
    for learner in runs:
        train(learner, Budget(4))
    assert same(runs[0].state(), runs[1].state())
    assert not np.array_equal(runs[0].best, runs[2].best)


def test_replay_keeps_the_best_and_demonstrations_while_they_are_near():
    learner = group_learner(kept=6, eta=1.1)
    train(learner, Budget(40))
    memory, best = learner.memory.values, learner.best_value
    assert 0 < len(memory) <= 6
    assert (memory >= best / 1.1).all()
    assert 1.001 <= learner.eta < 1.1
    assert best == pytest.approx(1.0)
    assert len(learner.demonstrations.values) == 0  # load balancing mixes enemies: far below the best
    fresh = group_learner(demonstrations_within=0.9)
    fresh.step()
    assert len(fresh.demonstrations.values) == 5


def test_demonstrations_balance_the_load():
    problem = hostile_problem((7, 4))
    leaves = balanced_episodes(problem, 6, np.random.default_rng(0))
    assert leaves.shape == (11, 6)
    for episode in leaves.T:
        assert sorted(np.bincount(episode[:7], minlength=3)) == [2, 2, 3]
        assert sorted(np.bincount(episode[7:], minlength=3)) == [1, 1, 2]
        assert np.bincount(episode).max() <= 4


def test_a_lost_container_costs_more_than_any_brings():
    judge = hostile_problem().judge
    loads = np.array([[[4, 0], [0, 4], [1, 0]], [[4, 0], [0, 4], [0, 0]]])
    whole, short = judge(loads, np.array([0, 1]))
    assert whole == pytest.approx(1.0)
    assert short == pytest.approx(8 / 9 - 4 / 9)


def test_sub_schedulers_learn_for_groups_never_seen(sub_schedulers):
    schedulers, curves = sub_schedulers
    assert [len(curve) for curve in curves] == [150]
    scheduler = PaperScheduler(schedulers, GroupSettings(steps=1))
    cluster, tables = Cluster(SPACE, 3), hostile_tables()
    values = []
    for group in ([4, 4], [2, 6], [8, 3], [1, 1], [3, 8]):
        worth = MeanRps().bind(np.array(group), cluster, tables)
        decision = TimedScheduler("paper", scheduler).place(np.array(group), cluster, worth)
        values.append(worth[SPACE.index(decision.placement)].sum())
    assert np.mean(values) >= 0.9  # the optimum of each is 1; round-robin gets 0.5 to 0.6


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


def test_weights_are_refused_for_anything_else(sub_schedulers, tmp_path):
    schedulers, _ = sub_schedulers
    file, tables = tmp_path / "weights.npz", hostile_tables()
    schedulers.save(file, MeanRps(), tables)
    loaded = SubSchedulers.load(file, MeanRps(), tables)
    assert loaded.shape == schedulers.shape
    assert all(map(np.array_equal, loaded.weights, schedulers.weights))
    with pytest.raises(InputError, match=r"objective rps, not slo0\.95"):
        SubSchedulers.load(file, SloShare(0.95), tables)
    with pytest.raises(InputError, match="worth"):
        SubSchedulers.load(file, MeanRps(), Tables(SPACE, {"rps": tables.rps * 0.9}))
    wider = ColocationSpace(("A", "B"), 5)
    with pytest.raises(InputError, match="slots 4, not 5"):
        SubSchedulers.load(file, MeanRps(), hostile_tables(wider))
    cluster = Cluster(wider, 3)
    with pytest.raises(InputError, match="slots=4"):
        PaperScheduler(loaded)(np.array([1, 1]), cluster, np.ones(wider.size))


def test_ranges_are_trained_apart_or_chained(tmp_path):
    learn = ReinforceSettings(episodes=4, hidden=4)
    chosen = SubSchedulerSettings(nodes=3, ranges=2, steps=3, learn=learn)
    seen = []
    made, _ = train_sub_schedulers(
        MeanRps(), hostile_tables(), chosen, 5, checkpoints=tmp_path, progress=lambda row: seen.append(row)
    )
    assert made.ranges == [(1, 6), (7, 12)]
    assert [(row["model"], row["step"]) for row in seen] == [(m, s) for m in (0, 1) for s in (1, 2, 3)]
    alone, _ = train_model(MeanRps(), hostile_tables(), chosen, 5, 1)
    assert all(np.array_equal(one, both[1]) for one, both in zip(alone, made.weights, strict=True))
    seen.clear()
    again, _ = train_sub_schedulers(
        MeanRps(), hostile_tables(), chosen, 5, checkpoints=tmp_path, progress=lambda row: seen.append(row)
    )
    assert seen == []  # both were finished: taken from their checkpoints
    assert all(map(np.array_equal, again.weights, made.weights))
    chained, _ = train_sub_schedulers(MeanRps(), hostile_tables(), replace(chosen, chained=True), 5)
    np.testing.assert_array_equal(chained.weights[0][0], made.weights[0][0])
    moved, fresh = (np.abs(w[0][1] - w[0][0]).max() for w in (chained.weights, made.weights))
    assert moved <= 3 * 1.1 * learn.learning_rate < fresh  # Adam moves a weight by about its rate a step


def test_groups_without_a_measured_latency_are_drawn_again():
    speed = np.where(SPACE.counts > 0, 1.0, 0.0)
    speed[:, 1] = np.nan
    chosen = SubSchedulerSettings(nodes=3, ranges=12, steps=12, learn=ReinforceSettings(episodes=2, hidden=4))
    tables = Tables(SPACE, {"rps": hostile_tables().rps, "speed": speed})
    _, curve = train_model(Latency(), tables, chosen, 0, 0)  # groups of one container: half would be B
    assert all(row["value"] == pytest.approx(1.0) for row in curve)
    with pytest.raises(InputError, match="no latency was measured"):
        train_model(Latency(), Tables(SPACE, {"rps": tables.rps, "speed": speed * np.nan}), chosen, 0, 0)


def untrained(ranges=2):
    shape = TreeShape(3, 1, 2, hidden=8)
    models = [initial_weights(shape, np.random.default_rng(seed)) for seed in range(ranges)]
    return SubSchedulers(SPACE, shape, tuple(np.stack(rows) for rows in zip(*models, strict=True)))


@settings(max_examples=25, deadline=None)
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


@pytest.mark.parametrize(
    ("settings_class", "values", "named"),
    [
        (SubSchedulerSettings, {"nodes": 28}, "nodes 28"),
        (SubSchedulerSettings, {"ranges": 0}, "ranges 0"),
        (ReinforceSettings, {"episodes": 1}, "episodes 1"),
        (ReinforceSettings, {"learning_rate": 0}, "learning_rate 0"),
        (ReinforceSettings, {"eta": 1.0001}, "eta 1.0001"),
        (GroupSettings, {"fan_out": 1}, "fan_out 1"),
    ],
)
def test_settings_out_of_range_are_named(settings_class, values, named):
    with pytest.raises(InputError, match=named):
        settings_class(**values)
