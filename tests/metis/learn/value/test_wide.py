"""Wide spaces: training from a pool of co-locations, prices from the relaxation."""

import numpy as np
import pytest

from metis.learn.value import pool, pricing
from metis.learn.value.choices import Choices, Limits
from metis.learn.value.learner import ValueLearner
from metis.learn.value.pricing import Bound
from metis.learn.value.problem import ValueProblem
from metis.learn.value.scheduler import ValueScheduler
from metis.learn.value.settings import ValueSettings
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import solve_colocation_program
from metis.program.relaxation import relax

SPACE = ColocationSpace(("a", "b", "c", "d", "e"), 6)
SHORT = ValueSettings(steps=15, episodes=16, updates=8, max_nodes=12, wide_nodes=60)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(3)
    harm = rng.normal(0.1, 0.15, (5, 5))
    rps = np.exp(-(SPACE.counts @ harm) + np.diag(harm))
    return ValueProblem.of(SPACE, "rps", (rps * SPACE.counts).sum(axis=1))


def choices_of(problem):
    every = np.ones(SPACE.size, dtype=bool)
    return Choices(SPACE, problem.table.astype(np.float32), every, Limits(SPACE, every))


def test_the_pool_holds_what_the_relaxation_uses(problem, monkeypatch):
    monkeypatch.setattr(pool, "NEW", 8)
    ids = pool.likely_colocations(problem, SHORT)
    assert len(ids) < SPACE.size / 2
    for seed in range(5):
        group = np.random.default_rng(seed).multinomial(120, np.full(5, 0.2))
        used = relax(problem.table, group, Cluster(SPACE, 40)).nodes
        assert used[ids].sum() >= 0.8 * used.sum()


def test_pooled_choices_are_the_best_of_the_pool_or_of_all_where_none_fits(problem):
    every, few = choices_of(problem), pool.PooledChoices(problem, SPACE.index([[0] * 5, [3, 0, 0, 0, 0]]))
    prices, vacancy = np.zeros((2, 5), dtype=np.float32), np.zeros(2, dtype=np.float32)
    # five nodes for 3 a: the pool's fits; one node for 2 b and 2 c: only a co-location outside takes them
    rest, nodes = np.array([[3, 0, 0, 0, 0], [0, 2, 2, 0, 0]]), np.array([5, 1])
    fits = (rest, rest, nodes, 1)
    picks, valid = few.best(prices, vacancy, fits, 1)
    assert valid.all()
    assert few.counts[picks[0, 0]].tolist() == [3, 0, 0, 0, 0]
    assert few.counts[picks[1, 0]].sum() > 0
    assert picks[1, 0] == every.best(prices[1:], vacancy[1:], (rest[1:], rest[1:], nodes[1:], 1), 1)[0][0, 0]


def test_prices_of_very_many_columns_are_those_of_the_relaxation(problem, monkeypatch):
    group = np.array([20, 30, 10, 25, 15])
    bound = Bound.of([(choices_of(problem), 30)], 0.0, group)
    monkeypatch.setattr(pricing, "WIDE", 10)
    monkeypatch.setattr(pricing, "FEW", 40)
    prices, shares = bound.sharpen(np.zeros(5), group.astype(float))
    best = relax(problem.table, group, Cluster(SPACE, 30)).bound
    assert bound.value(prices, group.astype(float)) == pytest.approx(best, rel=1e-6)
    assert shares.sum() == pytest.approx(1.0)
    again, shares = bound.sharpen(prices, group.astype(float), pricing.COOLING[-4:])
    assert best * (1 - 1e-6) <= bound.value(again, group.astype(float)) <= best * 1.01
    assert shares.sum() == pytest.approx(1.0)


def test_a_learner_of_a_wide_space_places_near_the_optimum(problem, monkeypatch):
    monkeypatch.setattr("metis.learn.value.learner.POOLED", 100)
    monkeypatch.setattr(pricing, "WIDE", 100)
    monkeypatch.setattr(pricing, "FEW", 80)
    learner = ValueLearner(problem, SHORT)
    for _ in range(SHORT.steps):
        assert np.isfinite(learner.step()["loss"])
    group, cluster = np.array([40, 25, 30, 20, 35]), Cluster(SPACE, 40)
    placed = ValueScheduler(learner.weights()).place(group, cluster, problem.table)
    best = solve_colocation_program(problem.table, group, cluster)
    assert value(placed.placement, cluster, problem.table) >= 0.98 * best.value
    assert placed.trace["bound"] >= best.value * (1 - 1e-9)
