"""Learned prices: the network over a set, what it learns, and placing by it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.contract import WideMaterials
from baselines.registry import make_wide_scheduler
from metis.errors import InputError, SolverError
from metis.learn.loop import Budget, train
from metis.learn.prices import examples
from metis.learn.prices.examples import drawn_problem, solved, solved_example
from metis.learn.prices.features import NODE, OF_TYPES, features_of
from metis.learn.prices.learner import PricesLearner
from metis.learn.prices.network import drawn_weights
from metis.learn.prices.settings import PricesSettings
from metis.learn.prices.weights import PriceWeights, predicted
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.cluster import Cluster
from metis.problem.kinds import problem_of
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules
from metis.program.column_program import bound_by_columns

SMALL = PricesSettings(
    hidden=16,
    layers=1,
    problems=24,
    updates=10,
    apps=6,
    nodes=10,
    width=64,
    kept=200,
    learning_rate=1e-2,
    typed_share=0.0,
)
ORACLE = SyntheticOracle(SyntheticModel.drawn(8, 3), 4)


def drawn_layers(seed: int):
    return drawn_weights(8, 2, np.random.default_rng(seed))


def problem_on(oracle: SyntheticOracle, group, nodes: int = 6):
    cluster = Cluster(oracle.space, nodes)
    return problem_of(group, cluster, worth_of(MeanRps(), group, cluster, oracle))[0]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 9))
def test_applications_in_another_order_have_the_same_prices_in_that_order(seed, apps):
    rng = np.random.default_rng(seed)
    model = SyntheticModel.drawn(apps, seed)
    group = rng.integers(0, 6, apps) + np.arange(apps) % 2
    order = rng.permutation(apps)
    place_of = np.argsort(order)
    shuffled = replace(
        model,
        pressure=model.pressure[order],
        sensitivity=model.sensitivity[order],
        helpers=place_of[model.helpers[order]],
        help=model.help[order],
    )
    weights = PriceWeights(drawn_layers(seed), "rps")
    prices = weights.prices(problem_on(SyntheticOracle(model, 5), group, 12))
    others = weights.prices(problem_on(SyntheticOracle(shuffled, 5), group[order], 12))
    np.testing.assert_allclose(others, prices[order], rtol=1e-4, atol=1e-6)
    assert (prices[group == 0] == 0).all()


def test_a_group_twice_as_large_on_twice_the_nodes_has_half_the_prices():
    group, weights = np.array([3, 4, 2, 5, 1, 2, 3, 4]), PriceWeights(drawn_layers(1), "rps")
    once, twice = problem_on(ORACLE, group, 9), problem_on(ORACLE, 2 * group, 18)
    np.testing.assert_allclose(weights.prices(twice), weights.prices(once) / 2, rtol=1e-4)  # worth is a mean


def test_predicted_prices_bound_held_out_problems_within_six_percent():
    learner = PricesLearner(ORACLE, MeanRps(), SMALL)
    rng = np.random.default_rng(99)
    held_out = [solved(drawn_problem(ORACLE, MeanRps(), SMALL, rng), SMALL, rng, None) for _ in range(8)]

    def excess():
        layers = learner.weights().layers
        return float(np.mean([one.excess(predicted(layers, one.seen)) for one in held_out]))

    before = excess()
    train(learner, Budget(SMALL.problems))
    assert excess() < 0.06 < before


def test_on_types_that_it_never_saw_prices_bound_within_eight_percent():
    typed = replace(SMALL, typed_share=1.0)
    learner = PricesLearner(ORACLE, MeanRps(), typed)
    rng = np.random.default_rng(98)
    held_out = [solved_example(ORACLE, MeanRps(), typed, rng, None) for _ in range(8)]
    assert max(len(one.nodes) for one in held_out) > 2

    def excess():
        layers = learner.weights().layers
        return float(np.mean([one.excess(predicted(layers, one.seen)) for one in held_out]))

    before = excess()
    train(learner, Budget(typed.problems))
    assert excess() < 0.08 < before


def test_a_sub_problem_that_the_solver_gives_up_on_is_drawn_anew(monkeypatch):
    failures = iter([SolverError("gave up"), InputError("does not fit")])
    real, rng = examples.solved, np.random.default_rng(3)

    def solved_at_the_third(*given):
        for failure in failures:
            raise failure
        return real(*given)

    monkeypatch.setattr(examples, "solved", solved_at_the_third)
    assert solved_example(ORACLE, MeanRps(), SMALL, rng, None).best > 0


def test_tables_of_single_types_are_learned_from_as_an_oracle_is():
    tables = EmbeddedTestbed(SyntheticModel.drawn(3, 1), 3, 0.0).truth()
    known = replace(tables, by_type={"big": tables, "old": tables})
    typed = replace(SMALL, typed_share=1.0)
    problem = drawn_problem(known, MeanRps(), typed, np.random.default_rng(2))
    assert {one.name for one in problem.types} <= {"big", "old"}
    assert PricesLearner(known, MeanRps(), typed).step()["excess"] > 0


def test_an_application_that_a_type_has_no_room_for_is_seen_as_such():
    types = (NodeTypeSettings("s", count=3, slots=4, capacity={"cpu": 1}),)
    types += (NodeTypeSettings("l", count=1, slots=4, capacity={"cpu": 8}),)
    space, group = ORACLE.space, np.full(8, 1)
    requests = {app: {"cpu": 2 if app == "app-1" else 0.5} for app in space.apps}
    stated = state_problem(types, requests, Rules(), space.apps, 4, group)
    cluster = Cluster(space, 4, stated=stated)
    problem, _ = problem_of(group, cluster, worth_of(MeanRps(), group, cluster, ORACLE))
    shut = features_of(problem).node[:, NODE - OF_TYPES]
    assert shut[0] == 0.75
    assert not shut[1:].any()
    assert not features_of(problem_on(ORACLE, group)).node[:, NODE - OF_TYPES :].any()


def test_the_same_seed_gives_the_same_digits_and_an_interrupted_training_goes_on():
    tiny = replace(SMALL, problems=10, updates=2)
    learners = [PricesLearner(ORACLE, MeanRps(), tiny) for _ in range(3)]
    first, again, later = learners
    for _ in range(9):
        assert first.step() == again.step()
    later.restore(again.state())
    assert first.step() == later.step()
    for one, other in zip(first.weights().layers, later.weights().layers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_solver_s_prices_give_the_bound_that_others_exceed():
    rng = np.random.default_rng(5)
    problem = drawn_problem(ORACLE, MeanRps(), SMALL, rng)
    kind_of = np.zeros(SMALL.nodes, dtype=int)
    relaxed = bound_by_columns(problem, kind_of, width=64, seconds=60.0)
    example = solved(problem, SMALL, rng, None)
    prices = relaxed.solution.prices[example.seen.apps] / example.seen.unit
    assert example.excess(prices) == pytest.approx(0.0, abs=1e-6)
    assert example.excess(prices * 1.1) > 0


def test_applications_it_never_saw_are_placed_without_training(tmp_path):
    oracle = SyntheticOracle(SyntheticModel.drawn(24, 3), 8)
    assert not oracle.space.tabulated
    path = tmp_path / "weights.npz"
    PriceWeights(drawn_layers(0), "rps").save(path)
    weights = PriceWeights.load(path, "rps")
    group = np.ones(24, dtype=int)
    cluster = Cluster(oracle.space, 5)
    worth = worth_of(MeanRps(), group, cluster, oracle)
    columns = make_wide_scheduler("columns").place(group, cluster, worth)
    decision = make_wide_scheduler("metis", WideMaterials(weights=lambda name: weights)).place(
        group, cluster, worth
    )
    problem, kind_of = problem_of(group, cluster, worth)
    assert problem.value(kind_of, decision.placement) <= columns.trace["bound"] + 1e-9
    assert decision.trace["bound"] == pytest.approx(columns.trace["bound"], rel=0.01)
    assert decision.trace["bound_kind"] == "estimated"  # no limits are sought
    assert columns.trace["bound_kind"] == "proven"
    with pytest.raises(InputError, match=r"trained for objective rps, not slo-0\.9: train anew"):
        PriceWeights.load(path, "slo-0.9")


def test_many_applications_look_at_the_most_frequent_only():
    oracle = SyntheticOracle(SyntheticModel.drawn(140, 0), 4)
    group = np.arange(140) % 7
    seen = features_of(problem_on(oracle, group, 200))
    assert seen.edge.shape[:2] == (len(seen.apps), len(seen.partners)) == (120, 120)
    assert np.isfinite(seen.node).all()
    assert np.isfinite(seen.edge).all()


def test_a_scheduler_without_weights_says_what_it_needs():
    with pytest.raises(InputError, match=r"give Materials\.weights for 'prices'"):
        make_wide_scheduler("metis")
    with pytest.raises(InputError, match=r"prices\.min_mix 5: give at most max_mix, 2"):
        PricesSettings(min_mix=5.0, max_mix=2.0)
