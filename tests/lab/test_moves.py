"""Moves on a real Swarm: under load, through a kill of the command, and until a node is killed."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cluster.deployment import placement_of
from cluster.provision.lab import lab as labs
from cluster.provision.lab.nodes import containers
from cluster.swarm.backend import SwarmBackend
from flows.command.main import main
from flows.live.record import UNDER_WAY, read_record
from flows.live.state import MOVES
from metis.measure.profile import make_profile
from metis.problem.space import ColocationSpace
from tests.waiting import wait_until

APPS, NODES = ("Store", "Light", "Heavy"), ("worker-1", "worker-2")
WORKLOADS = Path(__file__).parent / "workloads"
SPACE = ColocationSpace(APPS, 3)
SCRAMBLED, BETTER = [[0, 0, 2], [0, 2, 0]], [[0, 1, 1], [0, 1, 1]]


@pytest.fixture(scope="module")
def words(tmp_path_factory, lab, lab_name, lab_state):
    """What every command is given: the lab, small applications, and a profile in which likes disturb."""
    folder = tmp_path_factory.mktemp("moves")
    counts = SPACE.counts[1:]
    rps = np.where(counts > 0, 1 / np.maximum(counts, 1), np.nan)
    profile = make_profile(APPS, 3, counts, {"rps": rps}, {"source": "test"})
    profile.save(folder / "profile.npz")
    frame = pd.DataFrame(SCRAMBLED, columns=list(APPS), index=pd.Index(NODES, name="node"))
    frame.to_csv(folder / "scrambled.csv")
    return [
        *("cluster=lab", f"cluster.name={lab_name}", f"cluster.state={lab_state}", "cluster.slots=3"),
        *(f"apps.names=[{','.join(APPS)}]", f"++apps.workloads=['{WORKLOADS}']"),
        *("launch.cpus=0.5", "launch.memory_mb=128", "load.duration=3", "load.warm_up=1"),
        *("profile=file", f"profile.path={folder / 'profile.npz'}", "profile.at_once=2", "simulator=table"),
        *(f"tracking.path={folder / 'mlruns'}", "tracking.orchestrate=false"),
    ]


MOVE = ("existing=live", "moves=2", "apply=true", "rebalance.repeats=1", "output=json")


@pytest.fixture(scope="module")
def backend(words, lab_fleet):
    """The lab with the scrambled placement on it; gone at the end."""
    path = next(word for word in words if word.startswith("profile.path=")).partition("=")[2]
    placement = Path(path).with_name("scrambled.csv")
    assert main(["deploy", *words, f"placement={placement}", "deploy.measure=false", "deploy.at_once=2"]) == 0
    yield SwarmBackend(lab_fleet, (), ())
    main(["undeploy", *words[:3]])


def stands(backend):
    return placement_of(backend.standing("deploy"), NODES, APPS).tolist()


def phase(lab_state):
    """What comes next in the wave under way; None where none is."""
    record = read_record(lab_state / MOVES)
    return record.wave.phase if record and record.state == UNDER_WAY and record.wave else None


def test_killed_midway_the_same_command_goes_on_and_no_request_fails(words, backend, lab_state, capfd):
    command = [sys.executable, "-m", "flows.command.main", "rebalance", *words, *MOVE]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_until(lambda: phase(lab_state) == "prove", "new copies run", process)
    finally:
        process.kill()
        process.wait()
    assert stands(backend) == [[0, 1, 2], [0, 2, 1]]  # old and new copies
    capfd.readouterr()
    assert main(["rebalance", *words, "existing=live", "moves=1"]) == 1
    assert "moves are under way here (wave 1 of 1)" in capfd.readouterr().err
    code = main(["rebalance", *words, *MOVE])
    out, err = capfd.readouterr()
    assert code == 0, err
    made = json.loads(out)["applied"]
    assert stands(backend) == BETTER
    assert (made["state"], made["made"]) == ("made", 1)
    assert made["requests"] > 100
    assert made["failures"] <= 0.01 * made["requests"]
    assert made["before"] > 0
    assert made["after"] > 0
    assert main(["rebalance", *words, *MOVE]) == 0  # nothing is left to gain
    assert json.loads(capfd.readouterr().out)["applied"] is None


def test_a_node_killed_midway_ends_it_in_a_legal_state(words, backend, lab_state, lab_name, engine, capfd):
    worker = containers(engine, lab_name)["worker-2"]
    ended = threading.Event()

    def kill():
        wait_until(lambda: phase(lab_state) == "prove" or ended.is_set(), "new copies run")
        worker.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        code = main(["rebalance", *words, *MOVE, "rebalance.back=true"])
        ended.set()
        killing.join()
        out, err = capfd.readouterr()
        assert code == 1, err
        made = json.loads(out)["applied"]
        assert made["state"] == "stopped"
        assert "worker-2" in made["reason"]
        assert made["notes"] == ["Heavy stays on worker-1, for worker-2 is gone"]
        # all of worker-1 is where it was before or after a move, and worker-2 holds what did not move
        assert stands(backend) == [[0, 1, 2], [0, 1, 0]]
        (line,) = [one for one in err.splitlines() if one.startswith("metis: ")]
        assert "the wave was undone" in line
    finally:
        ended.set()
        killing.join()
        labs.up(lab_state, lab_name, len(NODES))
        wait_until(
            lambda: all(s.state == "ready" for s in backend.host_states().values()),
            "all nodes take containers",
        )
