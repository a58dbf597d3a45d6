"""The ensemble, forests and boosted trees as oracles: as their tables say, stored, and what they doubt."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.profile import make_profile
from metis.measure.testbed import draw_mixes, list_colocations
from metis.problem.space import ColocationSpace
from metis.simulate.belief import simulate_by_ensemble
from metis.simulate.fitting import oracle_of
from metis.simulate.lowrank import LowRank
from metis.simulate.process_oracle import ProcessOracle, fit_process_oracle
from metis.simulate.regressed import RegressedSimulator
from metis.simulate.settings import SimulatorSettings
from metis.simulate.tree_oracle import TreeOracle, fit_tree_oracle

NAMES = ("a", "b", "c", "d", "e")
SPACE = ColocationSpace(NAMES, 6)
FRESH = draw_mixes(SPACE, 120, seed=99)


@pytest.fixture(scope="module")
def measured():
    """Five applications on two resources, latency inverse to throughput."""
    rng = np.random.default_rng(4)
    pairs = np.zeros((5, 5))
    pairs[0, 1], pairs[3, 4] = 0.5, -0.3
    model = LowRank(rng.exponential(1.0, (5, 2)), rng.exponential(0.2, (5, 2)), pairs)
    rows = list_colocations(SPACE, "mixes", seed=1, mixes=90)
    rps = np.where(rows > 0, model.shares(rows), np.nan)
    return make_profile(NAMES, 6, rows, {"rps": rps, "p99": 2.0 / rps}, {})


@pytest.fixture(scope="module")
def ensemble(measured):
    return fit_process_oracle(measured, ("rps", "p99"), held_out=0.2, seed=0)


def test_the_ensemble_of_an_oracle_is_that_of_the_tables(measured, ensemble):
    oracle, report = ensemble
    tables, belief = simulate_by_ensemble(measured, ("rps",), held_out=0.2, seed=0)
    mean, spread = belief.first.beliefs
    ids = SPACE.index(FRESH)
    fresh = ~np.isin(ids, SPACE.index(measured.colocations))
    expected = np.where(FRESH > 0, np.exp(mean[ids]), 0.0)
    np.testing.assert_allclose(oracle.quantities_of(FRESH, ("rps",))["rps"][fresh], expected[fresh])
    np.testing.assert_allclose(oracle.spread(FRESH, "rps")[fresh], spread[ids][fresh], atol=1e-9)
    assert report["measured"] == pytest.approx(len(measured) / (SPACE.size - 1))
    assert report["r2"] == pytest.approx(tables.report["r2"], abs=0.02)
    assert 0 < report["coverage80"] <= 1


def test_the_ensemble_knows_other_quantities_too(ensemble):
    found = ensemble[0].quantities_of(FRESH, ("rps", "p99"))
    np.testing.assert_allclose((found["rps"] * found["p99"])[FRESH > 0], 2.0, rtol=1e-6)


def test_draws_scatter_by_the_spread_and_are_the_same_whenever_asked_for(ensemble):
    oracle, _ = ensemble
    rows = FRESH[FRESH.sum(axis=1) == 6]
    middle = oracle.quantities_of(rows, ("rps",))["rps"]
    draws = list(oracle.drawn())
    assert len(draws) == 8
    there = rows > 0
    logs = np.array([np.log(one.quantities_of(rows, ("rps",))["rps"][there]) for one in draws])
    apart = (logs - np.log(middle[there])) / oracle.spread(rows, "rps")[there]
    assert np.abs(apart.mean()) < 0.3
    assert apart.std() == pytest.approx(1.0, abs=0.3)
    again = draws[3].quantities_of(rows[5:7], ("rps",))["rps"]
    np.testing.assert_allclose(again, draws[3].quantities_of(rows, ("rps",))["rps"][5:7])


def test_an_ensemble_is_stored(ensemble, tmp_path):
    oracle = ensemble[0].cautious(0.5)
    oracle.save(tmp_path / "oracle.npz")
    again = ProcessOracle.load(tmp_path / "oracle.npz")
    for name in ("rps", "p99"):
        np.testing.assert_allclose(
            again.quantities_of(FRESH, (name,))[name], oracle.quantities_of(FRESH, (name,))[name]
        )
    with pytest.raises(InputError, match=r"oracle\.npz: no simulator of many applications"):
        TreeOracle.load(tmp_path / "oracle.npz")


@pytest.mark.parametrize("kind", ["forest", "boosted"])
def test_trees_predict_as_the_regressors_that_they_were_read_from(measured, kind, tmp_path):
    """This fails when scikit-learn keeps its trees otherwise."""
    settings = SimulatorSettings(kind=kind, trees=20, held_out=0.0)
    oracle, report = fit_tree_oracle(measured, settings)
    assert "r2" not in report
    model = RegressedSimulator(settings, measured.colocations, measured.rps)
    np.testing.assert_allclose(oracle.quantities_of(FRESH, ("rps",))["rps"], model.predict(FRESH), rtol=1e-9)
    oracle.save(tmp_path / "oracle.npz")
    again = TreeOracle.load(tmp_path / "oracle.npz")
    np.testing.assert_array_equal(
        again.quantities_of(FRESH, ("rps",))["rps"], oracle.quantities_of(FRESH, ("rps",))["rps"]
    )
    assert list(oracle.drawn()) == []


@pytest.mark.parametrize("kind", ["lowrank", "ensemble", "forest", "boosted"])
def test_every_kind_returns_what_was_measured(measured, kind):
    settings = SimulatorSettings(kind=kind, trees=5, held_out=0.3, members=1, resources=2)
    oracle, report = oracle_of(measured, settings)
    found = oracle.quantities_of(measured.colocations, ("rps",))["rps"]
    np.testing.assert_allclose(found, np.nan_to_num(measured.rps))
    assert {"measured", "r2", "mse"} <= set(report)
    without = SimulatorSettings(kind=kind, trees=5, held_out=0.0, members=1, resources=2, overwrite=False)
    assert oracle_of(measured, without)[0].known is None


def test_an_application_that_was_never_measured_reaches_what_it_reaches_alone(measured):
    few = measured.rows(np.flatnonzero(measured.colocations[:, 4] == 0))
    for kind in ("ensemble", "forest", "boosted"):
        oracle, _ = oracle_of(few, SimulatorSettings(kind=kind, trees=5, held_out=0.0))
        assert oracle.quantities_of(np.array([[0, 0, 0, 0, 1]]), ("rps",))["rps"][0, 4] == 1.0


def test_a_table_of_too_many_is_refused(measured):
    with pytest.raises(InputError, match="simulator=table needs every co-location measured"):
        oracle_of(measured, SimulatorSettings(kind="table"))
