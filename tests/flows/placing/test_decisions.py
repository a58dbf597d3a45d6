"""Groups placed one after another, and judged: two applications, nodes of two slots, values by hand."""

from dataclasses import replace

import numpy as np
import pytest

from flows.configuration.sections import ClusterSettings, GroupsSettings
from flows.configuration.settings import Settings
from flows.placing.comparison import judge, place_optima, ratio, timings
from flows.placing.decisions import Decisions, Midway, cluster_before, place_groups, scheduler_for
from flows.placing.groups import warn_of_small_budget, warn_of_unproven
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.objectives import MeanRps
from metis.problem.scheduler import Decision
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("help", "hurt"), 2)
# alone all have 1; one of each on a node: 1.5 for the first and 1 for the second; two alike: a half each
RPS = {(0, 0): (0, 0), (1, 0): (1, 0), (0, 1): (0, 1), (1, 1): (1.5, 1), (2, 0): (0.5, 0), (0, 2): (0, 0.5)}
TABLES = Tables(SPACE, {"rps": np.array([RPS[tuple(row)] for row in SPACE.counts.tolist()], dtype=float)})
SETTINGS = replace(Settings(), cluster=ClusterSettings(nodes=2, slots=2))
ARRIVING = replace(SETTINGS, groups=GroupsSettings(arrive=True))
GROUPS = np.array([[1, 1], [1, 1]])


def decided(placements, bound=None):
    made = [Decision(np.array(one), 0.25, 0.5, {"bound": bound, "solve_seconds": 1.0}) for one in placements]
    return Decisions.of(made)


def test_each_group_meets_the_cluster_as_it_was_or_what_came_before():
    greedy = scheduler_for(SETTINGS, "greedy", TABLES)
    apart = place_groups(greedy, SETTINGS, TABLES, GROUPS)
    assert [sorted(one.tolist()) for one in apart.placements] == [[[0, 0], [1, 1]]] * 2
    together = place_groups(greedy, ARRIVING, TABLES, GROUPS)
    assert together.placements.sum(axis=0).tolist() == [[1, 1], [1, 1]]
    assert cluster_before(together, 1, ARRIVING, TABLES).existing.tolist() == together.placements[0].tolist()
    assert cluster_before(apart, 1, SETTINGS, TABLES).empty


def test_progress_is_reported_before_and_after_every_group():
    seen = []
    greedy = scheduler_for(SETTINGS, "greedy", TABLES)
    midway = Midway(lambda *row: seen.append(row))
    place_groups(greedy, SETTINGS, TABLES, GROUPS, midway, timed=False)
    assert seen == [(0, 2, ""), (1, 2, ""), (1, 2, ""), (2, 2, "")]


def test_what_is_known_midway_is_the_share_of_all_groups_and_the_ratio_to_the_bound(monkeypatch):
    monkeypatch.setattr("flows.placing.decisions.REPORT_AFTER", 0.0)
    monkeypatch.setattr("flows.placing.decisions.REPORT_EVERY", 0.0)
    seen = []
    midway = Midway(lambda *row: seen.append(row))
    worth = TABLES.rps @ np.ones(2)
    midway.begin(1, 2, GROUPS[0], Cluster(SPACE, 2), worth)  # both on one node is worth 2.5, the bound
    midway({"share": 0.5, "best": 2.0})
    midway({"value": 2.0, "bound": 4.0})
    assert seen[1:] == [(1.5, 2, ", 80.00% of the bound"), (1.0, 2, ", 50.00% of the bound")]


@pytest.mark.parametrize("name", ["optimum", "greedy+local_search"])
def test_schedulers_that_may_take_long_report_what_they_have(name, monkeypatch):
    monkeypatch.setattr("baselines.local_search.REPORT_EVERY", 1)
    rows = []
    rng = np.random.default_rng(0)
    space = ColocationSpace(("a", "b", "c"), 3)
    tables = Tables(space, {"rps": np.where(space.counts > 0, rng.uniform(0.3, 1.6, (space.size, 3)), 0)})
    group, cluster = np.array([9, 9, 9]), Cluster(space, 12)
    worth = MeanRps().bind(group, cluster, tables)
    placed = scheduler_for(SETTINGS, name, tables, progress=rows.append).place(group, cluster, worth)
    reached = value(placed.placement, cluster, worth)
    assert rows
    assert rows[-1]["value"] <= reached + 1e-9
    assert rows[-1].get("bound", reached) >= reached - 1e-9


def test_decisions_are_read_as_they_were_written_but_for_seconds_in_traces(tmp_path):
    one, two = decided([[[1, 1], [0, 0]]], 2.5), decided([[[0, 0], [1, 1]]])
    both = Decisions.joined([one, two])
    both.save(tmp_path, GROUPS, SPACE.apps)
    read = Decisions.load(tmp_path)
    np.testing.assert_array_equal(read.placements, both.placements)
    assert (read.seconds.tolist(), read.cpu_seconds.tolist()) == ([0.25, 0.25], [0.5, 0.5])
    assert list(read.traces) == [{"bound": 2.5}, {"bound": None}]


def test_schedulers_are_judged_beside_the_optimum_on_simulator_and_truth():
    optimum = decided([[[1, 1], [0, 0]]], 1.25)
    apart = decided([[[1, 0], [0, 1]]])
    truth = Tables(SPACE, {"rps": TABLES.rps.clip(max=1)})
    best = place_optima(SETTINGS, truth, GROUPS[:1], lambda *_: None)
    rows = judge({"optimum": optimum, "apart": apart}, SETTINGS, TABLES, GROUPS[:1], truth, best)
    by_name = rows.set_index("scheduler")
    assert by_name["rps"].to_dict() == {"optimum": 1.25, "apart": 1.0}
    assert by_name["ratio"].to_dict() == {"optimum": 1.0, "apart": 0.8}
    assert by_name["gap"].to_dict() == pytest.approx({"optimum": 0.0, "apart": 0.2})
    assert by_name["free_nodes"].to_dict() == {"optimum": 1, "apart": 0}
    assert by_name["true_ratio"].to_dict() == {"optimum": 1.0, "apart": 1.0}  # in truth nobody gains


def test_with_arrivals_the_optimum_is_that_of_the_cluster_a_scheduler_made():
    stacked = decided([[[2, 0], [0, 0]], [[0, 0], [0, 2]]])
    rows = judge({"optimum": stacked}, ARRIVING, TABLES, np.array([[2, 0], [0, 2]]))
    assert rows["value"].tolist() == [0.5, 0.5]
    assert rows["ratio"].tolist() == [0.5, 1.0]  # two apart; then whatever is free beside the first two


def test_a_testbed_of_other_applications_is_refused():
    other = ColocationSpace(("help", "other"), 2)
    with pytest.raises(InputError, match=r"measures help, other on 2 slots"):
        judge({}, SETTINGS, TABLES, GROUPS, Tables(other, {"rps": np.zeros((6, 2))}))


def test_a_ratio_of_nothing_to_nothing_is_one():
    assert (ratio(1.0, 2.0), ratio(0.0, 0.0)) == (0.5, 1.0)


def test_timings_have_a_row_per_decision():
    rows = timings({"a": decided([[[1, 1], [0, 0]]] * 2)})
    assert rows.to_dict("list") == {
        "scheduler": ["a", "a"],
        "group": [0, 1],
        "seconds": [0.25, 0.25],
        "cpu_seconds": [0.5, 0.5],
    }


@pytest.mark.parametrize(("updates", "said"), [(1, True), (19, True), (20, False)])
def test_a_budget_too_small_to_mean_anything_is_said_to_be(updates, said, capsys):
    made = [Decision(np.zeros((2, 2)), 0.1, 0.1, {"updates": n}) for n in (30, updates)]
    warn_of_small_budget("divide_conquer", Decisions.of(made))
    found = capsys.readouterr().err
    assert (f"divide_conquer: {updates} updates for a group: too small a budget" in found) is said
    assert ("divide_conquer.cpu_seconds" in found) is said


@pytest.mark.parametrize(
    ("name", "proven", "said"),
    [("optimum", False, True), ("optimum", True, False), ("greedy", None, False)],
)
def test_an_optimum_at_its_time_limit_is_said_to_be_unproven(name, proven, said, capsys):
    made = [Decision(np.zeros((2, 2)), 0.1, 0.1, {"proven": one}) for one in (True, proven)]
    warn_of_unproven(name, Decisions.of(made))
    assert (
        "optimum: not proven for 1 of 2 groups within optimum.time_limit" in capsys.readouterr().err
    ) is said
