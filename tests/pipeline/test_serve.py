"""`metis serve`: deployments as a person meets them, through the command `prefect` and the server's API."""

import json
import re
import shlex
import shutil
import socket
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from flows.command.main import main
from flows.prefect.parameters import STAGES, composed, override_pattern
from flows.stages.chain import all_steps
from metis.errors import InputError
from tests.pipeline import served as serving
from tests.pipeline.failing import SIGNS
from tests.pipeline.failing import __name__ as failing
from tests.pipeline.served import ROOT
from tests.pipeline.test_chain import SMALL, in_a_process

OWN = ["groups.seed=21", "simulator.seed=21", "schedulers=[greedy,medea]"]


@pytest.fixture(scope="module")
def served(tmp_path_factory, empty_database, empty_prefect):
    """A running `metis serve` of the shrunk chain; it polls, so that it ends with these tests."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "mlruns" / "prefect").mkdir(parents=True)
    shutil.copy(empty_database, folder / "mlruns")
    shutil.copy(empty_prefect, folder / "mlruns" / "prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    yearly = "serve.cron='0 3 1 1 *'"
    process, running = serving.start(folder, [*SMALL, "schedulers=[greedy]", yearly], port)
    yield running
    assert serving.stop(process) == 0
    assert not (folder / "mlruns" / "prefect" / "server.json").exists()
    with socket.socket() as probe:  # its server went with it
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_readmes_command_runs_the_chain(served):
    """Its graph shows what waits for what, and nothing runs beside what is timed."""
    words = ["pipeline/local", "-p", f"overrides={json.dumps(OWN)}", "--watch"]
    ran = served.prefect("deployment", "run", *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr + served.log.read_text(encoding="utf-8")
    run_id = re.search(r"UUID: (\S+)", ran.stdout).group(1)
    run = served.ended(run_id)
    assert re.fullmatch(r"\d steps done, \d reused", run["state"]["message"])
    assert run["name"] == f"pipeline {' '.join(OWN)}"

    _, artifacts = served.ask("/artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run_id]}}})
    by_key = {artifact["key"]: artifact for artifact in artifacts}
    table = json.loads(by_key["results"]["data"])
    ratios = {row["scheduler"]: row["ratio"] for row in table}  # in the order of truth
    assert set(ratios) == {"optimum", "greedy", "medea"}
    assert ratios["optimum"] == pytest.approx(1)
    assert "/artifacts/report.html" in by_key["report"]["data"]
    assert re.search(r"#/experiments/\d+/runs/\w{32}\)", by_key["mlflow-baselines-greedy"]["data"])

    _, tasks = served.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    by_id = {task["id"]: task["name"] for task in tasks}
    waits = {
        task["name"]: {by_id[one["id"]] for one in task["task_inputs"].get("wait_for", [])} for task in tasks
    }
    steps = {step.name: step for step in all_steps(composed([*SMALL, *OWN]))}
    assert set(waits) == set(steps)
    assert waits == {name: set(step.inputs) for name, step in steps.items()}
    spans = {task["name"]: (task["start_time"], task["end_time"]) for task in tasks}
    for timed in (name for name, step in steps.items() if step.stage.timed):
        for other in spans.keys() - {timed}:
            assert spans[other][1] <= spans[timed][0] or spans[timed][1] <= spans[other][0], (timed, other)


def test_every_stage_is_a_deployment(served):
    _, deployments = served.ask("/deployments/filter", {})
    by_stage = {deployment["tags"][-1]: deployment for deployment in deployments}
    assert set(by_stage) >= {"pipeline", *STAGES}
    for deployment in by_stage.values():
        assert deployment["description"]
        assert "metis" in deployment["tags"]
        assert deployment["global_concurrency_limit"]["limit"] >= 1
    typed = by_stage["highlevel"]["parameter_openapi_schema"]["properties"]
    assert typed["size"]["anyOf"][0]["enum"] == ["small", "medium", "large"]
    assert typed["rerun"]["type"] == "boolean"


def test_a_schedule_becomes_runs(served):
    """Prefect's scheduler turned it into runs to come; with SQLAlchemy 2.1 it fails, and says so nowhere."""
    scheduled = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "limit": 1}
    until = time.monotonic() + 60
    while not (runs := served.ask("/flow_runs/filter", scheduled)[1]):
        assert time.monotonic() < until, (served.folder / "prefect" / "server.log").read_text("utf-8")[-3000:]
        time.sleep(0.5)
    assert runs[0]["auto_scheduled"]
    assert runs[0]["expected_start_time"][5:16] == "01-01T03:00"


def test_the_ui_asks_the_server_that_shows_it(served):
    """Not the one that may be at Prefect's own port."""
    with urlopen(f"{served.url.removesuffix('/api')}/ui-settings", timeout=60) as answer:
        assert json.load(answer)["api_url"] == served.url


def test_a_stage_does_itself_and_what_it_reads(served):
    """Here its own output was damaged since the whole chain ran, and what it reads was not."""
    fitted = newest(served.folder, "simulator")
    (folder_of(served.folder, fitted) / "simulator.npz").write_bytes(b"PK")
    mended = served.run("simulator/local", overrides=OWN)
    assert served.steps(mended["id"]) == {"simulator"}
    assert newest(served.folder, "simulator") != fitted
    assert mended["state"]["message"] == "1 steps done, 2 reused"  # setup and profile


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("pipeline", {"overrides": ["cluster.nods=3"]}, "cluster.nods=3"),
        ("pipeline", {"overrides": ["colour=red"]}, "colour=red"),
        ("pipeline", {"overrides": "group.size=3"}, "not of type 'array'"),
        ("pipeline", {"stages": ["nostage"]}, "nostage"),
        ("pipeline", {"rerun": ["nostage/greedy"]}, "nostage/greedy"),
        ("pipeline", {"until": 3}, "until"),
        ("highlevel", {"size": "huge"}, "huge"),
        ("profile", {"rerun": "often"}, "often"),
    ],
)
def test_what_does_not_validate_is_refused_before_there_is_a_run(served, name, given, says):
    status, answer = served.create(f"{name}/local", **given)
    assert status == 409
    assert says in answer["detail"]
    assert len(answer["detail"]) < 400


def test_a_value_out_of_range_is_refused_before_the_run_starts(served):
    run = served.run("pipeline/local", overrides=["cluster.nodes=0"])
    assert run["state"]["type"] == "FAILED"
    assert "cluster.nodes 0: give at least 1" in run["state"]["message"]
    _, states = served.ask(f"/flow_run_states/?flow_run_id={run['id']}")
    assert "RUNNING" not in {state["type"] for state in states}
    assert served.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})[1] == []


def test_a_worker_of_a_pool_does_the_same(served, tmp_path):
    """prefect.yaml: a work pool, and a worker that comes, does what waits, here again, and goes."""
    served.environment["METIS_HOME"] = str(ROOT)
    served.environment["METIS_OVERRIDES"] = f"tracking.path={served.folder} experiment=quick"
    assert served.ask("/work_pools/", {"name": "metis", "type": "process"})[0] == 201
    deployed = served.prefect("--no-prompt", "deploy", "--name", "setup/pool")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    status, run = served.create("setup/pool", rerun=True)
    assert status == 201
    worked = served.prefect("worker", "start", "--pool", "metis", "--run-once")
    assert served.ended(run["id"])["state"]["message"] == "1 steps done, 0 reused", worked.stdout


def test_the_pattern_knows_every_setting():
    pattern = re.compile(override_pattern())
    good = ["seed=1", "cluster.nodes=3", "cluster=lab", "+explore.budget=3", "rules.at_most.Redis=2"]
    good += ["size=large", "experiment=quick", "paper.learn.episodes=3", "group.counts={Redis:3}"]
    for word in good:
        assert pattern.search(word), word
    for word in ("seeds=1", "cluster.node=3", "seed", "cluster.nodes.x=1", "hydra.verbose=true"):
        assert not pattern.search(word), word


def test_words_for_the_whole_process_come_first(monkeypatch):
    monkeypatch.setenv("METIS_OVERRIDES", "cluster.nodes=5 'report=a b.html'")
    assert composed([]).cluster.nodes == 5
    assert composed(["cluster.nodes=6"]).cluster.nodes == 6
    assert composed([]).report == "a b.html"
    with pytest.raises(InputError, match="nodes"):
        composed(["cluster.nodes=x"])


def test_a_taken_port_is_reported(tmp_path, capfd, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", f"serve.port={port}", f"tracking.path={tmp_path}"]) == 1
    assert f"port {port} is taken" in capfd.readouterr().err


def test_a_server_that_does_not_answer_is_reported(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://user:secret@127.0.0.1:9/api")
    assert main(["serve", f"tracking.path={tmp_path}"]) == 1
    err = capfd.readouterr().err
    assert "http://user:***@127.0.0.1:9/api does not respond" in err
    assert "secret" not in err


def test_a_killed_solver_in_a_deployment_by_retry(served):
    signs = Path(served.environment[SIGNS])
    own = f"baselines/{failing}:solver"
    failed = served.run("pipeline/local", overrides=[f"schedulers=[greedy,{failing}:solver]"])
    assert failed["state"]["type"] == "FAILED"
    message = failed["state"]["message"]
    assert message.startswith(f"{own}: CalledProcessError: ")
    assert "SIGKILL" in message
    assert "\n" not in message
    retry = f"prefect flow-run retry {failed['id']}"
    told = served.told(failed["id"], until=retry)
    assert retry in told[-2:]  # after it only Prefect's own line on the state
    assert "Traceback" not in "".join(told)
    _, tasks = served.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [failed["id"]]}}})
    states = {task["name"]: task["state"] for task in tasks}
    assert states[own]["type"] == "FAILED"
    assert "SIGKILL" in states[own]["message"]

    (signs / "solver").touch()
    retried = served.prefect("flow-run", "retry", failed["id"])
    assert retried.returncode == 0, retried.stdout + retried.stderr
    ended = served.ended(failed["id"], after=2)
    assert ended["state"]["type"] == "COMPLETED", ended["state"]
    assert ended["state"]["message"] == "3 steps done, 6 reused"


def test_a_run_of_the_command_is_retried_by_prefect(served, monkeypatch):
    """`metis run` uses the server that serves its folder, and fails; `prefect flow-run retry` goes on."""
    for name in ("PREFECT_API_URL", "PREFECT_HOME"):
        monkeypatch.delenv(name, raising=False)
    signs = Path(served.environment[SIGNS])
    monkeypatch.setenv(SIGNS, str(signs))
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        (signs / "port").write_text(str(server.getsockname()[1]), encoding="utf-8")
        words = [*SMALL, f"tracking.path={served.folder}", f"schedulers=[greedy,{failing}:host]"]
        failed = in_a_process(["run", *words])
        assert failed.returncode == 1
        assert "ConnectionRefusedError" in failed.stderr.splitlines()[-2]
        assert shlex.split(failed.stderr.splitlines()[-1]) == ["metis", "run", *words]
        assert "Traceback" not in failed.stderr
        body = {"flow_runs": {"state": {"type": {"any_": ["FAILED"]}}}, "sort": "START_TIME_DESC"}
        run = served.ask("/flow_runs/filter", body)[1][0]
        assert run["parameters"]["overrides"] == words
        run_id = run["id"]
        server.listen()
        entry = "flows/prefect/deployments.py:pipeline"
        retried = served.prefect("flow-run", "retry", run_id, "--entrypoint", entry)
    assert retried.returncode == 0, retried.stdout + retried.stderr
    ended = served.ended(run_id, after=2)
    assert ended["state"]["message"] == "3 steps done, 6 reused"


def newest(folder, step):
    """Id of the newest finished run of a step."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    found = client.search_runs(
        experiments,
        f"tags.`metis.step` = '{step}' and status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return found[0].info.run_id


def folder_of(folder, run_id):
    return folder / "artifacts" / run_id / "artifacts"
