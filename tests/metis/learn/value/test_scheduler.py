"""Placing with the value learner: whole clusters, sub-clusters, existing containers, rules, objectives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.optimum import place_optimum
from metis.errors import InputError, PlacementError
from metis.learn.loop import Budget, train
from metis.learn.value.choices import Choices, Limits
from metis.learn.value.dealer_learner import DealerLearner
from metis.learn.value.dealing import deal
from metis.learn.value.filling import Filler, Kind
from metis.learn.value.learner import ValueLearner
from metis.learn.value.pricing import Bound
from metis.learn.value.problem import ValueProblem
from metis.learn.value.scheduler import ValueScheduler
from metis.learn.value.settings import DealerSettings, DecodeSettings
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.objectives import FreeNodes, MeanRps, Objective, SloShare
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from tests.metis.learn.value.test_learner import SMALL, made_tables

TABLES = made_tables(3, 4)
SPACE = TABLES.space


def trained(objective: Objective, vacancy: float = 0.0) -> ValueLearner:
    group, cluster = np.ones(3, dtype=np.int64), Cluster(SPACE, 9)
    worth = objective.bind(group, cluster, TABLES)
    learner = ValueLearner(ValueProblem.of(SPACE, objective.name, worth, vacancy), SMALL)
    train(learner, Budget(SMALL.steps))
    return learner


@pytest.fixture(scope="module")
def learner() -> ValueLearner:
    return trained(MeanRps())


def test_hand_solved():
    """Two applications that must not meet, two nodes of two slots: each gets a node of its own."""
    space = ColocationSpace(("a", "b"), 2)
    worth = space.totals - 0.9 * (space.counts > 0).all(axis=1) * space.totals
    learner = ValueLearner(ValueProblem.of(space, "made", worth), SMALL)
    learner.step()
    placed = ValueScheduler(learner.weights()).place(np.array([2, 2]), Cluster(space, 2), worth).placement
    assert sorted(placed.tolist()) == [[0, 2], [2, 0]]


def test_choices_fit_what_remains_and_leave_what_fits():
    limits = Limits(SPACE, np.ones(SPACE.size, dtype=bool))
    choices = Choices(SPACE, np.zeros(SPACE.size, dtype=np.float32), np.ones(SPACE.size, dtype=bool), limits)
    rest = np.array([[3, 3, 0]])
    fit = choices.fitting(rest, rest, np.array([2]), 1)[0, : SPACE.size]
    expected = (SPACE.counts <= rest).all(axis=1) & (6 - SPACE.totals <= 4)
    np.testing.assert_array_equal(fit, expected)


@given(seed=st.integers(0, 10_000), keep=st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_best_choices_are_the_highest_that_fit(seed, keep):
    rng = np.random.default_rng(seed)
    worth = rng.normal(size=SPACE.size).astype(np.float32)
    limits = Limits(SPACE, np.ones(SPACE.size, dtype=bool))
    choices = Choices(SPACE, worth, np.ones(SPACE.size, dtype=bool), limits)
    nodes = rng.integers(1, 5, 6)
    rest = np.stack([rng.multinomial(rng.integers(0, 4 * n + 1), np.full(3, 1 / 3)) for n in nodes])
    prices, bonus = rng.normal(size=(6, 3)).astype(np.float32), np.zeros(6, dtype=np.float32)
    picks, valid = choices.best(prices, bonus, (rest, rest, nodes, 1), keep)
    scores = worth - prices @ SPACE.counts.T
    scores[~choices.fitting(rest, rest, nodes, 1)[:, : SPACE.size]] = -np.inf
    for row in range(6):
        best = np.sort(scores[row])[::-1][:keep]
        found = np.sort(scores[row][picks[row][valid[row]]])[::-1]
        np.testing.assert_allclose(found, best[np.isfinite(best)], rtol=1e-5)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_any_prices_bound_the_optimum_and_sharpening_tightens(seed):
    rng = np.random.default_rng(seed)
    group, cluster = rng.multinomial(rng.integers(1, 25), [0.4, 0.4, 0.2]), Cluster(SPACE, 6)
    worth = MeanRps().bind(group, cluster, TABLES)
    admitted = np.ones(SPACE.size, dtype=bool)
    choices = Choices(SPACE, worth.astype(np.float32), admitted, Limits(SPACE, admitted))
    bound = Bound.of([(choices, 6)], 0.0, group)
    optimum = value(place_optimum(group, cluster, worth)[0], cluster, worth)
    start = rng.normal(size=3) * 0.1
    prices, shares = bound.sharpen(start, group)
    assert bound.value(start, group) >= bound.value(prices, group) >= optimum - 1e-5
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize("highlevel", ["flat", "deal"])
@pytest.mark.parametrize("sharpen", [True, False])
def test_near_the_optimum_on_a_larger_cluster(learner, highlevel, sharpen):
    cluster = Cluster(SPACE, 45)
    scheduler = ValueScheduler(learner.weights(), highlevel, DecodeSettings(fine=20, sharpen=sharpen))
    for group in (np.array([40, 30, 20]), np.array([60, 60, 60])):
        worth = MeanRps().bind(group, cluster, TABLES)
        decision = scheduler.place(group, cluster, worth)
        best = value(place_optimum(group, cluster, worth)[0], cluster, worth)
        assert value(decision.placement, cluster, worth) >= 0.97 * best
        assert decision.trace["sub_clusters"] == (1 if highlevel == "flat" else 5)
        assert decision.trace["predicted"] == pytest.approx(best, rel=0.2)
        assert ("bound" in decision.trace) == (highlevel == "flat" and sharpen)
        assert best * (1 - 1e-6) <= decision.trace.get("bound", best) <= 1.02 * best


def test_existing_containers_stay_and_count(learner):
    rng = np.random.default_rng(3)
    existing = rng.multinomial(2, [0.3, 0.3, 0.4], size=12)
    existing[:3] = 0
    cluster = Cluster(SPACE, 12, existing)
    group = np.array([7, 6, 4])
    worth = MeanRps().bind(group, cluster, TABLES)
    placed = ValueScheduler(learner.weights()).place(group, cluster, worth).placement
    best = value(place_optimum(group, cluster, worth)[0], cluster, worth)
    assert value(placed, cluster, worth) >= 0.99 * best


def test_many_nodes_with_existing_containers(learner):
    """Several kinds of node, filled in bulk and then one by one."""
    existing = np.zeros((60, 3), dtype=np.int64)
    existing[10:40, 0] = 1
    existing[25:35, 1] = 2
    cluster = Cluster(SPACE, 60, existing)
    group = np.array([40, 40, 30])
    worth = MeanRps().bind(group, cluster, TABLES)
    best = value(place_optimum(group, cluster, worth)[0], cluster, worth)
    # dealing cannot know which sub-cluster holds what: it loses more where much runs already
    for highlevel, bar in (("flat", 0.995), ("deal", 0.95)):
        scheduler = ValueScheduler(learner.weights(), highlevel, DecodeSettings(fine=10))
        assert value(scheduler.place(group, cluster, worth).placement, cluster, worth) >= bar * best


def test_full_nodes_get_nothing_and_the_last_slot_is_used(learner):
    existing = np.array([[4, 0, 0], [1, 1, 1], [0, 2, 2]])
    cluster = Cluster(SPACE, 3, existing)
    group = np.array([0, 0, 1])
    for highlevel in ("flat", "deal"):
        worth = MeanRps().bind(group, cluster, TABLES)
        placed = ValueScheduler(learner.weights(), highlevel).place(group, cluster, worth).placement
        assert placed.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]]


RULES = st.builds(
    Rules,
    never_together=st.lists(st.sampled_from([("a", "b"), ("a", "c"), ("b", "b")]), max_size=2),
    at_most=st.dictionaries(st.sampled_from("abc"), st.integers(1, 3), max_size=2),
    only_beside=st.dictionaries(st.sampled_from("ac"), st.just(["b"]), max_size=1),
)


@given(rules=RULES, seed=st.integers(0, 1000), held=st.booleans(), sharpen=st.booleans())
@settings(max_examples=30, deadline=None)
def test_rules_hold_or_the_refusal_is_right(learner, rules, seed, held, sharpen):
    """`place` checks capacity, losses and rules itself; where it finds nothing, nothing may exist."""
    rng = np.random.default_rng(seed)
    allowed = rules.mask(SPACE)
    existing = np.zeros((7, 3), dtype=np.int64)
    if held:
        existing[: rng.integers(0, 7)] = SPACE.counts[
            rng.choice(np.flatnonzero(allowed & (SPACE.totals < 3)))
        ]
    cluster = Cluster(SPACE, 7, existing, allowed)
    group = rng.multinomial(rng.integers(1, max(2, cluster.free_slots)), [0.4, 0.3, 0.3])
    worth = MeanRps().bind(group, cluster, TABLES)
    scheduler = ValueScheduler(learner.weights(), decode=DecodeSettings(sharpen=sharpen))
    try:
        place_optimum(group, cluster, worth)
    except (PlacementError, InputError):
        with pytest.raises(PlacementError, match="within the rules"):
            scheduler.place(group, cluster, worth)
    else:
        scheduler.place(group, cluster, worth)


def test_refusal_names_the_application(learner):
    allowed = Rules(at_most={"b": 1}).mask(SPACE)
    group, cluster = np.array([1, 5, 1]), Cluster(SPACE, 4, allowed=allowed)
    with pytest.raises(PlacementError, match="5 x b"):
        ValueScheduler(learner.weights()).place(group, cluster, MeanRps().bind(group, cluster, TABLES))


@pytest.mark.parametrize("objective", [SloShare(0.9), FreeNodes(1.0), FreeNodes(3.0)])
def test_other_objectives(objective):
    # a vacancy is worth beta x load per node, in containers
    learner = trained(objective, vacancy=getattr(objective, "beta", 0.0) * 4 / 2)
    cluster = Cluster(SPACE, 15)
    for size in (10, 30, 55):
        group = np.random.default_rng(size).multinomial(size, [0.4, 0.3, 0.3])
        worth = objective.bind(group, cluster, TABLES)
        placed = ValueScheduler(learner.weights()).place(group, cluster, worth).placement
        best = value(place_optimum(group, cluster, worth)[0], cluster, worth)
        assert value(placed, cluster, worth) >= 0.97 * best


@given(
    free=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda f: sum(f) > 0),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=60, deadline=None)
def test_dealing_loses_nothing_fits_and_is_even(free, seed):
    rng = np.random.default_rng(seed)
    free = np.array(free)
    size = int(rng.integers(1, free.sum() + 1))
    group = rng.multinomial(size, rng.dirichlet(np.ones(3)))
    shares = deal(group, free)
    np.testing.assert_array_equal(shares.sum(axis=0), group)
    assert (shares.sum(axis=1) <= free).all()
    assert np.abs(shares - free[:, None] / free.sum() * group).max() <= 2


def test_learned_high_level(learner):
    settings = DealerSettings(steps=30, episodes=16)
    dealer = DealerLearner(learner.network, learner.problem, 9, settings)
    curve = train(dealer, Budget(settings.steps))
    # drawn deals lose little against even ones, judged by V, and training never makes them worse than that
    first, last = (np.mean([row["over_even"] for row in part]) for part in (curve[:5], curve[-5:]))
    assert last > first - 0.002
    assert last > -0.01
    group, cluster = np.array([50, 35, 25]), Cluster(SPACE, 45)
    worth = MeanRps().bind(group, cluster, TABLES)
    scheduler = ValueScheduler(learner.weights(dealer.dealer), "learned")
    best = value(place_optimum(group, cluster, worth)[0], cluster, worth)
    decision = scheduler.place(group, cluster, worth)
    assert decision.trace["sub_clusters"] == 5
    assert value(decision.placement, cluster, worth) >= 0.95 * best


def test_interrupted_dealer_goes_on_to_the_same_weights(learner):
    settings = DealerSettings(steps=4, episodes=4)
    whole, first, second = (DealerLearner(learner.network, learner.problem, 3, settings) for _ in range(3))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        first.step()
    second.restore(first.state())
    for _ in range(2):
        second.step()
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, second.state()[name], err_msg=name)


def test_filler_reports_what_cannot_be_placed(learner):
    allowed = Rules(at_most={"a": 1}).mask(SPACE)
    filler = Filler(learner.network, SPACE, learner.problem.table, 0.0, allowed)
    filled = filler.fill(np.array([[5, 0, 0], [3, 0, 0]]), [Kind(np.zeros(3, dtype=np.int64), 4)])
    ends, worth = filled.ends, filled.worth
    assert (ends[0] == -1).all()
    assert worth[0] == -np.inf
    assert SPACE.counts[ends[1]].sum(axis=0).tolist() == [3, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"highlevel": "tree"}, "'tree'"), ({"highlevel": "learned"}, "no dealer")],
)
def test_scheduler_names_what_is_wrong(learner, wrong, named):
    with pytest.raises(InputError, match=named):
        ValueScheduler(learner.weights(), **wrong)


def test_another_space_or_worth_is_refused(learner):
    scheduler = ValueScheduler(learner.weights())
    group = np.array([1, 1, 1])
    other = Cluster(ColocationSpace(("a", "b", "c"), 5), 3)
    with pytest.raises(InputError, match="4 slots, the cluster has 5"):
        scheduler.place(group, other, np.ones(other.space.size))
    cluster = Cluster(SPACE, 3)
    with pytest.raises(InputError, match="objective rps"):
        scheduler.place(group, cluster, SloShare(0.9).bind(group, cluster, TABLES))
