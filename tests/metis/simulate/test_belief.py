"""Beliefs in several quantities: latency in seconds as well as RPS, from the same runs."""

import numpy as np
import pytest

from metis.measure.embedded import InterferenceModel
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.space import ColocationSpace
from metis.simulate.belief import Belief, fit_belief, simulate_by_ensemble
from metis.simulate.ensemble import fit_ensemble, observe

MODEL = InterferenceModel.load()
SPACE = ColocationSpace(MODEL.apps, 4)
TESTBED = EmbeddedTestbed(MODEL, slots=4, noise=0.0)
TRUTH = TESTBED.truth(("rps", "speed", "p99"))
SEEN = np.sort(np.random.default_rng(0).permutation(np.arange(1, SPACE.size))[:100])
SEEN = np.union1d(SEEN, np.flatnonzero(SPACE.totals == 1))
PROFILE = TESTBED.measure(SPACE.counts[SEEN], seed=0)
KNOWN = [a for a, app in enumerate(SPACE.apps) if not app.startswith("YCSB")]


@pytest.fixture(scope="module")
def belief() -> Belief:
    values = {name: (PROFILE.quantity(name), PROFILE.alone(name)) for name in ("rps", "p99", "speed")}
    return fit_belief(SPACE, SEEN, values)


def test_rps_is_believed_as_by_its_ensemble_alone(belief: Belief) -> None:
    alone = fit_ensemble(SPACE, observe(SEEN, PROFILE.rps))
    np.testing.assert_array_equal(belief.tables.rps, alone.expected)
    np.testing.assert_array_equal(belief.thetas[: len(SPACE.apps)], alone.thetas)


@pytest.mark.parametrize("name", ["p99", "speed"])
def test_latency_is_exact_where_measured_and_near_elsewhere(belief: Belief, name: str) -> None:
    table, truth = belief.tables.quantity(name), TRUTH.quantity(name)
    here = np.zeros(table.shape, dtype=bool)
    here[:, KNOWN] = SPACE.counts[:, KNOWN] > 0
    np.testing.assert_allclose(table[SEEN][here[SEEN]], truth[SEEN][here[SEEN]], rtol=1e-9)
    assert np.median(np.abs(np.log(table[here] / truth[here]))) < 0.05
    assert (table[:, KNOWN][SPACE.counts[:, KNOWN] == 0] == 0).all()


def test_of_an_application_without_a_measured_latency_nothing_is_believed(belief: Belief) -> None:
    assert belief.tables.unmeasured("p99") == belief.tables.unmeasured("speed") == {"YCSB-A", "YCSB-B"}
    assert belief.tables.unmeasured("rps") == set()


def test_most_true_latencies_lie_in_their_interval(belief: Belief) -> None:
    assert 0.6 <= belief.ensembles["p99"].covered(TRUTH) <= 0.99
    assert 0.6 <= belief.covered(TRUTH) <= 0.99


def test_a_draw_has_every_quantity_and_agrees_with_what_was_measured(belief: Belief) -> None:
    drawn = belief.draw(np.random.default_rng(1))
    assert list(drawn.quantities) == ["rps", "p99", "speed"]
    here = PROFILE.present[:, KNOWN]
    p99 = drawn.quantity("p99")[SEEN][:, KNOWN]
    np.testing.assert_allclose(p99[here], PROFILE.p99[:, KNOWN][here], rtol=1e-9)


def test_better_means_more_rps_and_less_latency(belief: Belief) -> None:
    unseen = np.setdiff1d(np.flatnonzero(SPACE.counts[:, 0] > 0), SEEN)
    for name, sign in (("rps", 1), ("speed", 1), ("p99", -1)):
        change = belief.better(name, 0).quantity(name) - belief.tables.quantity(name)
        assert (sign * change[unseen, 0] > 0).all()
        assert not np.nan_to_num(change[:, 1:]).any()


def test_fits_go_on_from_the_hyperparameters_of_all_quantities(belief: Belief) -> None:
    values = {name: (PROFILE.quantity(name), PROFILE.alone(name)) for name in ("rps", "p99", "speed")}
    again = fit_belief(SPACE, SEEN, values, thetas=belief.thetas, steps=0)
    np.testing.assert_array_equal(again.thetas, belief.thetas)
    np.testing.assert_allclose(again.tables.quantity("p99"), belief.tables.quantity("p99"), rtol=1e-9)


def test_a_simulator_of_latency_reports_its_fidelity() -> None:
    fitted, _ = simulate_by_ensemble(PROFILE, ("p99",))
    assert list(fitted.tables.quantities) == ["p99"]
    assert fitted.report["r2"] > 0.8
    assert 0 < fitted.report["coverage80"] <= 1
