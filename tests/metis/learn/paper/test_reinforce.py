"""REINFORCE as a learner: it learns, resumes, replays the best; and bounds of the settings."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.learn.loop import Budget, train
from metis.learn.paper.high_level import GroupSettings
from metis.learn.paper.reinforce import ReinforceOnGroup, ReinforceSettings, TreeProblem, balanced_episodes
from metis.learn.paper.sub_scheduler import (
    SubSchedulerSettings,
    admitted_moves,
    judge_nodes,
)
from metis.learn.paper.tree import TreeShape
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from tests.metis.learn.paper.hostile import SPACE, hostile_tables

NODES = np.ones(3, dtype=int)


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
