"""Stages that place and judge: subscheduler, highlevel, baselines, evaluate, report."""

import json

import numpy as np
import pandas as pd
import pytest

from flows.placing.decisions import Decisions
from flows.stages.baselines import STAGE as BASELINES
from flows.stages.evaluate import STAGE as EVALUATE
from flows.stages.evaluate import read_results
from flows.stages.highlevel import STAGE as HIGHLEVEL
from flows.stages.report import STAGE as REPORT
from flows.stages.subscheduler import STAGE as SUBSCHEDULER
from tests.flows.conftest import settings_of


def records(memo, stage, part=""):
    """What a stage reads, found or made."""
    return {
        name: memo.obtain(name) for name in memo.step(f"{stage.name}/{part}" if part else stage.name).inputs
    }


@pytest.mark.parametrize("learner", ["value", "paper"])
def test_subscheduler_trains_a_learner_and_logs_its_curve(do, small, memo_of, store, learner):
    words = ["paper.nodes=3", "paper.ranges=1", "paper.steps=2"]
    chosen = settings_of(*small, *words)
    record = do(SUBSCHEDULER, chosen, records(memo_of(), SUBSCHEDULER, "value"), learner)
    assert (record.folder / "weights.npz").is_file()
    curve = pd.read_csv(record.folder / "about" / "curve.csv")
    assert {"loss", "seconds"} <= set(curve)
    assert store._client.get_metric_history(record.run_id, "loss")


def placed_well(record, small, nodes=6, slots=3):
    """The decisions of a record, whole and within the slots."""
    from flows.configuration.objects import make_groups

    decided = Decisions.load(record.folder)
    apps = tuple(pd.read_csv(record.folder / "placements.csv").columns[2:])
    groups = make_groups(settings_of(*small), apps)
    assert decided.placements.shape == (2, nodes, len(apps))
    np.testing.assert_array_equal(decided.placements.sum(axis=1), groups)
    assert decided.placements.sum(axis=2).max() <= slots
    timings = pd.read_csv(record.folder / "timings.csv")
    assert (timings[["seconds", "cpu_seconds"]] >= 0).all(axis=None)
    assert (record.folder / "about" / "placement-group-0.svg").is_file()
    return decided


def test_baselines_places_every_group_the_same_each_time(do, small, memo_of):
    inputs = records(memo_of(), BASELINES, "greedy")
    record = do(BASELINES, settings_of(*small), inputs, "greedy")
    placed_well(record, small)
    assert do(BASELINES, settings_of(*small), inputs, "greedy").digest == record.digest


def test_baselines_reads_the_constraints_of_their_stage(do, small, memo_of):
    inputs = records(memo_of(), BASELINES, "medea")
    assert set(inputs) == {"simulator", "constraints"}
    record = do(BASELINES, settings_of(*small, "medea.ends=true"), inputs, "medea")
    for trace in placed_well(record, small).traces:
        assert trace["worst"] <= trace["best"] + 1e-9


def test_highlevel_places_with_the_weights_of_the_subscheduler(do, small, memo_of):
    words = ["schedulers=[metis]"]
    inputs = records(memo_of(*words), HIGHLEVEL, "metis")
    assert set(inputs) == {"simulator", "subscheduler/value"}
    record = do(HIGHLEVEL, settings_of(*small, *words), inputs, "metis")
    placed_well(record, small)
    threads = do(HIGHLEVEL, settings_of(*small, *words, "runner=threads"), inputs, "metis")
    assert threads.digest == record.digest  # whoever did the work


def test_highlevel_logs_the_curve_of_each_group(do, small, memo_of, store):
    words = ["schedulers=[divide_conquer]", "divide_conquer.steps=2", "divide_conquer.seconds=null"]
    inputs = records(memo_of(*words), HIGHLEVEL, "divide_conquer")
    record = do(HIGHLEVEL, settings_of(*small, *words), inputs, "divide_conquer")
    placed_well(record, small)
    for group in (0, 1):
        ratios = [m.value for m in store._client.get_metric_history(record.run_id, f"group_{group}/ratio")]
        assert len(ratios) == 2
        assert 0.3 < ratios[0] <= ratios[-1] <= 1 + 1e-9


def test_evaluate_judges_every_scheduler_against_the_optimum(do, small, memo_of, store):
    words = ["profile=testbed", "profile.path=null", "profile.share=1.0", "testbed.noise=0"]
    chosen = settings_of(*small, *words)
    record = do(EVALUATE, chosen, records(memo_of(*words), EVALUATE))
    results = read_results(record.folder)
    assert list(results["scheduler"].unique()) == ["optimum", "greedy"]
    assert len(results) == 4
    assert (results[results["scheduler"] == "optimum"]["ratio"] == 1).all()
    # everything was measured, so that what is predicted is what is true
    np.testing.assert_allclose(results["true_rps"], results["rps"], rtol=1e-6)
    assert (results["true_ratio"] <= 1 + 1e-6).all()
    for level in ("0.90", "0.95", "1.00"):
        np.testing.assert_allclose(results[f"true_slo_{level}"], results[f"slo_{level}"])
    np.testing.assert_allclose(results["true_value"] / results["true_best"], results["true_ratio"])
    assert "seconds" not in pd.read_csv(record.folder / "results.csv")
    children = store._client.search_runs([store.experiment], f"tags.`mlflow.parentRunId` = '{record.run_id}'")
    for run in children:
        mine = results[results["scheduler"] == run.data.params["scheduler"]]
        for number in ("true_rps", "true_best", "true_ratio", "true_slo_0.95"):
            assert run.data.metrics[number] == pytest.approx(mine[number].mean())
    assert {run.data.params["scheduler"] for run in children} == {"optimum", "greedy"}


def test_evaluate_knows_no_truth_of_a_file_of_measurements(do, small, memo_of):
    record = do(EVALUATE, settings_of(*small), records(memo_of(), EVALUATE))
    assert "true_rps" not in read_results(record.folder)


def test_report_shows_all_that_was_compared(do, small, memo_of):
    record = do(REPORT, settings_of(*small), records(memo_of(), REPORT))
    page = (record.folder / "report.html").read_text(encoding="utf-8")
    for text in ("greedy", "optimum", "<svg", "119 of 119 co-locations measured", "6 nodes of 3 slots"):
        assert text in page


def test_report_shows_what_was_explored(do, small, memo_of):
    words = ["profile=explore", "profile.path=null", "explore.budget=24", "explore.start_size=16"]
    words += ["simulator=boosted", "simulator.trees=5"]
    memo = memo_of(*words)
    record = do(REPORT, settings_of(*small, *words), records(memo, REPORT))
    measured = json.loads((memo.obtain("explore").folder / "exploration.json").read_text())["measurements"]
    assert f"{measured} measurements" in (record.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("testbed", ["embedded", "file"])
def test_nodes_that_differ_are_placed_on_the_testbeds_truth_and_judged_beside_its_bound(
    memo_of, full_profile, testbed
):
    types = "[{name: big, count: 2, slots: 3}, {name: small, count: 3, slots: 2, labels: [old]}]"
    words = [
        *(f"testbed={testbed}", "simulator=testbed", f"cluster.types={types}", "rules.at_most={Redis: 1}"),
        *("cluster.nodes=5", "group.size=6", "schedulers=[columns,greedy,spread]"),
        *([f"testbed.path={full_profile}"] if testbed == "file" else []),
    ]
    memo = memo_of(*words)
    results = read_results(memo.obtain("evaluate").folder)
    found = {name: rows["ratio"].to_numpy() for name, rows in results.groupby("scheduler")}
    assert set(found) == {"columns", "greedy", "spread"}
    assert (found["columns"] <= 1 + 1e-9).all()
    assert (found["columns"] >= found["greedy"] - 1e-9).all()
