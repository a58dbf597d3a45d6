import time
from dataclasses import replace

import numpy as np
import pytest

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.measure.profile import Profile, make_profile
from metis.measure.testbed import choose_colocations, load_embedded
from metis.simulate.fidelity import fidelity
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import FittedSimulator

QUANTITIES = ("rps", "speed", "p50", "p99")
FAST = {"trees": 20, "seed": 3}
BOOSTED = {"kind": "boosted", **FAST}
NAN = np.nan


@pytest.fixture(scope="module")
def testbed():
    return load_embedded(slots=4, noise=0.0)


@pytest.fixture(scope="module")
def part(testbed):
    """Half of the 330 co-locations of 7 applications on 4 slots."""
    return testbed.measure(choose_colocations(testbed.space, 0.5, seed=1), seed=1)


def test_a_table_is_exact(testbed):
    full = testbed.measure(testbed.space.counts[1:], seed=0)
    fitted = fit_simulator(full, SimulatorSettings(kind="table"))
    np.testing.assert_allclose(fitted.tables.rps, testbed.truth().rps, rtol=1e-12)
    assert fitted.report == {"measured": 1.0}
    assert (fitted.tables.rps[testbed.space.counts == 0] == 0).all()


def test_a_table_of_a_partial_profile_is_refused(part):
    missing = 329 - len(part)
    with pytest.raises(
        InputError, match=rf"{missing} of 329 are missing, for instance \d .*ensemble, the best for few"
    ):
        fit_simulator(part, SimulatorSettings(kind="table"))


@pytest.mark.parametrize("kind", ["forest", "boosted"])
def test_measured_rows_overwrite_predicted_ones(part, kind):
    ids = part.space.index(part.colocations)
    over = fit_simulator(part, SimulatorSettings(kind=kind, overwrite=True, held_out=0, **FAST)).tables.rps
    plain = fit_simulator(part, SimulatorSettings(kind=kind, overwrite=False, held_out=0, **FAST)).tables.rps
    np.testing.assert_array_equal(over[ids][part.present], part.rps[part.present])
    assert (plain[ids][part.present] != part.rps[part.present]).any()
    rest = np.setdiff1d(np.arange(part.space.size), ids)
    np.testing.assert_array_equal(over[rest], plain[rest])


@pytest.mark.parametrize("kind", ["forest", "boosted"])
def test_absent_is_zero_present_is_positive_and_the_seed_decides(part, kind):
    chosen = SimulatorSettings(kind=kind, **FAST)
    first, again = fit_simulator(part, chosen), fit_simulator(part, chosen)
    counts = part.space.counts
    assert first.tables.rps.dtype == np.float64
    assert (first.tables.rps[counts == 0] == 0).all()
    assert (first.tables.rps[counts > 0] > 0).all()
    np.testing.assert_array_equal(first.tables.rps, again.tables.rps)
    assert first.report == again.report


def test_another_seed_fits_another_forest(part):
    tables = [
        fit_simulator(part, SimulatorSettings(kind="forest", overwrite=False, held_out=0, trees=20, seed=s))
        for s in (0, 1)
    ]
    assert (tables[0].tables.rps != tables[1].tables.rps).any()


def test_simulators_predict_what_they_did_not_see(testbed, part):
    """Against the truth of rows that were not measured: much better than the mean of each application."""
    ids = part.space.index(part.colocations)
    rest = np.setdiff1d(np.arange(1, part.space.size), ids)
    truth, counts = testbed.truth().rps[rest], part.space.counts[rest]
    for kind, least in (("boosted", 0.93), ("forest", 0.85)):
        fitted = fit_simulator(part, SimulatorSettings(kind=kind, trees=100))
        found = fidelity(truth, fitted.tables.rps[rest], counts > 0, part.apps)
        assert found["r2"] > least, kind
        # what is reported beforehand, on rows held out, tells as much
        assert abs(fitted.report["r2"] - found["r2"]) < 0.06, kind
        assert {f"r2_{app}" for app in part.apps} <= set(fitted.report)
        assert fitted.report["mse"] > 0


def test_nothing_held_out_reports_no_r2(part):
    assert set(fit_simulator(part, SimulatorSettings(held_out=0, **BOOSTED)).report) == {"measured"}


def test_fidelity_by_hand():
    truth = np.array([[1.0, NAN], [2.0, 4.0], [3.0, 6.0]])
    predicted = np.array([[1.0, 9.0], [2.0, 4.0], [2.0, 6.0]])
    present = np.array([[True, False], [True, True], [True, True]])
    found = fidelity(truth, predicted, present, ("a", "b"))
    assert found["mse"] == pytest.approx(1 / 5)  # the 9 where b is absent counts for nothing
    assert found["r2_a"] == pytest.approx(0.5)
    assert found["r2_b"] == pytest.approx(1.0)
    assert found["r2"] == pytest.approx(1 - 1 / 14.8)


@pytest.mark.parametrize("kind", ["ensemble", "boosted", "forest", "lowrank"])
def test_disturbed_rows_move_the_simulator_less(testbed, part, kind):
    settings = SimulatorSettings(kind=kind, held_out=0.0, members=1, **FAST)
    disturbed = np.arange(len(part)) % 4 == 0
    disturbed &= part.colocations.sum(axis=1) > 1
    wrong = replace(part, rps=np.where(disturbed[:, None], part.rps * 0.5, part.rps))
    weighted = replace(wrong, weight=np.where(disturbed, 0.02, 1.0))
    truth, present = testbed.truth().rps, testbed.space.counts > 0

    def error(profile):
        return np.abs(fit_simulator(profile, settings).tables.rps - truth)[present].mean()

    # rows as measured stand over predicted ones, and disturbed ones do not
    assert error(weighted) < 0.6 * error(wrong)


def test_an_application_never_measured_is_taken_to_reach_what_it_reaches_alone():
    rows = np.array([[1, 0], [2, 0], [3, 0]])
    rps = np.array([[1.0, NAN], [0.8, NAN], [0.6, NAN]])
    profile = make_profile(("a", "b"), 3, rows, {"rps": rps}, {})
    table = fit_simulator(profile, SimulatorSettings(held_out=0, **BOOSTED)).tables
    assert (table.rps[table.space.counts[:, 1] > 0, 1] == 1).all()


def test_latency_is_exact_where_all_is_measured(testbed):
    full = testbed.measure(testbed.space.counts[1:], seed=0)
    fitted = fit_simulator(full, SimulatorSettings(kind="table"), QUANTITIES)
    truth = testbed.truth(QUANTITIES)
    for name in QUANTITIES:
        np.testing.assert_allclose(fitted.tables.quantity(name), truth.quantity(name), rtol=1e-12)
    assert list(fit_simulator(full, SimulatorSettings(kind="table")).tables.quantities) == ["rps"]


@pytest.mark.parametrize("kind", ["forest", "boosted", "ensemble"])
def test_latency_of_a_partial_profile_is_predicted(testbed, part, kind):
    chosen = SimulatorSettings(kind=kind, held_out=0, **FAST)
    tables = fit_simulator(part, chosen, ("rps", "speed", "p99")).tables
    known = np.isfinite(part.speed).any(axis=0)
    ids = part.space.index(part.colocations)
    rest = np.setdiff1d(np.arange(part.space.size), ids)
    for name in ("speed", "p99"):
        table, truth = tables.quantity(name), testbed.truth((name,)).quantity(name)
        assert tables.unmeasured(name) == {"YCSB-A", "YCSB-B"}
        assert np.isnan(table[:, ~known]).all()
        assert (table[:, known][part.space.counts[:, known] > 0] > 0).all()
        assert (table[:, known][part.space.counts[:, known] == 0] == 0).all()
        measured = part.present & known
        np.testing.assert_array_equal(table[ids][measured], part.quantity(name)[measured])
        here = (part.space.counts[rest] > 0) & known
        assert np.median(np.abs(np.log(table[rest][here] / truth[rest][here]))) < 0.05


def test_more_quantities_leave_rps_and_report_as_they_are(part):
    for kind in ("forest", "ensemble"):
        chosen = SimulatorSettings(kind=kind, **FAST)
        plain, more = fit_simulator(part, chosen), fit_simulator(part, chosen, ("rps", "p99"))
        np.testing.assert_array_equal(plain.tables.rps, more.tables.rps)
        assert plain.report == more.report


def test_the_report_is_on_the_first_quantity(part):
    for kind in ("boosted", "ensemble"):
        report = fit_simulator(part, SimulatorSettings(kind=kind, **FAST), ("p99",)).report
        assert report["r2"] > 0.5
        assert "r2_YCSB-A" not in report


def test_an_unknown_quantity_is_refused(testbed, part):
    with pytest.raises(InputError, match="'p75': a profile has rps, speed, p50, p99"):
        fit_simulator(part, SimulatorSettings(**BOOSTED), ("p75",))
    with pytest.raises(InputError, match="'p75': a testbed has rps, speed, p50, p99"):
        testbed.truth(("p75",))


def test_saved_and_loaded(tmp_path, part):
    fitted = fit_simulator(part, SimulatorSettings(**BOOSTED), ("rps", "speed", "p99"))
    fitted.save(tmp_path / "s.npz")
    read = FittedSimulator.load(tmp_path / "s.npz")
    np.testing.assert_array_equal(read.tables.rps, fitted.tables.rps)
    assert list(read.tables.quantities) == ["rps", "speed", "p99"]
    for name, table in fitted.tables.quantities.items():
        np.testing.assert_array_equal(read.tables.quantity(name), table)
    assert read.tables.space == fitted.tables.space
    assert read.report == fitted.report


def test_another_file_is_not_taken_for_a_simulator(tmp_path, part):
    part.save(tmp_path / "p.npz")
    with pytest.raises(InputError, match="not a fitted simulator"):
        FittedSimulator.load(tmp_path / "p.npz")
    fit_simulator(part, SimulatorSettings(**BOOSTED)).save(tmp_path / "s.npz")
    arrays = load_arrays(tmp_path / "s.npz")
    save_arrays(tmp_path / "s.npz", {**arrays, "quantity_rps": arrays["quantity_rps"][:5]})
    with pytest.raises(InputError, match="this space needs"):
        FittedSimulator.load(tmp_path / "s.npz")
    old = {name: array for name, array in arrays.items() if name not in ("quantities", "quantity_rps")}
    save_arrays(tmp_path / "old.npz", old | {"rps": arrays["quantity_rps"]})
    with pytest.raises(InputError, match=r"old\.npz: not a fitted simulator"):
        FittedSimulator.load(tmp_path / "old.npz")


def test_a_profile_of_one_row_still_fits():
    profile = make_profile(("a",), 2, np.array([[1]]), {"rps": np.array([[1.0]])}, {})
    table = fit_simulator(profile, SimulatorSettings(**BOOSTED)).tables.rps
    assert table[:2].ravel() == pytest.approx([0, 1])
    assert isinstance(profile, Profile)


def test_tabulating_the_whole_space_is_quick():
    """6,435 co-locations, by a fifth of the trees, in CPU seconds: a loop over co-locations takes many."""
    from metis.simulate.regressed import RegressedSimulator

    testbed = load_embedded(slots=8, noise=0.0)
    profile = testbed.measure(choose_colocations(testbed.space, 0.05, seed=1), seed=1)
    for kind, trees in (("forest", 20), ("boosted", 60)):
        chosen = SimulatorSettings(kind=kind, trees=trees)
        model = RegressedSimulator(chosen, profile.colocations, profile.rps)
        start = time.process_time()
        assert model.predict(testbed.space.counts).shape == (6435, 7)
        assert time.process_time() - start < 1.0, kind
