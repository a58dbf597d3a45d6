"""Stage week: its output, its table and figure, and its place in the chain."""

from pathlib import Path

import pytest

from flows.command.week import week_views
from flows.placing.week import place_first_fit
from flows.report.week import week_section
from flows.stages.chain import all_steps
from flows.stages.week import STAGE, read_week
from metis.errors import InputError
from metis.operate.settings import POLICIES
from metis.problem.cluster import Cluster
from metis.problem.space import ColocationSpace
from tests.flows.conftest import settings_of

WEEK = ["stages=[week]", "cluster.nodes=3", "cluster.slots=3", "week.hours=3", "week.lag=1"]


@pytest.fixture(scope="module")
def record(do):
    return do(STAGE, settings_of(*WEEK))


def test_it_writes_what_every_policy_reached(record):
    document = read_week(record.folder)
    assert list(document["policies"]) == list(POLICIES)
    for one in document["policies"].values():
        assert len(one["by_hour"]["share"]) == document["hours"] == 3
        assert 0 < one["share_worst"] <= one["share"] <= 1
        assert one["cpu_seconds"] >= 0
        assert sum(one["by_hour"]["moves"]) == one["moves"]
    assert document["policies"]["metis"]["loops"] == 0
    assert "<svg" in week_section(document).figure_svg
    assert "<svg" in Path(document["figure"]).read_text(encoding="utf-8")
    table, line = week_views(document)
    assert [row[0] for row in table.rows] == list(POLICIES)
    assert "week.svg" in line.text


def test_the_same_settings_give_the_same_output(record, do):
    assert do(STAGE, settings_of(*WEEK)).digest == record.digest


def test_it_belongs_to_a_run_only_where_it_is_asked_for():
    asked = {step.name: step for step in all_steps(settings_of(*WEEK))}
    assert "week" in asked["report"].inputs
    assert "week" not in {step.name for step in all_steps(settings_of())}


def test_the_experiment_composes():
    settings = settings_of("experiment=week")
    assert settings.stages == ("week",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["week.policies=[greedy,robin]"], "week.policies: 'robin' is unknown: use first_fit, spread"),
        (["objective=latency"], "a week models RPS, objective latency needs"),
        (["testbed=synthetic", "apps.count=30", "cluster.slots=8", "simulator=testbed"], "can be tabulated"),
    ],
)
def test_what_cannot_be_is_refused(do, words, message):
    with pytest.raises(InputError, match=message):
        do(STAGE, settings_of(*WEEK, *words))


def test_first_fit_fills_one_node_after_another():
    space = ColocationSpace(("a", "b"), 2)
    placement, _ = place_first_fit([2, 1], Cluster(space, 3), None)
    assert placement.tolist() == [[2, 0], [0, 1], [0, 0]]
