"""What a new type of node is expected to do, from its few runs and what other types do."""

import numpy as np
import pytest

from metis.measure.profile import join_types, make_profile
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings
from metis.simulate.type_transfer import alone_first, transferred

APPS = ("a", "a-twin", "b", "b-twin")
TWINS = ((0, 1), (2, 3))
ALONE = np.eye(4, dtype=np.int64)
PAIRS = np.array([ALONE[i] + ALONE[j] for i in range(4) for j in range(i, 4)])
KEEPS = np.array([0.9, 0.9, 0.6, 0.6])  # of its pace beside another one
FAST, MIDDLE = np.array([100.0, 200.0, 10.0, 20.0]), np.array([80.0, 160.0, 4.0, 8.0])


def mean_of(rates):
    """The mean of each application, NaN where it has none."""
    known = np.isfinite(rates)
    return np.where(known.any(axis=0), np.nansum(rates, axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)


def typed(new=(), rates=None):
    """Two known types, and a new one on which co-locations `new` serve `rates` [n, apps] a second."""
    rows = np.concatenate([ALONE, PAIRS])
    shares = np.where(rows > 0, np.where(rows.sum(axis=1, keepdims=True) > 1, KEEPS, 1.0), np.nan)
    types = {name: make_profile(APPS, 2, rows, {"rps": shares}, {}) for name in ("fast", "middle")}
    alone = [FAST, MIDDLE]
    if len(new):
        reached = np.where(np.asarray(new) > 0, np.asarray(rates, dtype=np.float64), np.nan)
        single = np.sum(new, axis=1, keepdims=True) == 1
        # of one that was never alone there, as a profile takes it: by what it keeps elsewhere
        own = mean_of(np.where(single, reached, np.nan))
        own = np.where(np.isfinite(own), own, mean_of(reached) / KEEPS)
        types["new"] = make_profile(APPS, 2, np.asarray(new), {"rps": reached / own}, {})
        alone.append(own)
    return join_types(types, np.array(alone), {})


def share_of(made, profile, pair, app):
    row = np.flatnonzero((profile.colocations == pair).all(axis=1))
    return made.shares[row[0], app]


def test_what_was_measured_is_expected_as_it_was():
    rows = np.concatenate([ALONE, PAIRS])
    shares = np.where(rows.sum(axis=1, keepdims=True) > 1, 0.5, 1.0)
    profile = typed(rows, shares * np.array([30.0, 70.0, 3.0, 5.0]))
    made = transferred(profile, "new")
    assert made.own.pace == pytest.approx([0.3, 0.35, 0.3, 0.25], rel=1e-3)
    beside = profile.colocations.sum(axis=1) > 1
    assert made.shares[beside][profile.colocations[beside] > 0] == pytest.approx(0.5, rel=1e-2)
    assert made.shares[~beside][profile.colocations[~beside] > 0] == pytest.approx(1.0)
    assert np.nanmax(made.spreads) < 0.01


def test_an_application_is_as_slow_as_the_one_that_it_is_like_elsewhere():
    made = transferred(typed(ALONE[[0, 2]], [[20.0] * 4, [5.0] * 4]), "new")
    assert made.own.pace[[0, 2]] == pytest.approx([0.2, 0.5], rel=1e-3)
    assert made.own.pace[1] == pytest.approx(0.2, rel=0.2)
    assert made.own.pace[3] == pytest.approx(0.5, rel=0.2)


def test_who_suffers_more_there_does_so_beside_others_too_and_so_does_its_like():
    new = [*ALONE, ALONE[0] + ALONE[2]]
    profile = typed(new, [*([100.0, 200.0, 10.0, 20.0] for _ in range(4)), [45.0, 0.0, 6.0, 0.0]])
    made = transferred(profile, "new")
    assert share_of(made, profile, ALONE[0] + ALONE[2], 0) == pytest.approx(0.45, rel=1e-2)
    assert share_of(made, profile, ALONE[0] + ALONE[2], 2) == pytest.approx(0.6, rel=1e-2)
    twin = share_of(made, profile, ALONE[1] + ALONE[3], 1)
    assert 0.45 < twin < 0.75  # elsewhere 0.9
    assert share_of(made, profile, ALONE[1] + ALONE[3], 3) == pytest.approx(0.6, rel=0.15)
    of = (profile.colocations == ALONE[0] + ALONE[2]).all(axis=1)
    assert made.spreads[of][0, 0] < 0.01 < made.spreads[~of & (profile.colocations[:, 0] > 0)][:, 0].max()


def test_a_pair_says_something_on_the_pace_of_an_application_that_was_never_alone():
    profile = typed([ALONE[0] + ALONE[2]], [[9.0, 0.0, 6.0, 0.0]])
    pace = transferred(profile, "new").own.pace
    assert pace[0] < 0.4 < pace[2]  # 9 of 100, and 6 of 10, a second
    # what it served is neither more nor less for that
    own, made = profile.types["new"], transferred(profile, "new").own
    np.testing.assert_allclose(made.rps * made.pace, own.rps * own.pace)


def test_one_of_each_kind_is_measured_alone_first():
    first = alone_first(typed(), 4)
    assert sorted(first) == [0, 1, 2, 3]
    assert {next(i for i, twins in enumerate(TWINS) if app in twins) for app in first[:2]} == {0, 1}
    assert alone_first(typed(), 9) == first


def test_a_simulator_is_fitted_to_it_where_that_is_asked_for():
    new = [*ALONE, ALONE[0] + ALONE[2]]
    profile = typed(new, [*([50.0, 100.0, 5.0, 10.0] for _ in range(4)), [20.0, 0.0, 3.0, 0.0]])
    tables = [
        fit_simulator(profile, SimulatorSettings(kind="table", type_doubt=0.0, type_transfer=chosen)).tables
        for chosen in (False, True)
    ]
    ids = profile.space.index(np.array([ALONE[0] + ALONE[2], ALONE[1] + ALONE[3]]))
    lent, transfer = (one.of_type("new").rps[ids] for one in tables)
    assert lent[0] == pytest.approx([0.2, 0, 0.3, 0], abs=1e-3)
    assert transfer[0] == pytest.approx([0.2, 0, 0.3, 0], abs=1e-3)  # measured
    assert lent[1, 1] == pytest.approx(0.45)
    assert 0.2 < transfer[1, 1] < 0.4
    for name in ("fast", "middle"):
        np.testing.assert_array_equal(tables[0].of_type(name).rps, tables[1].of_type(name).rps)
