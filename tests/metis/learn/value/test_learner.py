"""The value learner: gradients, tasks, learning, resuming."""

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from metis.errors import InputError
from metis.learn.loop import Budget, train
from metis.learn.value.choices import Choices, Limits
from metis.learn.value.dealer_learner import DealerLearner
from metis.learn.value.fitting import Minibatch, backward, forward, losses
from metis.learn.value.learner import ValueLearner
from metis.learn.value.network import ValueNetwork, features, glorot, width
from metis.learn.value.problem import ValueProblem, draw_starts
from metis.learn.value.scheduler import ValueScheduler
from metis.learn.value.settings import DealerSettings, DecodeSettings, ValueSettings
from metis.learn.value.weights import ValueWeights
from metis.problem.cluster import Cluster
from metis.problem.objectives import FreeNodes, MeanRps, SloShare
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SMALL = ValueSettings(
    hidden=(32, 32), episodes=32, candidates=8, max_nodes=9, wide_nodes=90, updates=8, minibatch=128, steps=40
)


def made_tables(apps: int, slots: int, seed: int = 0) -> Tables:
    """Containers that slow one another by random amounts, and one pair that helps."""
    rng = np.random.default_rng(seed)
    space = ColocationSpace(tuple("abcdefgh"[:apps]), slots)
    harm = rng.uniform(0.02, 0.25, (apps, apps))
    harm[0, 1] = -0.3
    beside = space.counts[:, None, :] - np.eye(apps, dtype=int)
    rps = np.stack([1 - (np.minimum(beside[:, a], 2) * harm[a]).sum(axis=1) for a in range(apps)], axis=1)
    return Tables(space, {"rps": np.where(space.counts > 0, np.clip(rps, 0.05, None), 0.0)})


def made_problem(apps: int = 3, slots: int = 4) -> tuple[ValueProblem, Tables]:
    tables = made_tables(apps, slots)
    group = np.ones(apps, dtype=np.int64)
    return ValueProblem.of(
        tables.space, "rps", MeanRps().bind(group, Cluster(tables.space, 9), tables)
    ), tables


def test_gradient_is_that_of_the_loss():
    rng = np.random.default_rng(0)
    layers = [part for layer in glorot((5, 6, 4), rng) for part in layer]
    layers = [part.astype(np.float64) for part in layers]
    batch = Minibatch(
        inputs=rng.normal(size=(7, 5)),
        share=rng.random((7, 3)),
        returns=rng.random(4),
        weight=rng.random(4),
        best=rng.integers(0, 3, (3, 3)).astype(float),
        worth=rng.random(3),
        wide=np.array([0.0, 0.0, 0.0]),
    )

    def loss() -> float:
        value, bound, _ = losses(forward(layers, batch.inputs)[-1], batch, 10.0)
        return 10.0 * value + bound

    activations = forward(layers, batch.inputs)
    gradients = backward(layers, activations, losses(activations[-1], batch, 10.0)[2])
    for part, gradient in zip(layers, gradients, strict=True):
        for where in [tuple(rng.integers(0, part.shape)) for _ in range(4)]:
            kept = part[where]
            part[where] = kept + 1e-5
            above = loss()
            part[where] = kept - 1e-5
            below = loss()
            part[where] = kept
            assert gradient[where] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def test_value_of_no_node_is_0_and_grows_with_the_cluster():
    rng = np.random.default_rng(0)
    parts = glorot((width(3), 8, 4), rng)
    network = ValueNetwork(tuple(w for w, _ in parts), tuple(b for _, b in parts), 4)
    rest, bonus = np.array([[3, 2, 1], [3, 2, 1]]), np.zeros(2, dtype=np.float32)
    value = network.value(rest, np.array([0, 5]), bonus)
    assert value[0] == 0
    # per node: ten times the containers on ten times the nodes is ten times the worth, when both are many
    many = network.value(np.array([[300, 200, 100], [3000, 2000, 1000]]), np.array([200, 2000]), bonus)
    assert many[1] / many[0] == pytest.approx(10, rel=0.01)
    assert features(rest, np.array([1, 5]), bonus, 4).shape == (2, width(3))


def test_problem_recovers_the_scale_of_any_binding():
    problem, tables = made_problem()
    cluster = Cluster(tables.space, 9, existing=np.tile([1, 0, 0], (9, 1)))
    group = np.array([5, 2, 1])
    worth = MeanRps().bind(group, cluster, tables)
    unit = problem.unit(worth)
    np.testing.assert_allclose(worth / unit, problem.table, rtol=1e-9)
    vacant = FreeNodes(beta=0.5).bind(group, cluster, tables)
    assert vacant[0] / problem.unit(vacant) == pytest.approx(0.5 / 9 / unit)


def test_problem_refuses_another_worth():
    problem, tables = made_problem()
    cluster = Cluster(tables.space, 9)
    with pytest.raises(InputError, match="objective rps"):
        problem.unit(SloShare(0.9).bind(np.array([1, 1, 1]), cluster, tables))
    with pytest.raises(InputError, match="4 slots"):
        problem.unit(np.ones(7))


def test_starts_fit_their_clusters_and_span_the_loads():
    problem, _ = made_problem()
    starts = draw_starts(500, (2, 9), problem, SMALL, np.random.default_rng(0))
    load = starts.rest.sum(axis=1) / (starts.nodes * 4)
    assert load.max() == 1.0
    assert load.min() < 0.15
    assert starts.nodes.min() == 2
    assert starts.nodes.max() == 9
    skew = starts.rest.max(axis=1) / starts.rest.sum(axis=1)
    assert skew.max() > 0.9
    assert np.quantile(skew, 0.3) < 0.55


def test_it_learns_a_small_space():
    """The stated bar: 99 % of the optimum after 40 steps, by V alone, filling node after node."""
    from baselines.optimum import place_optimum

    problem, tables = made_problem()
    learner = ValueLearner(problem, SMALL)
    cluster = Cluster(tables.space, 9)
    groups = np.random.default_rng(5).multinomial(20, [0.5, 0.3, 0.2], size=6)

    def ratio() -> float:
        scheduler = ValueScheduler(
            learner.weights(), decode=DecodeSettings(beam=1, candidates=8, sharpen=False)
        )
        ratios = []
        for group in groups:
            worth = MeanRps().bind(group, cluster, tables)
            placed = scheduler.place(group, cluster, worth).placement
            best = place_optimum(group, cluster, worth)[0]
            ratios.append(worth[tables.space.index(placed)].sum() / worth[tables.space.index(best)].sum())
        return float(np.mean(ratios))

    untrained = ratio()
    train(learner, Budget(SMALL.steps))
    assert untrained < 0.985 < 0.99 < ratio()


def test_bound_falls_and_value_fits():
    problem, _ = made_problem()
    curve = train(ValueLearner(problem, SMALL), Budget(SMALL.steps))
    assert np.mean([row["bound"] for row in curve[-5:]]) < curve[0]["bound"]
    assert np.mean([row["value_loss"] for row in curve[-5:]]) < 0.1 * curve[0]["value_loss"]


def test_interrupted_training_goes_on_to_the_same_weights(tmp_path):
    problem, _ = made_problem()
    whole = ValueLearner(problem, SMALL)
    train(whole, Budget(6))
    first = ValueLearner(problem, SMALL)
    train(first, Budget(3), key=SMALL.key, checkpoint=tmp_path / "checkpoint.npz")
    second = ValueLearner(problem, SMALL)
    curve = train(second, Budget(6), key=SMALL.key, checkpoint=tmp_path / "checkpoint.npz")
    assert len(curve) == 6
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, second.state()[name], err_msg=name)


@pytest.mark.parametrize("keep", [1, 8])
def test_threads_choose_what_one_chooses(keep):
    """So many states that each thread gets several blocks of them."""
    space, rng = ColocationSpace(tuple("abcdef"), 8), np.random.default_rng(0)
    worth = rng.random(space.size, dtype=np.float32)
    admitted = np.ones(space.size, dtype=bool)
    states = 1200
    rest, nodes = rng.integers(0, 12, (states, 6)), np.full(states, 9)
    prices, vacancy = rng.random((states, 6), dtype=np.float32), np.zeros(states, dtype=np.float32)
    found = [
        Choices(space, worth, admitted, Limits(space, admitted), threads=threads).best(
            prices, vacancy, (rest, rest, nodes, 1), keep
        )
        for threads in (1, 3)
    ]
    for one, several in zip(*found, strict=True):
        np.testing.assert_array_equal(one, several)
    assert found[0][1].any()


def test_same_seed_same_weights_other_seed_others():
    problem, _ = made_problem()
    learners = [ValueLearner(problem, ValueSettings(**{**vars(SMALL), "seed": seed})) for seed in (1, 1, 2)]
    for learner in learners:
        train(learner, Budget(2))
    first, second, other = (learner.network.weights[0] for learner in learners)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_weights_come_back_and_are_refused_elsewhere(tmp_path):
    problem, tables = made_problem()
    learner = ValueLearner(problem, SMALL)
    learner.step()
    path = tmp_path / "value.npz"
    learner.weights().save(path)
    back = ValueWeights.load(path, tables.space, "rps")
    group, cluster = np.array([6, 5, 4]), Cluster(tables.space, 9)
    worth = MeanRps().bind(group, cluster, tables)
    np.testing.assert_array_equal(
        ValueScheduler(back).place(group, cluster, worth).placement,
        ValueScheduler(learner.weights()).place(group, cluster, worth).placement,
    )
    with pytest.raises(InputError, match=r"objective rps, not slo0\.95"):
        ValueWeights.load(path, tables.space, "slo0.95")
    with pytest.raises(InputError, match="slots 4, not 5"):
        ValueWeights.load(path, ColocationSpace(tables.space.apps, 5), "rps")
    with pytest.raises(InputError, match="applications a, b, c, not a, b"):
        ValueWeights.load(path, ColocationSpace(("a", "b"), 4), "rps")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"episodes": 0}, "episodes 0"),
        ({"max_nodes": 1}, "max_nodes 1"),
        ({"max_load": 1.5}, "max_load 1.5"),
        ({"min_mix": 0}, "min_mix 0"),
        ({"learning_rate": -1}, "learning_rate -1"),
        ({"hidden": ()}, "hidden"),
    ],
)
def test_settings_name_what_is_wrong(wrong, named):
    with pytest.raises(InputError, match=named):
        ValueSettings(**wrong)


def test_so_do_those_of_the_high_level_and_of_placing():
    with pytest.raises(InputError, match=r"dealer\.min_load 0\.7: give at most max_load, 0\.6"):
        DealerSettings(min_load=0.7)
    with pytest.raises(InputError, match=r"decode\.beam 0"):
        DecodeSettings(beam=0)


def test_dealing_is_learned_on_one_blas_thread(monkeypatch):
    limits = []
    monkeypatch.setattr(DealerLearner, "_step", lambda self: limits.append(_blas_threads()) or {})
    DealerLearner.step(DealerLearner.__new__(DealerLearner))
    assert limits == [{1}]


def _blas_threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
