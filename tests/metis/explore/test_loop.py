"""The loop: it finds good plans with few measurements, survives trouble, and goes on where it stopped."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from metis.errors import SurroundingsError
from metis.explore.acquisition import Demand, confirm
from metis.explore.loop import Exploration, ExploreSettings, explore
from metis.measure.embedded import InterferenceModel
from metis.measure.journal import journal_of
from metis.measure.profile import MEASURES, Profile
from metis.measure.profile_files import load_profile
from metis.measure.testbed import EmbeddedTestbed
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.groups import load_groups
from metis.problem.objectives import FreeNodes, Latency, MeanRps, Objective, P99Below, SloShare
from metis.problem.placement import check_placement
from metis.problem.rules import Rules
from metis.program.colocation_program import solve_colocation_program
from metis.simulate.replay import FileTestbed
from tests.metis.explore.examples import FEW, GROUP, QUICK, Troubled, plan, run


def test_reaches_the_optimum_without_measuring_everything(testbed: EmbeddedTestbed) -> None:
    found = run(testbed, QUICK)
    assert found.ratio >= 0.99
    assert found.measurements <= 22 < testbed.space.size - 1
    assert found.ended == "budget"
    assert found.hours == pytest.approx(found.measurements * 0.1)
    for placement, nodes, group in zip(found.plans, (10, 9), (GROUP, GROUP[::-1]), strict=True):
        check_placement(placement, group, Cluster(testbed.space, nodes), "explore")


def test_the_history_says_what_was_bought(testbed: EmbeddedTestbed) -> None:
    rows: list[dict[str, object]] = []
    found = run(testbed, QUICK, progress=lambda row: rows.append(dict(row)))
    midway = [row for row in rows if "pending" in row]
    assert [row["measurements"] for row in midway] == sorted({row["measurements"] for row in midway})
    assert all(row["pending"] > 0 and row["budget"] == 22 for row in midway)
    rows = [row for row in rows if "pending" not in row]
    assert [row["measurements"] for row in rows] == [row["measurements"] for row in found.history]
    assert all(row["budget"] == 22 for row in rows)
    assert all(row["gain_bound"] >= 0 for row in found.history)
    assert all(row["optimistic"] >= row["value"] - 1e-3 for row in found.history)
    assert len(found.measured) == found.measurements
    assert {one["reason"] for one in found.measured[:8]} == {"start"}
    assert any("plan of group" in one["reason"] for one in found.measured[8:])


@pytest.mark.parametrize("acquisition", ["thompson", "uncertainty", "random"])
def test_every_acquisition_spends_its_budget_on_new_co_locations(
    testbed: EmbeddedTestbed, acquisition: str
) -> None:
    found = run(testbed, replace(QUICK, acquisition=acquisition, budget=16))
    assert found.measurements == 16
    assert len(found.profile) == 16
    assert 0.8 < found.ratio <= 1 + 1e-9


@pytest.mark.parametrize("start", ["pairs", "random"])
def test_every_design_begins_with_the_stand_alone_runs(testbed: EmbeddedTestbed, start: str) -> None:
    found = run(testbed, replace(QUICK, start=start, budget=8))
    totals = found.profile.colocations.sum(axis=1)
    assert (totals == 1).sum() == 3
    assert found.measurements == 8
    if start == "pairs":
        assert (totals == 2).sum() == 5


@pytest.mark.parametrize(
    "objective",
    [SloShare(0.9), FreeNodes(1.0), Latency(), P99Below(limit=None, limits={"cache": 0.5, "web": 1.3})],
)
def test_explores_for_other_objectives(testbed: EmbeddedTestbed, objective: Objective) -> None:
    wanted = [(GROUP, Cluster(testbed.space, 10))]
    found = explore(testbed, wanted, objective, plan, replace(QUICK, budget=24))
    assert found.ratio >= 0.95


REPEATED = replace(QUICK, budget=18, repeats=2)


@pytest.fixture(scope="module")
def whole(testbed: EmbeddedTestbed, tmp_path_factory: pytest.TempPathFactory) -> tuple[Exploration, Path]:
    """An exploration of a noisy testbed that was not stopped, and its profile."""
    path = tmp_path_factory.mktemp("whole") / "whole.npz"
    return run(replace(testbed, noise=0.03), REPEATED, path=path), path


@pytest.mark.parametrize("calls", [5, 12, 16])
def test_a_stopped_exploration_goes_on_as_if_it_had_not_been(
    testbed: EmbeddedTestbed, whole: tuple[Exploration, Path], tmp_path: Path, calls: int
) -> None:
    noisy, settings = replace(testbed, noise=0.03), REPEATED
    found, path = whole
    with pytest.raises(SurroundingsError, match=rf"node-3.*kept: {calls} measurement"):
        run(Troubled(noisy, fails_after=calls), settings, path=tmp_path / "part.npz")
    assert journal_of(tmp_path / "part.npz").exists()
    rest = run(noisy, settings, path=tmp_path / "part.npz")
    assert rest.measured == found.measured
    assert unclocked(rest) == unclocked(found)
    assert all(np.array_equal(a, b) for a, b in zip(rest.plans, found.plans, strict=True))
    stored = [load_profile(one) for one in (path, tmp_path / "part.npz")]
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(stored[0], name), getattr(stored[1], name))


def unclocked(found: Exploration) -> list[str]:
    """The history without seconds; as text, so that NaN equals NaN."""
    return [repr({k: v for k, v in row.items() if k not in ("seconds", "proposed")}) for row in found.history]


def test_a_finished_exploration_measures_nothing_again(testbed: EmbeddedTestbed, tmp_path: Path) -> None:
    counted = Troubled(testbed)
    first = run(counted, QUICK, path=tmp_path / "p.npz")
    calls = counted.calls
    again = run(counted, QUICK, path=tmp_path / "p.npz")
    assert counted.calls == calls
    assert again.ratio == pytest.approx(first.ratio)
    assert again.rounds == first.rounds
    more = run(counted, replace(QUICK, budget=25), path=tmp_path / "p.npz")
    assert (more.measurements, counted.calls) == (25, calls + 3)


def test_what_was_measured_for_others_is_kept(testbed: EmbeddedTestbed, tmp_path: Path) -> None:
    run(testbed, QUICK, path=tmp_path / "p.npz")
    counted = Troubled(testbed)
    wanted = [(np.array([3, 3, 3]), Cluster(testbed.space, 4))]
    found = explore(counted, wanted, MeanRps(), plan, replace(QUICK, budget=24), path=tmp_path / "p.npz")
    assert found.measurements == 24
    assert counted.calls == 2


def test_absurd_measurements_are_retried(testbed: EmbeddedTestbed) -> None:
    pair = int(testbed.space.index([1, 1, 0]))
    found = run(Troubled(testbed, {pair: 0.0}, times=2), replace(QUICK, start="pairs", start_size=9))
    assert not found.quarantined
    assert [one["sound"] for one in found.measured if one["colocation"] == "1 cache + 1 web"] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("absurd", [0.0, 50.0, np.nan, -1.0])
def test_what_stays_absurd_is_quarantined_and_named(testbed: EmbeddedTestbed, absurd: float) -> None:
    pair = int(testbed.space.index([1, 1, 0]))
    found = run(Troubled(testbed, {pair: absurd}), replace(QUICK, start="pairs", start_size=9))
    assert list(found.quarantined) == ["1 cache + 1 web"]
    assert "stand-alone RPS" in found.quarantined["1 cache + 1 web"]
    assert pair not in testbed.space.index(found.profile.colocations)
    assert all(pair not in testbed.space.index(placement) for placement in found.plans)
    assert found.measurements == QUICK.budget


def test_co_locations_that_a_file_lacks_are_quarantined(testbed: EmbeddedTestbed) -> None:
    recorded = testbed.measure(testbed.space.counts[1:30], seed=0)
    wanted = [(GROUP, Cluster(testbed.space, 10))]
    settings = replace(QUICK, start="pairs", budget=34, at_once=4)
    found = explore(FileTestbed(recorded), wanted, MeanRps(), plan, settings)
    assert found.quarantined
    assert all("not recorded" in why for why in found.quarantined.values())
    assert np.isnan(found.ratio)
    assert set(map(tuple, found.profile.colocations)) <= set(map(tuple, recorded.colocations))


def test_a_testbed_that_comes_back_costs_only_a_pause(testbed: EmbeddedTestbed) -> None:
    pauses: list[float] = []

    class Shaky(Troubled):
        def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
            self.calls += 1
            if self.calls in (2, 3):
                raise SurroundingsError("node-3 does not answer")
            return self.inner.measure(colocations, seed, repeats)

    wanted = [(GROUP, Cluster(testbed.space, 10))]
    settings = replace(QUICK, budget=10, pause=4.0)
    found = explore(Shaky(testbed), wanted, MeanRps(), plan, settings, wait=pauses.append)
    assert found.measurements == 10
    assert pauses == [4.0, 8.0]


def test_a_testbed_out_of_reach_from_the_start_is_said_so(testbed: EmbeddedTestbed) -> None:
    with pytest.raises(SurroundingsError, match="kept: 0 measurement"):
        run(Troubled(testbed, fails_after=0), QUICK)


def test_ends_once_nothing_more_can_be_gained(testbed: EmbeddedTestbed) -> None:
    found = run(testbed, replace(QUICK, budget=200, until_gain=0.02))
    assert found.ended == "gain"
    assert found.measurements < 34
    assert found.history[-1]["gain_bound"] <= 0.02 * found.history[-1]["value"]
    assert found.ratio >= 0.98


def test_ends_once_everything_is_known(testbed: EmbeddedTestbed) -> None:
    found = run(testbed, replace(QUICK, budget=200, per_round=10))
    assert found.ended == "exhausted"
    assert found.measurements == len(found.profile) <= 34
    assert found.ratio == pytest.approx(1.0, abs=1e-6)


def test_hours_limit_the_budget(testbed: EmbeddedTestbed) -> None:
    found = run(testbed, replace(QUICK, budget=100, hours=1.0))
    assert found.measurements == 10
    assert found.hours == pytest.approx(1.0)


def test_an_average_of_noisy_runs_is_not_chased(model: InterferenceModel) -> None:
    noisy = EmbeddedTestbed(model, slots=4, noise=0.1)
    ratios, boasts = [], []
    for seed in range(3):
        found = run(noisy, replace(QUICK, budget=30, start_size=12, repeats=4, seed=seed))
        ratios.append(found.ratio)
        believed, best = found.history[-1]["value"], true_value(found, noisy)
        boasts.append(believed / best - 1)
        assert found.history[-1]["noise"] > 0.04
        assert any(one["reason"] == "repeat" for one in found.measured)
    assert np.mean(ratios) > 0.97
    assert np.mean(boasts) < 0.03  # one that takes every run at face value promises 5 to 6 % too much here


def test_the_end_of_the_budget_runs_again_what_plans_use(model: InterferenceModel) -> None:
    noisy = EmbeddedTestbed(model, slots=4, noise=0.03)
    found = explore(noisy, [(GROUP, Cluster(noisy.space, 9))], MeanRps(), plan, ExploreSettings(**FEW))
    # rounds begin after 14, 17, 20 and 23 runs: the last is the first that begins in the last 30 % of them
    assert not any(run["reason"].startswith("again") for run in found.measured[:23])
    assert {run["reason"] for run in found.measured[23:]} == {"again, plan of group 0"}
    assert found.measurements == 30
    # with exact runs there is nothing to run again
    exact = explore(
        EmbeddedTestbed(model, slots=4, noise=0.0),
        [(GROUP, Cluster(noisy.space, 9))],
        MeanRps(),
        plan,
        ExploreSettings(**FEW),
    )
    assert not any(run["reason"].startswith("again") for run in exact.measured)


def test_what_is_most_at_stake_is_run_again_first(testbed: EmbeddedTestbed) -> None:
    space = testbed.space
    worth = np.zeros(space.size)
    pair, single = space.index(np.array([[1, 1, 0], [0, 0, 1]]))
    worth[pair], worth[single] = 1.0, 0.5
    spread = np.where(np.arange(space.size) == single, 0.3, 0.1)
    demand = Demand(np.array([6, 6, 3]), Cluster(space, 9), worth, spread)  # 6 nodes x 0.1, 3 nodes x 0.3
    everything = np.ones(space.size, dtype=bool)
    proposed = confirm([demand], everything, 5)
    assert proposed[0] == (single, "again, plan of group 0")
    assert (pair, "again, plan of group 0") in proposed
    assert confirm([demand], everything, 1) == proposed[:1]
    assert confirm([demand], np.arange(space.size) == pair, 5) == [(pair, "again, plan of group 0")]


def true_value(found: Exploration, testbed: EmbeddedTestbed) -> float:
    values = []
    for placement, nodes in zip(found.plans, (10, 9), strict=True):
        cluster = Cluster(testbed.space, nodes)
        worth = MeanRps().bind(placement.sum(axis=0), cluster, testbed.truth())
        values.append(worth[testbed.space.index(placement)].sum())
    return float(np.mean(values))


def test_rules_and_existing_containers_are_honoured(testbed: EmbeddedTestbed) -> None:
    existing = np.zeros((10, 3), dtype=np.int64)
    existing[0, 0] = 2
    allowed = Rules(never_together=[("web", "batch")]).mask(testbed.space)
    cluster = Cluster(testbed.space, 10, existing=existing, allowed=allowed)
    group = np.array([5, 8, 7])
    found = explore(testbed, [(group, cluster)], MeanRps(), plan, QUICK)
    check_placement(found.plans[0], group, cluster, "explore")
    assert allowed[testbed.space.index(found.profile.colocations)].all()


@pytest.mark.published
def test_the_published_bar(published: Path, measured: Profile) -> None:
    testbed = FileTestbed(measured)
    groups = load_groups(published / "batch_set_200.npz", "0:2", measured.apps)
    wanted = [(group, Cluster(testbed.space, 81)) for group in groups]

    def quick_plan(worth: FloatArray, group: IntArray, cluster: Cluster) -> IntArray:
        return solve_colocation_program(worth, group, cluster, mip_rel_gap=1e-4).placement

    # the bar is 200; 61 suffice today, and what comes after them costs most of the time
    found = explore(testbed, wanted, MeanRps(), quick_plan, ExploreSettings(budget=100))
    assert max(row["ratio"] for row in found.history) >= 0.99
