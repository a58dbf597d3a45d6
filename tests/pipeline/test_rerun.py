"""A stage that really failed once is done again: three failures, three ways, and nothing that need not be.

Failures: a killed solver, a host that cannot be reached, a corrupt artifact. Ways: the same command,
`rerun=`, and (in test_serve.py) a deployment or `prefect flow-run retry`.
"""

import json
import shlex
import socket
from pathlib import Path

import pytest
from mlflow import MlflowClient

from flows.command.main import main
from tests.flows.conftest import UNTRAINED
from tests.pipeline.failing import SIGNS
from tests.pipeline.failing import __name__ as failing
from tests.pipeline.test_chain import SMALL

LEARNED = [*UNTRAINED, "schedulers=[greedy,metis]"]
JUDGED = ["evaluate", "report"]


@pytest.fixture
def signs(tmp_path, monkeypatch):
    """The folder where what a scheduler stands on is mended."""
    monkeypatch.setenv(SIGNS, str(tmp_path))
    return tmp_path


def run(capfd, *words):
    """`metis run`: exit code, document, lines on standard error."""
    code = main(["run", *words, "output=json"])
    out, err = capfd.readouterr()
    assert "Traceback" not in err
    return code, json.loads(out) if out else None, err.strip().splitlines()


def status(capfd, *words):
    """`metis status`: each step's state."""
    assert main(["status", *words, "output=json"]) == 0
    return {state["step"]: state for state in json.loads(capfd.readouterr().out)["steps"]}


def words_of(tracking, scheduler):
    return [*SMALL, tracking, "tracking.orchestrate=false", f"schedulers=[greedy,{failing}:{scheduler}]"]


def test_a_killed_solver_by_the_same_command(tracking, signs, capfd):
    words = words_of(tracking, "solver")
    own = f"baselines/{failing}:solver"
    code, _, lines = run(capfd, *words)
    assert code == 1
    assert lines[-2].startswith(f"metis: {own}: CalledProcessError: ")
    assert "SIGKILL" in lines[-2]
    assert shlex.split(lines[-1]) == ["metis", "run", *words, "output=json"]

    states = status(capfd, *words)
    assert states[own]["state"] == "failed"
    assert "SIGKILL" in states[own]["why"]
    assert states[own]["since"]
    log = Path(states[own]["log"]).read_text(encoding="utf-8")
    assert f"{own}, asked for by: metis run" in log
    assert "Traceback" in log
    assert states["evaluate"]["state"] == "missing"
    before = {step: state["run"] for step, state in states.items() if state["state"] == "done"}
    assert set(before) == {"setup", "profile", "simulator", "constraints", *PLACED_BEFORE}

    # the log is in MLflow too, where those look who have no shell on this machine
    client = MlflowClient(f"sqlite:///{tracking.partition('=')[2]}/mlflow.db")
    assert Path(log_name := states[own]["log"]).name in [
        artifact.path for artifact in client.list_artifacts(states[own]["run"])
    ], log_name

    (signs / "solver").touch()
    code, answer, _ = run(capfd, *words)
    assert code == 0
    assert answer["done"] == [own, *JUDGED]
    assert {step: answer["runs"][step] for step in before} == before
    assert run(capfd, *words)[1]["done"] == []
    assert not Path(states[own]["log"]).with_name(f"{answer['runs'][own]}.log").exists()

    after = {step: state["state"] for step, state in status(capfd, *words).items()}
    assert {step for step, state in after.items() if state == "reused"} == set(before)
    assert {step for step, state in after.items() if state == "done"} == {own, *JUDGED}


PLACED_BEFORE = ["baselines/optimum", "baselines/greedy"]


def test_an_unreachable_host_by_rerun(tracking, signs, capfd):
    words = words_of(tracking, "host")
    own = f"baselines/{failing}:host"
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        (signs / "port").write_text(str(server.getsockname()[1]), encoding="utf-8")
        code, _, lines = run(capfd, *words)
        assert code == 1
        assert lines[-2].startswith(f"metis: {own}: ConnectionRefusedError: ")
        assert shlex.split(lines[-1]) == ["metis", "run", *words, "output=json"]
        before = {step: state["run"] for step, state in status(capfd, *words).items()}

        server.listen()
        code, answer, _ = run(capfd, *words, f"rerun=['{own}']")
    assert code == 0
    assert answer["done"] == [own, *JUDGED]
    for step in set(before) - {own, *JUDGED}:
        assert answer["runs"][step] == before[step]


def test_a_server_that_cannot_be_reached_is_reported_and_costs_nothing(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{closed.getsockname()[1]}"
        words = [*SMALL, f"tracking.path={tmp_path}", f"tracking.uri={uri}", "tracking.orchestrate=false"]
        assert main(["run", *words]) == 1
    err = capfd.readouterr().err
    assert uri in err
    assert "Traceback" not in err


def test_a_corrupt_artifact_and_rerun_of_a_learned_stage(tracking, capfd):
    """What hangs on the corrupt file is done again only where it has changed."""
    words = [*SMALL, tracking, "tracking.orchestrate=false", *LEARNED]
    code, first, _ = run(capfd, *words)
    assert code == 0

    code, again, _ = run(capfd, *words, "rerun=[highlevel]")
    assert (code, again["done"]) == (0, ["highlevel/metis"])
    changed = {step for step in first["runs"] if again["runs"][step] != first["runs"][step]}
    assert changed == {"highlevel/metis"}  # the same decisions, so that what judges them stands

    weights = folder_of(tracking, first["runs"]["subscheduler/value"]) / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:100])
    assert status(capfd, *words)["subscheduler/value"]["state"] == "stale"
    assert "damaged" in status(capfd, *words)["subscheduler/value"]["why"]
    code, mended, _ = run(capfd, *words)
    assert (code, mended["done"][0]) == (0, "subscheduler/value")
    same = {step for step in first["runs"] if mended["runs"][step] == again["runs"][step]}
    assert same >= {"profile", "simulator", "constraints", "baselines/optimum", "baselines/greedy"}


def test_status_names_what_changed(tracking, capfd):
    words = [*SMALL, tracking, "tracking.orchestrate=false", "schedulers=[greedy]"]
    assert run(capfd, *words, "until=baselines")[0] == 0
    states = status(capfd, *words, "simulator.seed=4")
    assert states["profile"]["state"] == "done"
    assert (states["simulator"]["state"], states["simulator"]["why"]) == (
        "stale",
        "changed: simulator.seed",
    )
    assert states["baselines/greedy"]["why"] == "waits for simulator"
    both = status(capfd, *words, "simulator.seed=4", "groups.seed=4")["baselines/greedy"]["why"]
    assert both == "changed: groups.seed; waits for simulator"
    assert (states["evaluate"]["state"], states["evaluate"]["why"]) == ("missing", "never done")


def folder_of(tracking, run_id):
    return Path(tracking.partition("=")[2]) / "artifacts" / run_id / "artifacts"
