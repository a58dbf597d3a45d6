"""The low-rank simulator: its formula by hand, truths that are recovered, limits, and what it doubts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError
from metis.files import save_arrays
from metis.measure.contention import contention
from metis.measure.profile import make_profile
from metis.measure.testbed import draw_mixes, list_colocations, load_embedded
from metis.problem.oracle import BoundedOracle
from metis.problem.space import ColocationSpace
from metis.simulate.fitting import fit_simulator
from metis.simulate.lowrank import LowRank, Rows, fit_lowrank, starting
from metis.simulate.lowrank_oracle import LowRankOracle, fit_lowrank_oracle
from metis.simulate.settings import SimulatorSettings

NAMES = ("a", "b", "c", "d", "e")
SPACE = ColocationSpace(NAMES, 6)


def truth():
    """Five applications on two resources; b helps a, and e costs d."""
    rng = np.random.default_rng(4)
    pairs = np.zeros((5, 5))
    pairs[0, 1], pairs[3, 4] = 0.5, -0.3
    return LowRank(rng.exponential(1.0, (5, 2)), rng.exponential(0.2, (5, 2)), pairs)


def profile_of(model, colocations, names=NAMES, slots=6):
    rps = np.where(colocations > 0, model.shares(colocations), np.nan)
    return make_profile(names, slots, colocations, {"rps": rps}, {})


@pytest.fixture(scope="module")
def measured():
    return profile_of(truth(), list_colocations(SPACE, "mixes", seed=1, mixes=90))


@pytest.fixture(scope="module")
def fitted(measured):
    return fit_lowrank_oracle(measured, resources=2, members=3, seed=2)


def test_two_containers_by_hand():
    model = LowRank(
        pressure=np.array([[3.0], [1.0]]),
        sensitivity=np.array([[0.5], [0.0]]),
        pairs=np.array([[0.0, -0.1], [0.2, 0.0]]),
    )
    alone, beside = contention(np.array([3.0, 4.0]))
    expected = [np.exp(-0.5 * (beside - alone) - 0.1), np.exp(0.2)]
    np.testing.assert_allclose(model.shares(np.array([[1, 1]])), [expected])
    np.testing.assert_array_equal(model.shares(np.array([[1, 0], [0, 1], [0, 0]])), [[1, 0], [0, 1], [0, 0]])


def test_a_noiseless_truth_is_recovered(fitted):
    oracle, report = fitted
    fresh = draw_mixes(SPACE, 200, seed=99)
    predicted = oracle.quantities_of(fresh, ("rps",))["rps"]
    errors = (predicted - truth().shares(fresh))[fresh > 0]
    assert np.abs(errors).mean() < 0.01
    pairs = oracle.fits["rps"].expected.pairs
    assert pairs[0, 1] == pytest.approx(0.5, abs=0.1)  # priors shrink
    assert pairs[3, 4] == pytest.approx(-0.3, abs=0.1)
    assert np.abs(pairs[[1, 2, 2, 4], [0, 0, 1, 3]]).max() < 0.05
    assert report["r2"] > 0.99
    assert report["measured"] == pytest.approx(len(list_colocations(SPACE, "mixes", seed=1, mixes=90)) / 461)


def test_permuted_applications_have_permuted_predictions(measured):
    order = np.array([3, 0, 4, 2, 1])
    shares = np.where(measured.colocations > 0, measured.rps, np.nan)
    names = [NAMES[a] for a in order]
    one, _ = fit_lowrank(Rows(measured.colocations, shares, 0.0), starting(NAMES, 2, seed=5))
    other, _ = fit_lowrank(
        Rows(measured.colocations[:, order], shares[:, order], 0.0), starting(names, 2, seed=5)
    )
    fresh = draw_mixes(SPACE, 50, seed=7)
    np.testing.assert_allclose(other.shares(fresh[:, order]), one.shares(fresh)[:, order], atol=0.01)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_limits_hold_for_whatever_a_co_location_becomes(seed):
    rng = np.random.default_rng(seed)
    pairs = rng.normal(0, 0.3, (8, 8)) * (1 - np.eye(8))
    model = LowRank(rng.exponential(1, (8, 3)), rng.exponential(0.2, (8, 3)), pairs)
    held = rng.integers(0, 2, (20, 8))
    held[:, 0] += held.sum(axis=1) == 0
    later = rng.random((20, 8)) < 0.6
    there, more = model.most_shares(held, later)
    for _ in range(5):
        added = rng.integers(0, 3, (20, 8)) * later
        reached = model.shares(held + added)
        assert (reached <= np.where(held > 0, there, np.inf) + 1e-12).all()
        assert (np.where(added > 0, reached, 0) <= more + 1e-12).all()


def test_spreads_are_0_alone_and_caution_predicts_less(fitted):
    oracle, _ = fitted
    assert isinstance(oracle, BoundedOracle)
    rows = np.array([[1, 0, 0, 0, 0], [2, 1, 1, 1, 0]])
    spread = oracle.fits["rps"].spread(rows)
    assert (spread[0] == 0).all()
    assert (spread[1, :4] > 0).all()
    careful = oracle.cautious(1.0).quantities_of(rows, ("rps",))["rps"]
    expected = oracle.quantities_of(rows, ("rps",))["rps"]
    np.testing.assert_allclose(careful, expected * np.exp(-spread))
    assert len(list(oracle.drawn())) == 3


def test_an_oracle_is_stored(fitted, tmp_path):
    oracle, _ = fitted
    oracle.cautious(0.5).save(tmp_path / "oracle.npz")
    again = LowRankOracle.load(tmp_path / "oracle.npz")
    rows = draw_mixes(SPACE, 10, seed=1)
    np.testing.assert_array_equal(
        again.quantities_of(rows, ("rps",))["rps"], oracle.cautious(0.5).quantities_of(rows, ("rps",))["rps"]
    )
    save_arrays(tmp_path / "other.npz", {"format": np.array("another")})
    with pytest.raises(InputError, match=r"other\.npz: no simulator of many applications, format another"):
        LowRankOracle.load(tmp_path / "other.npz")
    with pytest.raises(InputError, match=r"'p99': fitted were rps"):
        oracle.quantities_of(rows, ("p99",))


def test_tables_hold_what_was_measured_and_what_is_doubted(measured):
    fitted = fit_simulator(measured, SimulatorSettings(kind="lowrank", resources=2, members=2, held_out=0))
    ids = SPACE.index(measured.colocations)
    there = measured.colocations > 0
    np.testing.assert_array_equal(fitted.tables.rps[ids][there], measured.rps[there])
    doubt = fitted.doubts["rps"]
    assert (doubt.spread[ids] == 0).all()
    assert doubt.draws.shape == (2, SPACE.size, 5)
    assert len(list(fitted.drawn())) == 2
    lower = fitted.cautious(1.0).tables.rps
    assert (lower <= fitted.tables.rps + 1e-12).all()


def test_latencies_rise_where_throughput_falls():
    testbed = load_embedded(slots=3, noise=0.0)
    profile = testbed.measure(list_colocations(testbed.space, "pairs", mixes=40), seed=0)
    oracle, _ = fit_lowrank_oracle(profile, ("p99", "speed"), resources=2, members=1, held_out=0)
    rows = testbed.space.counts[60:]
    found = oracle.quantities_of(rows, ("p99", "speed"))
    true = testbed.truth(("p99",)).quantity("p99")[60:]
    there = (rows > 0) & np.isfinite(true)
    np.testing.assert_allclose(np.log(found["p99"][there] / true[there]), 0, atol=0.5)
    np.testing.assert_allclose(
        found["p99"][there] * found["speed"][there], (true * 0 + profile.alone("p99"))[there], rtol=0.2
    )
    known = np.isfinite(profile.alone("p99"))
    assert (found["p99"][:, known][rows[:, known] == 0] == 0).all()
    assert np.isnan(found["p99"][:, ~known]).all()  # never measured
