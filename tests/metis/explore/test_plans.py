"""Exploring by plans: where co-locations are not tabulated, and of a newcomer among others that are known."""

from dataclasses import replace

import numpy as np
import pytest

from metis.errors import InputError
from metis.explore.newcomer import Newcomer
from metis.explore.planners import ColumnPlanner, TablePlanner
from metis.explore.plans import explore_by_plans
from metis.explore.settings import ExploreSettings
from metis.measure.profile_files import load_profile
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.placement import check_placement
from metis.simulate.settings import SimulatorSettings

SLOTS = 4
MODEL = SyntheticModel.drawn(6, 3)
TESTBED = EmbeddedTestbed(MODEL, SLOTS, 0.0)
GROUP = np.array([4, 3, 5, 2, 4, 3])
CLUSTER = Cluster(TESTBED.space, 8)
SMALL = SimulatorSettings(kind="lowrank", resources=3, members=2)
FEW = ExploreSettings(budget=26, start_size=18, repeats=0, per_round=4, noise=0.0)
NEW = MODEL.apps[2]


def others_of(testbed, app):
    counts = testbed.space.counts[1:]
    return testbed.measure(counts[counts[:, testbed.space.apps.index(app)] == 0], 0)


def run(settings=FEW, **options):
    return explore_by_plans(
        TESTBED,
        [(GROUP, CLUSTER)],
        MeanRps(),
        TablePlanner(),
        settings,
        simulator=SMALL,
        truth=TESTBED.truth(),
        **options,
    )


def test_plans_find_what_is_worth_measuring():
    found = run()
    assert found.measurements == 26
    assert found.ended == "budget"
    assert found.ratio > 0.97
    check_placement(found.plans[0], GROUP, CLUSTER, "explore")
    reasons = [one["reason"] for one in found.measured]
    assert reasons[:18] == ["start"] * 18
    assert "plan" in reasons[18:]
    assert all(row["gain_bound"] >= 0 for row in found.history)


def test_a_newcomer_is_measured_beside_the_others_alone():
    known = others_of(TESTBED, NEW)
    found = run(replace(FEW, budget=10, per_round=2), newcomer=Newcomer(NEW, known))
    assert found.measurements <= 10
    a = TESTBED.space.apps.index(NEW)
    assert (found.profile.colocations[:, a] > 0).all()
    assert len(found.known) == len(known) + len(found.profile)
    assert found.ratio > 0.97


def test_the_others_may_be_profiled_without_a_column_for_the_newcomer():
    known = others_of(TESTBED, NEW)
    kept = [a for a, app in enumerate(known.apps) if app != NEW]
    narrow = {name: getattr(known, name)[:, kept] for name in ("colocations", "rps", "p50", "p99")}
    apart = replace(
        known,
        apps=tuple(known.apps[a] for a in kept),
        **narrow,
        requests=known.requests[:, kept],
        failures=known.failures[:, kept],
    )
    widened = Newcomer(NEW, apart).on(TESTBED.space)
    np.testing.assert_array_equal(widened.colocations, known.colocations)
    np.testing.assert_array_equal(widened.rps, known.rps)


def test_a_newcomer_meets_many_others_a_few_at_a_time():
    space = EmbeddedTestbed(SyntheticModel.drawn(30, 0), 8, 0.0).space
    rows = Newcomer("app-07", TESTBED.measure(TESTBED.space.counts[1:3], 0)).design(space, seed=1)
    assert rows[0].tolist() == np.eye(30, dtype=int)[6].tolist()
    assert (rows[:, 6] == 1).all()
    assert len(rows) == 7
    assert (rows.sum(axis=0)[np.arange(30) != 6] == 1).all()
    assert rows.sum(axis=1).max() <= 8


def test_refuses_a_newcomer_among_strangers():
    with pytest.raises(InputError, match=r"newcomer 'app-9': use one of"):
        run(newcomer=Newcomer("app-9", others_of(TESTBED, NEW)))
    strange = others_of(EmbeddedTestbed(SyntheticModel.drawn(3, 0), SLOTS, 0.0), "app-1")
    with pytest.raises(InputError, match=r"newcomer=app-1: the others are .* but profile\.onto measured"):
        run(newcomer=Newcomer("app-1", strange))


def test_a_stopped_exploration_goes_on(tmp_path):
    path = tmp_path / "profile.npz"
    run(replace(FEW, budget=20), path=path)
    found = run(path=path)
    assert found.measurements == 26
    assert len(load_profile(path)) == len(found.profile)


@pytest.mark.parametrize("acquisition", ["thompson", "uncertainty", "random"])
def test_every_acquisition_measures_what_is_new(acquisition):
    found = run(replace(FEW, acquisition=acquisition, budget=22))
    assert found.measurements == len(found.profile) == 22
    assert 0.8 < found.ratio <= 1 + 1e-9


def test_a_space_too_large_to_tabulate_is_explored():
    model = SyntheticModel.drawn(12, 1)
    testbed, truth = EmbeddedTestbed(model, 12, 0.0), SyntheticOracle(model, 12)
    assert not testbed.space.tabulated
    group = np.full(12, 1)
    settings = replace(FEW, budget=40)
    found = explore_by_plans(
        testbed,
        [(group, Cluster(testbed.space, 3))],
        MeanRps(),
        ColumnPlanner(width=64, seconds=5.0),
        settings,
        simulator=SMALL,
        truth=truth,
    )
    assert found.measurements == 40
    assert 0.9 < found.ratio <= 1 + 1e-9
    assert found.belief.oracle.space == testbed.space
