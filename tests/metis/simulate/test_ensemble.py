"""The ensemble: exact where it should be, calibrated where it is not, not fooled by noise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime

from metis.errors import InputError
from metis.measure.embedded import InterferenceModel
from metis.measure.profile import make_profile
from metis.measure.testbed import EmbeddedTestbed
from metis.operate.drift import drift
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.program.relaxation import relax
from metis.simulate.belief import simulate_by_ensemble
from metis.simulate.ensemble import Ensemble, _calibration, fit_ensemble, observe
from metis.simulate.gaussian import _loss, features, fit_process, prior

MODEL = InterferenceModel.load()
SPACE = ColocationSpace(MODEL.apps, 4)
TRUTH = MODEL.rps(SPACE.counts)
PRESENT = SPACE.counts > 0


def some(count: int, seed: int = 0) -> IntArray:
    return np.sort(np.random.default_rng(seed).permutation(np.arange(1, SPACE.size))[:count])


def noisy(ids: IntArray, noise: float, seed: int) -> FloatArray:
    errors = np.random.default_rng(seed).normal(0, noise, (len(ids), len(SPACE.apps)))
    return np.where(PRESENT[ids], TRUTH[ids] * np.exp(errors), np.nan)


def log_error(ensemble: Ensemble, ids: IntArray) -> FloatArray:
    here = PRESENT[ids]
    return np.asarray(np.abs(ensemble.beliefs[0][ids] - np.log(np.where(here, TRUTH[ids], 1)))[here])


@pytest.fixture(scope="module")
def fitted() -> Ensemble:
    ids = some(80)
    return fit_ensemble(SPACE, observe(ids, noisy(ids, 0.0, 0)))


def test_measured_rows_are_exact_without_noise(fitted: Ensemble) -> None:
    ids = fitted.seen.ids
    np.testing.assert_allclose(fitted.expected[ids], TRUTH[ids], rtol=1e-12)
    assert not fitted.beliefs[1][ids].any()


def test_alone_reaches_one_and_absent_reaches_nothing(fitted: Ensemble) -> None:
    alone = SPACE.index(np.eye(len(SPACE.apps), dtype=np.int64))
    np.testing.assert_allclose(fitted.expected[alone], np.eye(len(SPACE.apps)))
    assert np.array_equal(fitted.expected > 0, PRESENT)
    assert np.array_equal(fitted.draw(np.random.default_rng(0)) > 0, PRESENT)


def test_predicts_what_it_has_not_seen(fitted: Ensemble) -> None:
    others = np.setdiff1d(np.arange(1, SPACE.size), fitted.seen.ids)
    errors = TRUTH[others][PRESENT[others]] - fitted.expected[others][PRESENT[others]]
    assert 1 - errors.var() / TRUTH[others][PRESENT[others]].var() > 0.95


def test_most_of_the_truth_lies_in_the_interval(fitted: Ensemble) -> None:
    others = np.setdiff1d(np.arange(1, SPACE.size), fitted.seen.ids)
    low, high = fitted.interval(0.8)
    inside = ((low <= TRUTH) & (high >= TRUTH))[others][PRESENT[others]]
    assert 0.65 <= inside.mean() <= 0.97
    assert 0.65 <= fitted.coverage <= 0.97


def test_draws_have_the_mean_and_spread_that_are_told(fitted: Ensemble) -> None:
    rng = np.random.default_rng(1)
    others = np.setdiff1d(np.flatnonzero(SPACE.totals > 1), fitted.seen.ids)
    draws = np.stack([fitted.draw(rng)[others] for _ in range(60)])
    here = PRESENT[others]
    logs = np.log(draws[:, here])
    mean, spread = (values[others][here] for values in fitted.beliefs)
    assert np.abs((logs.mean(axis=0) - mean) / spread).mean() < 0.3
    assert 0.85 < float(np.median(logs.std(axis=0) / spread)) < 1.15


def test_draws_agree_with_what_was_measured(fitted: Ensemble) -> None:
    drawn = fitted.draw(np.random.default_rng(2))
    np.testing.assert_allclose(drawn[fitted.seen.ids], TRUTH[fitted.seen.ids], rtol=1e-9)


def test_noise_is_learnt_from_repeated_runs() -> None:
    ids = np.repeat(some(40), 3)
    seen = observe(ids, noisy(ids, 0.05, 3))
    assert 0.04 < seen.noise < 0.06
    assert (seen.runs == 3).all()


def test_identical_repeats_mean_no_noise() -> None:
    ids = np.repeat(some(10), 2)
    assert observe(ids, noisy(ids, 0.0, 0)).noise == 0.0


def test_a_lucky_run_leans_towards_the_model() -> None:
    ids = some(120)
    single = fit_ensemble(SPACE, observe(ids, noisy(ids, 0.1, 4), noise=0.1))
    shrunk = log_error(single, ids)
    raw = np.abs(np.log(noisy(ids, 0.1, 4)) - np.log(np.where(PRESENT[ids], TRUTH[ids], 1)))[PRESENT[ids]]
    assert shrunk.mean() < 0.75 * raw.mean()
    assert (single.beliefs[1][ids][PRESENT[ids] & (SPACE.totals[ids] > 1)[:, None]] > 0).all()


def test_an_application_never_measured_is_believed_to_reach_what_it_does_alone() -> None:
    ids = np.flatnonzero((SPACE.counts[:, 6] == 0) & (SPACE.totals == 2))
    fitted = fit_ensemble(SPACE, observe(ids, noisy(ids, 0.0, 0)))
    unseen = PRESENT[:, 6]
    assert np.allclose(fitted.beliefs[0][unseen, 6], 0.0)
    assert (fitted.beliefs[1][unseen & (SPACE.totals > 1), 6] > 0.05).all()


def test_the_gradient_of_the_loss_is_right() -> None:
    rng = np.random.default_rng(0)
    counts = np.concatenate([np.eye(7, dtype=np.int64)[:1], SPACE.counts[some(60)]])
    counts = counts[counts[:, 0] > 0]
    targets, noise = rng.normal(0, 0.2, len(counts)), np.full(len(counts), 1e-3)
    theta = prior(7)[0] + rng.normal(0, 0.3, 24)
    seen = features(counts, 0)
    numeric = approx_fprime(theta, lambda t: _loss(t, seen, targets, noise)[0], 1e-6)
    np.testing.assert_allclose(_loss(theta, seen, targets, noise)[1], numeric, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-1, 0.5), min_size=1, max_size=6), st.integers(0, 100))
def test_left_out_errors_are_those_of_fits_that_leave_one_out(logs: list[float], seed: int) -> None:
    chosen = np.random.default_rng(seed).permutation(np.flatnonzero(PRESENT[:, 0] & (SPACE.totals > 1)))
    counts, targets = SPACE.counts[chosen[: len(logs)]], np.array(logs)
    noise = np.full(len(logs), 1e-3)
    whole = fit_process(0, counts, targets, noise, steps=0)
    for i, (error, spread) in enumerate(zip(*whole.left_out(), strict=True)):
        rest = np.arange(len(logs)) != i
        part = fit_process(0, counts[rest], targets[rest], noise[rest], steps=0)
        mean, variance = part.predict(features(counts[[i]], 0))
        assert error == pytest.approx(targets[i] - mean[0], rel=1e-3, abs=1e-4)
        assert spread == pytest.approx(variance[0] + noise[i], rel=1e-3)


@pytest.mark.parametrize("wide", [0.6, 1.0, 1.5])
def test_a_calibration_is_what_left_out_errors_differ_from_their_spread_by(wide: float) -> None:
    rng = np.random.default_rng(0)
    spreads, noises = rng.uniform(0.01, 0.1, 20_000), np.full(20_000, 0.03**2)
    missed = np.abs(rng.normal(0, np.sqrt((wide * spreads) ** 2 + noises)))
    apart, picked = _calibration(missed, spreads**2 + noises, noises, 7, 1.0)
    assert apart == pytest.approx(min(wide, 1.0), rel=0.03)  # wider spreads are the widening's
    assert picked == pytest.approx(1.0, abs=0.01)
    # with few rows, of which the hyperparameters were fitted to all, both are wider
    few = _calibration(missed[:70], (spreads**2 + noises)[:70], noises[:70], 7, 1.0)
    assert few[1] == pytest.approx(1.6)
    assert _calibration(missed[:20], (spreads**2 + noises)[:20], noises[:20], 7, 1.0) == (1.0, 1.0)


def test_a_calibration_leaves_plans_their_spread() -> None:
    ids = some(300)
    fitted = fit_ensemble(SPACE, observe(ids, noisy(ids, 0.02, 0), noise=0.02))
    apart, picked = fitted.calibration
    assert 0.4 <= apart < picked
    assert fitted.widening >= 1.0
    wider = replace(fitted, calibration=(0.1, 9.0))
    np.testing.assert_array_equal(wider.beliefs[1], fitted.beliefs[1])


def test_a_simulator_of_a_profile_reports_its_coverage() -> None:
    profile = EmbeddedTestbed(MODEL, 4, 0.0).measure(SPACE.counts[some(150)], seed=0)
    simulator, ensemble = simulate_by_ensemble(profile)
    assert simulator.report["r2"] > 0.95
    assert 0.6 <= simulator.report["coverage80"] <= 1.0
    ids = SPACE.index(profile.colocations)
    np.testing.assert_allclose(simulator.tables.rps[ids], TRUTH[ids], rtol=1e-9)
    assert ensemble.tables.rps.shape == TRUTH.shape


def test_an_impossible_noise_is_refused() -> None:
    with pytest.raises(InputError, match="noise 2"):
        observe([1], TRUTH[[1]], noise=2)


def test_drift_is_reported_where_a_measurement_leaves_its_interval() -> None:
    profile = EmbeddedTestbed(MODEL, 4, 0.0).measure(SPACE.counts[some(60)], seed=0)
    rps = profile.rps.copy()
    row = int(profile.colocations.sum(axis=1).argmax())
    app = int(profile.colocations[row].argmax())
    rps[row, app] *= 0.7
    fresh = make_profile(profile.apps, 4, profile.colocations, {"rps": rps}, {})
    found = drift(profile, fresh, noise=0.02)
    assert [(one.app, one.recorded) for one in found] == [(profile.apps[app], True)]
    assert found[0].measured < found[0].low < found[0].expected < found[0].high
    assert not drift(profile, profile, noise=0.02)


def test_drift_of_what_was_never_measured_is_judged_by_the_belief(fitted: Ensemble) -> None:
    testbed = EmbeddedTestbed(MODEL, 4, 0.0)
    profile = testbed.measure(SPACE.counts[fitted.seen.ids], seed=0)
    others = np.setdiff1d(np.flatnonzero(SPACE.totals == 4), fitted.seen.ids)[:1]
    fresh = testbed.measure(SPACE.counts[others], seed=0)
    broken = make_profile(profile.apps, 4, fresh.colocations, {"rps": fresh.rps * 0.2}, {})
    assert not drift(profile, broken)
    assert [one.recorded for one in drift(profile, broken, belief=fitted)] == [False] * int(
        PRESENT[others].sum()
    )


def test_drift_refuses_profiles_of_other_applications() -> None:
    profile = EmbeddedTestbed(MODEL, 4, 0.0).measure(SPACE.counts[some(5)], seed=0)
    with pytest.raises(InputError, match="same applications"):
        drift(profile, profile.on(5))


def test_the_relaxation_bounds_and_is_exact_where_it_is_whole() -> None:
    from metis.problem.cluster import Cluster

    pair = ColocationSpace(("a", "b"), 2)
    worth = np.zeros(pair.size)
    worth[pair.index([[1, 0], [0, 1], [1, 1]])] = [1.0, 1.0, 3.0]
    cluster = Cluster(pair, 2, existing=np.array([[1, 0], [0, 0]]))
    found = relax(worth, np.array([0, 1]), cluster)
    assert found.bound == pytest.approx(3.0)
    assert found.nodes[pair.index([1, 1])] == pytest.approx(1.0)
    assert found.nodes.sum() == pytest.approx(2.0)
