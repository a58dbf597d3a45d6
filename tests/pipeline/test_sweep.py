"""A sweep: one parent, a job for each combination, a table and a figure; nothing is done twice."""

import pandas as pd
import pytest
from mlflow import MlflowClient

from flows.command.main import main
from tests.pipeline.test_chain import SAMPLED, SMALL

SWEPT = ["run", "-m", "scheduler=greedy,spread", "seed=0,1", *SMALL[:3], "group.size=16"]
FIXED = [*SAMPLED, "groups.count=2", "simulator.trees=10", "simulator.held_out=0.1"]


def test_a_sweep_has_a_parent_a_table_and_a_figure(tracking, tmp_path, capfd):
    folder = tracking.partition("=")[2]
    words = [*SWEPT, *FIXED, tracking, f"out={tmp_path / 'out'}"]
    assert main([*words, "runner.jobs=2"]) == 0
    assert "Traceback" not in capfd.readouterr().err

    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    assert set(summary["scheduler"]) == {"optimum", "greedy", "spread"}
    assert (summary["seeds"] == 2).all()
    ranked = summary.sort_values("rank")["true_rps"]  # by truth: the optimum is that of the simulator
    assert list(ranked) == sorted(ranked, reverse=True)
    assert summary.loc[summary["scheduler"] == "optimum", "ratio"].to_numpy() == pytest.approx(1)
    assert (summary["rps_low"] <= summary["rps"]).all()
    assert (tmp_path / "out" / "figure.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=1000)
    parents = [run for run in runs if run.data.tags.get("metis.stage") == "sweep"]
    jobs = [run for run in runs if run.data.tags.get("metis.stage") == "job"]
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert len(jobs) == 4
    assert {run.data.tags["mlflow.parentRunId"] for run in jobs} == {parents[0].info.run_id}

    # what two jobs need, one of them made: a simulator and an optimum for each seed
    steps = [run.data.tags["metis.step"] for run in runs if "metis.step" in run.data.tags]
    assert {name: steps.count(name) for name in ("profile", "simulator", "baselines/optimum")} == {
        "profile": 2,
        "simulator": 2,
        "baselines/optimum": 2,
    }
    assert main([*words, "runner.jobs=1"]) == 0
    again = client.search_runs(experiments, max_results=1000)
    assert len([run for run in again if "metis.step" in run.data.tags]) == len(steps)


def test_a_job_that_cannot_be_is_refused_before_the_first_runs(tracking, capfd):
    assert main(["run", "-m", "cluster.nodes=9,0", tracking]) == 2
    assert capfd.readouterr().err.splitlines()[-1].startswith("metis: cluster.nodes 0")


def test_optuna_tries_settings_and_names_the_best(tracking, capfd):
    tried = ["local_search.max_steps=choice(1,40)", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2"]
    fixed = ["scheduler=greedy+local_search", "until=evaluate", "runner.jobs=1", *SMALL[:3], *FIXED]
    words = ["run", "-m", *tried, *fixed, "group.size=16", tracking, "tracking.orchestrate=false"]
    code = main(words)
    err = capfd.readouterr().err
    assert code == 0, err
    assert "again (seed=0), and finds by their keys what was finished" in err
    best = [line for line in err.splitlines() if line.startswith("best: local_search.max_steps=")]
    assert len(best) == 1
    client = MlflowClient(f"sqlite:///{tracking.partition('=')[2]}/mlflow.db")
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
    trials = [run for run in runs if run.data.tags.get("metis.stage") == "job"]
    assert len(trials) == 2
    assert {run.data.params["local_search.max_steps"] for run in trials} <= {"1", "40"}
    assert float(best[0].split("ratio ")[1].rstrip(")")) == max(run.data.metrics["ratio"] for run in trials)
