"""Learned schedulers by the command: trained when missing, kept, and resumed when killed."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from flows.command.main import main
from metis.files import load_arrays
from metis.learn.loop import train
from metis.learn.value.learner import ValueLearner
from tests.forked import Forked
from tests.waiting import wait_until

SMALL = [
    *("cluster.slots=3", "simulator=table", "profile.share=1.0", "testbed.noise=0.0", "profile=testbed"),
    "cluster.nodes=12",
]
SHORT = ["value.steps=24", "value.updates=12", "dealer.steps=3", "value.max_nodes=9"]


@pytest.fixture(scope="module")
def tracking(tmp_path_factory, empty_database):
    """One tracking folder for all tests here: profile and simulator are made once."""
    folder = tmp_path_factory.mktemp("learned")
    shutil.copy(empty_database, folder)
    return f"tracking.path={folder}"


def run_json(capfd, *words):
    assert main([*words, "output=json"]) == 0, capfd.readouterr().err
    return json.loads(capfd.readouterr().out)


def test_place_trains_what_is_missing_and_keeps_it(tracking, capfd):
    words = ("place", "group.size=20", "scheduler=metis", tracking, *SMALL, *SHORT)
    first = run_json(capfd, *words)
    assert main([*words, "output=json"]) == 0
    out, err = capfd.readouterr()
    again = json.loads(out)
    assert not err  # nothing was made, so that nothing was reported
    assert again["placement"] == first["placement"]
    assert first["gap"] < 0.02


def test_metis_serves_another_objective(tracking, capfd):
    """One that reads another quantity; the others: `tests/metis/learn/value/test_scheduler.py`."""
    words = ["compare", "group.size=24", "groups.count=2", "schedulers=[optimum,metis]", "objective=latency"]
    found = run_json(capfd, *words, tracking, *SMALL, *SHORT)
    assert found["schedulers"]["metis"]["ratio"]["min"] > 0.95
    assert found["schedulers"]["metis"]["ratio"]["mean"] <= 1 + 1e-9


def test_learners_that_train_for_each_group(tracking, capfd):
    budget = [
        f"{name}.{key}" for name in ("vanilla_rl", "divide_conquer") for key in ("steps=3", "seconds=null")
    ]
    words = ["compare", "group.size=12", "groups.count=1", "schedulers=[optimum,vanilla_rl,divide_conquer]"]
    found = run_json(capfd, *words, *budget, tracking, *SMALL)
    for name in ("vanilla_rl", "divide_conquer"):
        assert 0.3 < found["schedulers"][name]["ratio"]["mean"] <= 1 + 1e-9


def test_the_paper_learner_over_its_sub_schedulers(tracking, capfd):
    paper = [
        "paper.nodes=3",
        "paper.ranges=1",
        "paper.steps=3",
        "highlevel.steps=2",
        "highlevel.seconds=null",
    ]
    words = ["place", "group.size=12", "scheduler=metis-paper", *paper, tracking, *SMALL]
    found = run_json(capfd, *words)
    assert sum(sum(held.values()) for held in found["placement"].values()) == 12


def test_groups_that_arrive_stay_where_they_are(tracking, capfd):
    words = ["compare", "group.size=6", "groups.count=4", "groups.arrive=true", tracking, *SMALL]
    found = run_json(capfd, *words, "schedulers=[optimum,greedy+local_search]")
    for entry in found["schedulers"].values():
        assert 0.8 < entry["ratio"]["min"] <= entry["ratio"]["mean"] <= 1 + 1e-9


def saving(words):
    """The command, which saves after every step instead of every ten seconds."""
    train.__kwdefaults__["checkpoint_every"] = 0.0
    return main(words)


def test_training_that_is_killed_goes_on_from_its_checkpoint(tmp_path, empty_database, monkeypatch):
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    words = ["run", "experiment=quick", "stages=[subscheduler]", "value.steps=100000", *SMALL]
    words += ["value.max_nodes=9", f"tracking.path={folder}", "tracking.orchestrate=false"]
    running = Forked(tmp_path, lambda: saving(words))
    wait_until(lambda: len(_curve(folder)) > 1, "no checkpoint was written", running)
    running.kill()
    running.communicate()
    curve = _curve(folder)
    assert len(curve) > 1

    # the same settings but for the budget would be another training, so the same command goes on, and is
    # interrupted two steps later: what it had learnt by then is still what it learnt before
    step, steps = ValueLearner.step, iter(range(2))

    def interrupted(learner):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(learner)

    monkeypatch.setattr(ValueLearner, "step", interrupted)
    assert main(words) == 130
    went_on = _curve(folder)
    assert len(went_on) == len(curve) + 2
    assert went_on[: len(curve)] == curve


def test_the_stage_keeps_weights_and_curve(tracking, capfd):
    words = ["run", "experiment=quick", "stages=[subscheduler]", tracking, "tracking.orchestrate=false"]
    found = run_json(capfd, *words, *SMALL, *SHORT)
    run = found["runs"]["subscheduler/value"]
    folder = next(Path(tracking.partition("=")[2]).glob(f"artifacts/{run}/artifacts"))
    curve = pd.read_csv(folder / "about" / "curve.csv")
    assert {"loss", "ratio", "seconds", "cpu_seconds", "episodes"} <= set(curve.columns)
    assert curve["ratio"].dropna().iloc[-1] > 0.98
    assert (folder / "weights.npz").is_file()


def _curve(folder):
    return [
        row
        for path in folder.glob("checkpoints/*/value.npz")
        for row in json.loads(str(load_arrays(path)["curve"]))
    ]


def test_a_learner_of_the_group_logs_its_curve_with_the_ratio(tracking, capfd):
    from mlflow import MlflowClient

    words = ["run", "experiment=quick", "stages=[highlevel]", "schedulers=[optimum,divide_conquer]"]
    words += [
        "divide_conquer.steps=3",
        "divide_conquer.seconds=null",
        "groups.count=1",
        "group.size=20",
        tracking,
        *SMALL,
    ]
    found = run_json(capfd, *words, "tracking.orchestrate=false")
    client = MlflowClient(f"sqlite:///{tracking.partition('=')[2]}/mlflow.db")
    run = found["runs"]["highlevel/divide_conquer"]
    ratios = [metric.value for metric in client.get_metric_history(run, "group_0/ratio")]
    assert len(ratios) == 3
    assert 0.3 < ratios[0] <= ratios[-1] <= 1 + 1e-9
