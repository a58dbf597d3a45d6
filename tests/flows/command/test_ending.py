"""Commands that are interrupted, lose who reads them, or print to a terminal that knows few characters."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.command.main import main
from flows.configuration.sections import TrackingSettings
from flows.engine.store import Store
from tests.pipeline.test_chain import SMALL
from tests.waiting import PATIENCE, wait_until

METIS = [sys.executable, "-m", "flows.command.main"]
SIGN = "METIS_TEST_SIGN"


def sleeping(group, cluster, worth):
    """A user's scheduler that shows that it has begun, and sleeps."""
    Path(os.environ[SIGN]).touch()
    time.sleep(600)


def deaf(group, cluster, worth):
    """One that does not listen, as a solver in C."""
    Path(os.environ[SIGN]).touch()
    until = time.monotonic() + 600
    while time.monotonic() < until:
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            continue


def environment(**more):
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path]), **more}


@pytest.mark.parametrize(
    ("scheduler", "how", "code"),
    [
        ("sleeping", signal.SIGTERM, 143),
        ("deaf", signal.SIGTERM, 143),
        ("deaf", signal.SIGINT, 130),
    ],
)
@pytest.mark.parametrize("verb", ["run", "place"])
def test_an_interrupt_is_two_lines_and_marks_the_runs(tracking, tmp_path, scheduler, how, code, verb):
    if verb == "place" and scheduler == "sleeping":
        pytest.skip("covered by run")
    sign = tmp_path / "sign"
    words = ["experiment=quick", *SMALL[1:-1]] if verb == "run" else ["profile=file"]
    name = f"{__name__}:{scheduler}"
    if verb == "run":
        words += [
            tracking,
            "tracking.orchestrate=false",
            f"schedulers=[greedy,{name}]",
            "images.arguments={A:c4nary}",
        ]
    else:
        words = [tracking, "cluster.nodes=9", "group.size=20", "simulator.trees=5", f"scheduler={name}"]
    process = subprocess.Popen(
        [*METIS, verb, *words], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment(**{SIGN: str(sign)}),
    )  # fmt: skip
    wait_until(sign.exists, "the step did not begin", process)
    process.send_signal(how)
    out, err = process.communicate(timeout=PATIENCE)
    lines = err.strip().splitlines()
    assert process.returncode == code, err
    assert lines[-2] == ("metis: terminated" if how == signal.SIGTERM else "metis: interrupted")
    assert shlex.split(lines[-1])[:2] == ["metis", verb]
    assert "Traceback" not in err
    assert "c4nary" not in err
    assert out == ""
    store = Store(TrackingSettings(path=str(tmp_path / "mlruns")))
    states = {run.info.status for run in store._client.search_runs([store.experiment])}
    assert states == {"FINISHED", "KILLED"} if verb == "run" else states <= {"FINISHED"}


@pytest.mark.parametrize("words", ["--help", "config", "run --help", "completion bash"])
def test_a_reader_that_has_enough(words):
    command = f"{shlex.join(METIS)} {words} | head -1"
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, env=environment()
    )
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert ended.stdout.count("\n") == 1


@pytest.mark.parametrize("words", ["--help", "config", "run --help", "completion bash", "doctor --help"])
@pytest.mark.parametrize("buffered", [False, True])
def test_a_reader_that_is_gone(words, buffered):
    """Without a buffer the first line fails, with one the last flush does."""
    reading, writing = os.pipe()
    os.close(reading)
    more = {} if buffered else {"PYTHONUNBUFFERED": "1"}
    ended = subprocess.run(
        [*METIS, *words.split()], stdout=writing, stderr=subprocess.PIPE, env=environment(**more)
    )
    os.close(writing)
    assert ended.stderr == b""
    assert ended.returncode == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_characters(tmp_path, tracking, full_profile, encoding):
    """`→` and the lines of tables are no part of ASCII."""
    words = f"place profile=file profile.path={full_profile} simulator=table cluster.slots=3 cluster.nodes=4"
    words += (
        f" group.size=9 scheduler=greedy existing={tmp_path / 'none→.csv'} tracking.path={tmp_path / 'r→s'}"
    )
    kept = environment(PYTHONIOENCODING=encoding, LANG="C", LC_ALL="C", PYTHONUTF8="0")
    ended = subprocess.run([*METIS, *words.split()], capture_output=True, env=kept)
    assert ended.returncode == 2
    assert b"Traceback" not in ended.stderr
    assert b"metis: " in ended.stderr
    for more in (["config"], ["run", "--help"], ["doctor", f"tracking.path={tmp_path}"]):
        ended = subprocess.run([*METIS, *more], capture_output=True, env=kept)
        assert ended.returncode == 0, ended.stderr
        assert b"Traceback" not in ended.stderr
        ended.stdout.decode(encoding)


@pytest.mark.parametrize("word", ["seed=range(0,0)", "seed=", "group.size=range(5,5)"])
def test_a_sweep_of_nothing_is_refused(word, tracking, capfd):
    assert main(["run", "-m", "experiment=quick", tracking, word]) == 2
    err = capfd.readouterr().err.strip()
    assert err.startswith("metis: ")
    assert "\n" not in err
    assert word.partition("=")[0] in err


@pytest.mark.parametrize("home", [None, "/nonexistent/home"])
def test_without_a_home_and_with_a_strict_umask(tmp_path, full_profile, home):
    """As in a container that runs as another user: nothing is written but into the tracking folder."""
    words = ["profile=file", f"profile.path={full_profile}", "simulator=table", "cluster.slots=3"]
    words += ["cluster.nodes=4", "group.size=9", "scheduler=greedy", "tracking.path=mlruns", "output=json"]
    kept = {name: value for name, value in environment().items() if name != "HOME"}
    kept |= {"PYTHONDONTWRITEBYTECODE": "1"} | ({"HOME": home} if home else {})
    for verb, given in (("place", words), ("doctor", ["tracking.path=mlruns"])):
        command = ["bash", "-c", 'umask 077 && exec "$@"', "bash", *METIS, verb, *given]
        ended = subprocess.run(command, capture_output=True, text=True, env=kept, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert "Traceback" not in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mlruns"]
