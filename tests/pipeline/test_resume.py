"""What fails, is killed or runs twice: the same command completes it, with only the rest to do."""

import json
import os
import shlex
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flows.command.main import main
from metis.errors import InputError, PlacementError
from tests import preloaded
from tests.forked import metis
from tests.pipeline.test_chain import SMALL
from tests.waiting import wait_until

SIGN = "METIS_TEST_SIGN"  # names a file that a test's own scheduler looks for


def hesitant(group, cluster, worth):
    """A user's scheduler that fails until the file named by the environment exists."""
    if not Path(os.environ[SIGN]).exists():
        raise PlacementError("the sign is not there yet")
    return spread_out(group, cluster, worth)


def mistaken(group, cluster, worth):
    """A user's scheduler that refuses what it is given."""
    del group, cluster, worth
    raise InputError("give it something else")


def slow(group, cluster, worth):
    """A user's scheduler that shows that it has begun, and waits for a second file before it ends."""
    begun = Path(os.environ[SIGN])
    begun.touch()
    while not begun.with_suffix(".go").exists():
        time.sleep(0.05)
    return spread_out(group, cluster, worth)


def spread_out(group, cluster, worth):
    del worth
    placement = np.zeros((cluster.nodes, len(group)), dtype=int)
    for i, app in enumerate(np.repeat(np.arange(len(group)), group)):
        placement[i % cluster.nodes, app] += 1
    return placement, {}


def words_for(tracking, name):
    return [*SMALL, tracking, "tracking.orchestrate=false", f"schedulers=[greedy,{__name__}:{name}]"]


def done(out):
    return json.loads(out)["done"]


def test_a_step_that_fails_says_why_and_how_to_go_on(tracking, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv(SIGN, str(tmp_path / "sign"))
    words = [*words_for(tracking, "hesitant"), "output=json"]
    own = f"baselines/{__name__}:hesitant"
    assert main(["run", *words]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.strip().splitlines()
    assert lines[-2].startswith(f"metis: {own}: ")
    assert "the sign is not there yet" in lines[-2]
    assert "Traceback" not in err
    assert not (tmp_path / "mlruns" / "report.html").exists()

    # the last line is the command, word for word
    command = shlex.split(lines[-1])
    assert command == ["metis", "run", *words]
    assert main(command[1:]) == 1  # nothing has changed yet
    capfd.readouterr()
    (tmp_path / "sign").touch()
    assert main(command[1:]) == 0
    assert done(capfd.readouterr().out) == [own, "evaluate", "report"]
    assert main(command[1:]) == 0
    assert done(capfd.readouterr().out) == []


def test_the_users_mistake_in_a_step_is_the_users_mistake(tracking, tmp_path, capfd):
    """Found only when the placement starts: exit code 2, and the way to go on all the same."""
    words = words_for(tracking, "mistaken")
    assert main(["run", *words]) == 2
    err = capfd.readouterr().err.strip().splitlines()
    assert "give it something else" in err[-2]
    assert shlex.split(err[-1]) == ["metis", "run", *words]


def start(words, sign):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), SIGN: str(sign)}
    return preloaded.Popen(
        [sys.executable, "-m", "flows.command.main", "run", *words],
        stdout=preloaded.PIPE,
        stderr=preloaded.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_goes_on_where_it_was(tracking, tmp_path, capfd, monkeypatch, how):
    sign = tmp_path / "sign"
    words = [*words_for(tracking, "slow"), "output=json"]
    process = metis(tmp_path, ["run", *words], **{SIGN: str(sign)})
    wait_until(sign.exists, "the step did not begin", process)
    process.send_signal(how)
    _, err = process.communicate()
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "Traceback" not in err
    monkeypatch.setenv(SIGN, str(sign))
    sign.with_suffix(".go").touch()
    assert main(["run", *words]) == 0
    assert done(capfd.readouterr().out) == [f"baselines/{__name__}:slow", "evaluate", "report"]
    assert not list((tmp_path / "mlruns").glob(".stage-*"))


@pytest.mark.usefixtures("created_anew")
def test_two_runs_at_once_into_a_fresh_folder(tmp_path):
    """Creating the tables is a race that MLflow alone loses; every step is made by one of the two."""
    folder = tmp_path / "fresh"
    words = [*SMALL, f"tracking.path={folder}", "tracking.orchestrate=false", "output=json"]
    words += ["until=simulator"]
    made = []
    for process in [start(words, tmp_path / "none") for _ in range(2)]:
        out, err = process.communicate(timeout=400)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        made += done(out)
    assert sorted(made) == ["profile", "setup", "simulator"]
    assert main(["run", *words]) == 0
