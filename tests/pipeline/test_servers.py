"""`tracking=server`: two pipelines at once on a real Postgres, MLflow server and Prefect server."""

import json
import shutil
import urllib.request
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.sections import TrackingSettings
from flows.configuration.settings import validated
from flows.engine.store import Store
from flows.prefect.run import run_chain
from metis.errors import SurroundingsError
from tests.pipeline.shared_servers import free_port, shared_servers
from tests.pipeline.test_chain import SMALL, STEPS

DONE = [step for step in STEPS if step != "baselines/greedy+local_search"]
BOTH = (0, 1)


def words(seed):
    return [*SMALL, "schedulers=[greedy]", f"seed={seed}", f"groups.seed={seed}", f"profile.seed={seed}"]


def client_words(shared, seed, place):
    return ["run", *words(seed), "tracking=server", f"tracking.path={shared.folder / place}", "output=json"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with shared_servers(tmp_path_factory.mktemp("shared")) as servers:
        yield servers


@pytest.fixture(scope="module")
def documents(shared):
    """What two pipelines say that were started together, each in a tracking folder of its own."""
    running = [shared.start(client_words(shared, seed, f"client-{seed}")) for seed in BOTH]
    told = []
    for process in running:
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        told.append(json.loads(out))
    return told


@pytest.fixture(scope="module")
def client(shared):
    return MlflowClient(shared.tracking)


@pytest.fixture(scope="module")
def alone(tmp_path_factory, empty_database):
    """The same two pipelines, one after another, each in a folder of its own without any server."""
    outcomes = []
    for seed in BOTH:
        folder = tmp_path_factory.mktemp("alone")
        shutil.copy(empty_database, folder)
        local = ["tracking.orchestrate=false", f"tracking.path={folder}"]
        outcomes.append(run_chain(validated(compose_plain([*words(seed), *local]))))
    return outcomes


def steps_of(client):
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "metis"]
    runs = client.search_runs([experiment], max_results=1000)
    return [run for run in runs if "metis.step" in run.data.tags], runs


def test_nothing_is_lost(documents, client):
    """Every step of both is there, finished, with all its files as they were written."""
    steps, runs = steps_of(client)
    by_id = {run.info.run_id: run for run in steps}
    for document in documents:
        assert [by_id[run].data.tags["metis.step"] for run in document["runs"].values()] == DONE
        assert list(document["runs"]) == DONE
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in steps:
        listed = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {name.partition("/")[0] for name in json.loads(run.data.tags["metis.files"])} <= listed
    judged = [run for run in runs if run.data.tags.get("metis.stage") == "scheduler"]
    assert len(judged) == 4  # two schedulers for each of the two


def test_nothing_is_mixed(documents, client, alone, shared):
    """Each got the inputs of its own seed, and what it would have got alone."""
    steps, _ = steps_of(client)
    keys = {}
    for run in steps:
        tags = run.data.tags
        keys.setdefault((tags["metis.step"], tags["metis.key"]), set()).add(tags["metis.digest"])
    assert all(len(digests) == 1 for digests in keys.values())
    own = [set(document["runs"].values()) for document in documents]
    differ = [step for step in DONE if documents[0]["runs"][step] != documents[1]["runs"][step]]
    assert set(differ) >= set(DONE) - {"setup"}
    for runs, document in zip(own, documents, strict=True):
        for step in differ:
            tags = client.get_run(document["runs"][step]).data.tags
            inputs = json.loads(tags["metis.inputs"])
            assert {inputs[name] for name in inputs if name != "setup"} <= runs, step
    for seed, (document, outcome) in enumerate(zip(documents, alone, strict=True)):
        fetched = shared.folder / f"client-{seed}" / "downloads"
        for step in ("profile", "simulator"):
            tags = client.get_run(document["runs"][step]).data.tags
            assert tags["metis.digest"] == outcome.records[step].digest, step
        for step in ("baselines/optimum", "baselines/greedy"):
            mine = np.load(fetched / document["runs"][step] / "decisions.npz")
            theirs = np.load(outcome.folder(step) / "decisions.npz")
            np.testing.assert_array_equal(mine["groups"], theirs["groups"])
            np.testing.assert_array_equal(mine["placements"], theirs["placements"])
        timeless = [
            pd.read_csv(folder / "results.csv")
            for folder in (fetched / document["runs"]["evaluate"], outcome.folder("evaluate"))
        ]
        pd.testing.assert_frame_equal(*timeless)


def test_prefect_shows_both(documents, shared):
    def ask(path):
        request = urllib.request.Request(
            f"{shared.prefect}{path}", json.dumps({}).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as document:
            return json.load(document)

    flows = ask("/flow_runs/filter")
    assert [run["state_type"] for run in flows] == ["COMPLETED"] * 2
    tasks = ask("/task_runs/filter")
    assert {task["state_type"] for task in tasks} == {"COMPLETED"}
    # a step that both need is a task of both, and done by the one that came first
    done = Counter(step for document in documents for step in document["done"])
    shown = Counter(task["name"] for task in tasks)
    assert done <= shown
    assert set(shown) == set(done)
    assert max(shown.values()) <= 2


@pytest.fixture
def client_run(shared, monkeypatch, capfd):
    """Run the pipeline as another client of the servers, in this process; what it prints."""
    monkeypatch.setenv("METIS_TRACKING_URI", shared.tracking)

    def run(seed, place, *more):
        capfd.readouterr()
        code = main([*client_words(shared, seed, place), "tracking.orchestrate=false", *more])
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out)

    return run


def test_another_machine_finds_all_of_it(documents, shared, client_run):
    """A third client, with nothing on its disk, does nothing and sees the same."""
    third = client_run(0, "third")
    assert third["done"] == []
    # the same setup was recorded by both, and the newest is found
    assert third["runs"] | {"setup": ""} == documents[0]["runs"] | {"setup": ""}
    assert third["runs"]["setup"] in [document["runs"]["setup"] for document in documents]
    assert third["schedulers"] == documents[0]["schedulers"]
    assert "<svg" in (shared.folder / "third" / "report.html").read_text(encoding="utf-8")


def test_what_the_server_lost_is_done_again(documents, shared, client, client_run):
    """An artifact that was deleted on the server: as if it had never been there, for whoever has it not."""
    lost = documents[1]["runs"]["simulator"]
    (found,) = shared.artifacts.rglob(f"{lost}/artifacts/simulator.npz")
    found.unlink()
    store = Store(TrackingSettings(path=str(shared.folder / "fourth"), uri=shared.tracking))
    tags = client.get_run(lost).data.tags
    assert store.find("simulator", tags["metis.key"]) is None
    assert client_run(1, "fourth", "until=simulator")["done"] == ["simulator"]
    assert store.find("simulator", tags["metis.key"]).digest == tags["metis.digest"]


def test_a_damaged_copy_is_fetched_again(documents, shared):
    store = Store(TrackingSettings(path=str(shared.folder / "client-0"), uri=shared.tracking))
    folder = store.record(documents[0]["runs"]["profile"]).folder
    whole = (folder / "profile.npz").read_bytes()
    (folder / "profile.npz").write_bytes(b"")
    assert (store.record(documents[0]["runs"]["profile"]).folder / "profile.npz").read_bytes() == whole


def test_a_server_that_is_away_is_told_in_a_line_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    uri = f"http://me:hidden@127.0.0.1:{free_port()}"
    with pytest.raises(SurroundingsError, match="no MLflow server responds") as refused:
        Store(TrackingSettings(path=str(tmp_path), uri=uri)).find("simulator", "a key")
    assert "hidden" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_password_of_the_database_is_nowhere(documents, shared, client):
    texts = [log.read_text(encoding="utf-8") for log in shared.folder.glob("*.log")]
    texts += [json.dumps(run.data.tags) for run in steps_of(client)[1]]
    assert len(texts) > len(DONE)
    assert not any(shared.database.password in text for text in texts)
