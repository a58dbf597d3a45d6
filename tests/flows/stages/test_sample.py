"""Exploring for typical groups, what the simulator takes over from it, and the random share beside it."""

import json

import numpy as np
import pandas as pd
import pytest

from flows.placing.tables import fitted_in, tables_in
from flows.stages.chain import all_steps
from flows.stages.explore import STAGE as EXPLORE
from flows.stages.explore import explored_problem
from flows.stages.sample import FACTS, RESULTS, STAGE, in_words
from flows.stages.simulator import STAGE as SIMULATOR
from tests.flows.conftest import settings_of

EXPLORED = [
    *("profile=explore", "profile.path=null", "simulator=ensemble", "testbed.noise=0"),
    *("explore.budget=25", "explore.start_size=16", "demand.nodes=6", "demand.size=9", "demand.count=1"),
]


def test_groups_rules_and_nodes_of_a_run_are_not_explored_for():
    typical = EXPLORE.step(settings_of("demand.nodes=9", "demand.size=12")).values()
    words = ["group.counts=[1,2,0,0,0,0,0]", "cluster.nodes=4", "groups.count=3", "rules.at_most={MMS:1}"]
    assert EXPLORE.step(settings_of("demand.nodes=9", "demand.size=12", *words)).values() == typical
    assert EXPLORE.step(settings_of("demand.nodes=9", "demand.size=12", "objective=slo")).values() != typical


def test_demand_of_the_run_are_its_own_groups():
    settings = settings_of("demand=run", "cluster.nodes=4", "group.size=5")
    assert explored_problem(settings) is settings


def test_typical_groups_fill_half_of_the_slots_at_most():
    chosen = explored_problem(settings_of("cluster.slots=2", "demand.nodes=10", "demand.size=200"))
    assert (chosen.cluster.nodes, chosen.group.size) == (10, 10)


def test_by_default_the_groups_explored_for_are_those_of_the_run():
    step = EXPLORE.step(settings_of())
    assert step.values() == EXPLORE.step(settings_of("demand=run")).values()


@pytest.mark.parametrize("word", ["profile.share=0.5", "profile.choose=pairs", "profile.onto=p.npz"])
def test_nothing_is_explored_where_settings_say_what_to_measure(word):
    assert settings_of().profile.explored
    assert not settings_of(word).profile.explored


def test_the_simulator_is_what_the_exploration_believes(do, small, memo_of):
    memo = memo_of(*EXPLORED)
    explored = memo.obtain("explore")
    inputs = {"profile": memo.obtain("profile"), "explore": explored}
    record = do(SIMULATOR, settings_of(*small, *EXPLORED, "simulator.caution=0"), inputs)
    np.testing.assert_array_equal(tables_in(record.folder).rps, tables_in(explored.folder).rps)
    # left alone, schedulers see it a quarter of a spread worse
    believed = fitted_in(explored.folder)
    lower = believed.tables.rps * np.exp(-0.25 * believed.doubts["rps"].spread)
    careful = tables_in(do(SIMULATOR, settings_of(*small, *EXPLORED), inputs).folder)
    np.testing.assert_allclose(careful.rps, lower)
    assert SIMULATOR.step(settings_of(*EXPLORED)).inputs == ("profile", "explore")
    for other in ("simulator=boosted", "simulator.noise=0.01"):
        assert SIMULATOR.step(settings_of(*EXPLORED, other)).inputs == ("profile",)


def test_a_random_share_is_placed_by_and_judged(do, small):
    chosen = settings_of(*small, *EXPLORED, "sample.share=0.3", "sample.simulator=boosted")
    record = do(STAGE, chosen)
    facts = json.loads((record.folder / FACTS).read_text(encoding="utf-8"))
    results = pd.read_csv(record.folder / RESULTS)
    assert 0.25 < facts["measurements"] / 119 < 0.4
    assert list(results["scheduler"]) == ["optimum", "optimum"]
    assert ((results["true_ratio"] > 0.5) & (results["true_ratio"] <= 1 + 1e-9)).all()
    assert f"({facts['measurements']} measurements, simulator boosted)" in in_words(record.folder)


@pytest.mark.parametrize(
    ("words", "there"),
    [
        ([], True),
        (["sample.share=null"], False),
        (["profile=testbed"], False),
        (["simulator=testbed"], False),
        (["profile=file", "profile.path=p.npz"], False),
    ],
)
def test_it_stands_beside_explorations_whose_truth_is_known(words, there):
    steps = {step.name: step for step in all_steps(settings_of("schedulers=[greedy]", *words))}
    assert ("sample" in steps) == there
    assert ("sample" in steps["report"].inputs) == there


def test_nothing_is_profiled_where_schedulers_read_the_truth():
    read = {step.name: step for step in all_steps(settings_of("schedulers=[greedy]", "simulator=testbed"))}
    assert not {"explore", "profile", "sample"} & set(read)
    assert not {"explore", "profile", "sample"} & set(read["report"].inputs)
    asked = {step.name for step in all_steps(settings_of("simulator=testbed", "stages=[profile]"))}
    assert {"explore", "profile"} <= asked


def test_where_co_locations_are_too_many_no_constraints_are_tabulated():
    many = (
        "testbed=synthetic",
        "apps.count=30",
        "cluster.slots=8",
        "simulator=lowrank",
        "schedulers=[greedy]",
    )
    steps = {step.name: step for step in all_steps(settings_of(*many))}
    assert "constraints" not in {*steps, *steps["report"].inputs}
    assert {"explore", "profile", "evaluate", "report"} <= set(steps)
