"""A trial on a real Swarm: killed midway, gone on with, and at its end what ran before runs again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cluster.swarm.backend import SwarmBackend
from flows.command.main import main
from flows.live.state import TRIAL
from metis.measure.profile import make_profile
from metis.operate.trial_journal import read_journal
from metis.problem.space import ColocationSpace
from tests.waiting import wait_until

APPS, NODES = ("Store", "Light", "Heavy"), ("worker-1", "worker-2")
WORKLOADS = Path(__file__).parent / "workloads"
SPACE = ColocationSpace(APPS, 3)
BEFORE = [[0, 1, 0], [1, 0, 0]]
TRY = ("schedulers=[greedy,spread]", "group.counts={Light:2,Heavy:2}", "trial.rounds=2", "output=json")


@pytest.fixture(scope="module")
def words(tmp_path_factory, lab, lab_name, lab_state):
    """What every command is given: the lab, small applications, and a profile in which others disturb."""
    folder = tmp_path_factory.mktemp("trial")
    counts = SPACE.counts[1:]
    kinds = (counts > 0).sum(axis=1, keepdims=True)
    profile = make_profile(
        APPS, 3, counts, {"rps": np.where(counts > 0, 1 / kinds, np.nan)}, {"source": "test"}
    )
    profile.save(folder / "profile.npz")
    frame = pd.DataFrame(BEFORE, columns=list(APPS), index=pd.Index(NODES, name="node"))
    frame.to_csv(folder / "before.csv")
    return [
        *("cluster=lab", f"cluster.name={lab_name}", f"cluster.state={lab_state}", "cluster.slots=3"),
        *(f"apps.names=[{','.join(APPS)}]", f"++apps.workloads=['{WORKLOADS}']"),
        *("launch.cpus=0.5", "launch.memory_mb=128", "load.duration=1", "load.warm_up=0.5"),
        *("profile=file", f"profile.path={folder / 'profile.npz'}", "profile.at_once=2", "simulator=table"),
        *(f"tracking.path={folder / 'mlruns'}", "tracking.orchestrate=false", "load.most_taken=1"),
    ]


@pytest.fixture(scope="module")
def tracking(words):
    """The tracking store of the commands."""
    return Path(next(word for word in words if word.startswith("tracking.path=")).partition("=")[2])


@pytest.fixture
def backend(words, lab_fleet, tracking):
    """The lab with a deployment on it; gone at the end."""
    placement = tracking.with_name("before.csv")
    assert main(["deploy", *words, f"placement={placement}", "deploy.measure=false", "deploy.at_once=2"]) == 0
    yield SwarmBackend(lab_fleet, (), ())
    main(["undeploy", *words[:3]])


def stands(backend):
    return sorted((one.node, one.slot, one.app) for one in backend.standing("deploy"))


def measured(tracking):
    """How many measurements are in the journal."""
    for path in (tracking / "checkpoints").glob("*/journal.json"):
        journal = read_journal(path)
        return len(journal.measured) if journal else 0
    return 0


def test_killed_midway_the_same_command_goes_on_and_what_ran_before_runs_again(
    words, backend, tracking, lab_state, capfd
):
    before = stands(backend)
    assert before == [("worker-1", 0, "Light"), ("worker-2", 0, "Store")]
    command = [sys.executable, "-m", "flows.command.main", "trial", *words, *TRY]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: measured(tracking) > 0, "something is measured", process)
    finally:
        process.kill()
        process.wait()
    assert stands(backend) != before
    assert (lab_state / TRIAL).is_file()
    kept = measured(tracking)
    capfd.readouterr()
    assert main(["rebalance", *words, "existing=live", "moves=1"]) == 1
    assert "a trial is under way here, or was killed" in capfd.readouterr().err
    code = main(["trial", *words, *TRY])
    out, err = capfd.readouterr()
    assert code == 0, err
    assert f"kept from an earlier command: {kept} measurement" in err
    found = json.loads(out)
    assert [row["scheduler"] for row in found["schedulers"]] == ["greedy", "spread"]
    assert [row["rounds"] for row in found["schedulers"]] == [2, 2]
    assert found["schedulers"][1]["difference"]["half_width"] > 0
    assert all(0 < row["rps"]["mean"] < 5 for row in found["schedulers"])
    assert set(found["units"]) == {"Light", "Heavy"}
    assert "<svg" in Path(found["page"]).read_text()
    assert stands(backend) == before
    assert not (lab_state / TRIAL).exists()
