"""Fitted simulators that know their errors: saved, cautious, drawn."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import Doubt, FittedSimulator, error_of

SPACE = ColocationSpace(("a", "b"), 2)
PRESENT = SPACE.counts > 0


@pytest.fixture
def fitted():
    """RPS 1 and a p99 of 2 s everywhere; a is known to 10 %, b exactly; two draws, 10 % up and down."""
    spread = np.where(PRESENT, [0.1, 0.0], 0.0)
    doubt = Doubt(spread, np.stack([spread, -spread]).astype(np.float16), (0.7, 1.1))
    tables = Tables(SPACE, {"rps": np.where(PRESENT, 1.0, 0.0), "p99": np.where(PRESENT, 2.0, 0.0)})
    return FittedSimulator(tables, {"measured": 0.5}, {"rps": doubt, "p99": doubt})


def test_what_is_saved_is_read(fitted, tmp_path):
    fitted.save(tmp_path / "x.npz")
    read = FittedSimulator.load(tmp_path / "x.npz")
    assert read.report == fitted.report
    for name, doubt in fitted.doubts.items():
        np.testing.assert_array_equal(read.doubts[name].spread, doubt.spread)
        np.testing.assert_array_equal(read.doubts[name].draws, doubt.draws)
        assert read.doubts[name].calibration == (0.7, 1.1)
        assert fitted.cautious(0.5).doubts[name].calibration == (0.7, 1.1)
    FittedSimulator(fitted.tables).save(tmp_path / "y.npz")
    assert FittedSimulator.load(tmp_path / "y.npz").doubts == {}
    assert list(FittedSimulator(fitted.tables).drawn()) == []


def test_draws_are_tables_that_could_be_true(fitted):
    up, down = fitted.drawn()
    np.testing.assert_allclose(up.rps, np.where(PRESENT, [np.exp(0.1), 1.0], 0.0), rtol=1e-4)
    np.testing.assert_allclose(
        down.quantity("p99"), np.where(PRESENT, [2 * np.exp(-0.1), 2.0], 0.0), rtol=1e-4
    )


def test_caution_takes_off_spreads_where_little_is_known(fitted):
    assert fitted.cautious(0.0).tables.rps.tolist() == fitted.tables.rps.tolist()
    cautious = fitted.cautious(2.0)
    np.testing.assert_allclose(cautious.tables.rps, np.where(PRESENT, [np.exp(-0.2), 1.0], 0.0))
    # a latency is worse where it is higher
    np.testing.assert_allclose(
        cautious.tables.quantity("p99"), np.where(PRESENT, [2 * np.exp(0.2), 2.0], 0.0)
    )
    # what could be true does not depend on how schedulers choose
    for one, other in zip(cautious.drawn(), fitted.drawn(), strict=True):
        np.testing.assert_allclose(one.rps, other.rps, rtol=1e-3)


def test_caution_is_refused_where_errors_are_not_known():
    with pytest.raises(InputError, match="a simulator of kind forest does not know its errors"):
        SimulatorSettings(kind="forest", caution=1.0)


def test_an_error_is_that_of_the_draws():
    assert error_of(np.array([1.0, 2.0, 3.0])) == pytest.approx(1.96)
    assert np.isnan(error_of(np.array([1.0])))
