"""The record: what is kept is found again, whole; what is damaged or unfinished is not."""

import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.configuration.sections import TrackingSettings
from flows.engine.provenance import Dataset
from flows.engine.store import Store, sqlite_uri
from metis.errors import InputError, SurroundingsError

STEP = ("simulator", "simulator", "key-1", {"profile": "run-0"}, {"trees": 3}, {"trees": "digest"})


@pytest.fixture(scope="module")
def store(tmp_path_factory, empty_database):
    folder = tmp_path_factory.mktemp("store")
    shutil.copy(empty_database, folder)
    return Store(TrackingSettings(path=str(folder)))


def keep(store, key, text="hello"):
    with store.recording(*STEP[:2], key, *STEP[3:]) as recording:
        (recording.folder / "sub").mkdir()
        (recording.folder / "a.txt").write_text(text, encoding="utf-8")
        (recording.folder / "sub" / "b.txt").write_text("b", encoding="utf-8")
        recording.metrics({"r2": 0.5})
    return recording


def test_what_is_kept_is_found_by_step_and_key(store):
    recording = keep(store, "found")
    record = store.find("simulator", "found")
    assert record.run_id == recording.run_id
    assert (record.folder / "a.txt").read_text(encoding="utf-8") == "hello"
    assert (record.folder / "sub" / "b.txt").is_file()
    assert record.seconds >= 0
    assert store.find("simulator", "other") is None
    assert store.find("profile", "found") is None


def test_the_same_output_has_the_same_digest(store):
    keep(store, "digest-1")
    keep(store, "digest-2")
    keep(store, "digest-3", text="other")
    digests = [store.find("simulator", f"digest-{i}").digest for i in (1, 2, 3)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("damage", ["change", "delete", "folder"])
def test_damaged_output_is_as_if_it_were_not_there(store, damage):
    keep(store, damage)
    folder = store.find("simulator", damage).folder
    if damage == "change":
        (folder / "a.txt").write_text("hellO", encoding="utf-8")
    elif damage == "delete":
        (folder / "sub" / "b.txt").unlink()
    else:
        folder.rename(folder.with_name("gone"))
    assert store.find("simulator", damage) is None
    keep(store, damage)
    assert store.find("simulator", damage) is not None


def test_the_newest_whole_output_is_taken(store):
    keep(store, "twice", "old")
    keep(store, "twice", "new")
    newest = store.find("simulator", "twice")
    assert (newest.folder / "a.txt").read_text(encoding="utf-8") == "new"
    (newest.folder / "a.txt").unlink()
    assert (store.find("simulator", "twice").folder / "a.txt").read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("error", [InputError("for a reason"), ValueError("odd"), KeyboardInterrupt()])
def test_what_fails_is_recorded_as_failed_and_never_found(store, error):
    key = f"failed-{type(error).__name__}"
    started = []

    def fail():
        with store.recording(*STEP[:2], key, *STEP[3:]) as recording:
            started.append(recording)
            (recording.folder / "a.txt").write_text("half", encoding="utf-8")
            raise error

    with pytest.raises(type(error)):
        fail()
    recording = started[0]
    assert store.find("simulator", key) is None
    run = store._client.get_run(recording.run_id)
    assert run.info.status == ("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
    assert str(error) in run.data.tags["metis.error"]
    assert not list(store.root.glob(".stage-*"))


def test_long_curves_are_kept_whole(store):
    rows = [{"loss": 1.0 / (i + 1), "rps": float(i)} for i in range(1200)]
    with store.recording(*STEP[:2], "curve", *STEP[3:]) as recording:
        recording.curve(rows)
        recording.params({f"p{i}": i for i in range(230)})
    history = store._client.get_metric_history(recording.run_id, "rps")
    assert [(m.step, m.value) for m in history] == [(i + 1, float(i)) for i in range(1200)]
    assert len(store._client.get_run(recording.run_id).data.params) >= 230


def test_settings_become_params_and_children_know_their_parent(store):
    with store.recording(*STEP[:2], "child", *STEP[3:]) as recording:
        child = recording.child("greedy", {"metis.scheduler": "greedy"}, {"nodes": 3}, {"rps": 1.2})
    assert store._client.get_run(recording.run_id).data.params["trees"] == "3"
    run = store._client.get_run(child)
    assert run.data.tags["mlflow.parentRunId"] == recording.run_id
    assert run.data.metrics["rps"] == 1.2
    assert run.info.status == "FINISHED"


@pytest.mark.parametrize("name", ["a b", "a=b", "~a", "[a](b)", "größe", "a'b", "100% a%20b"])
def test_folders_of_any_name(tmp_path, empty_database, name):
    (tmp_path / name).mkdir()
    shutil.copy(empty_database, tmp_path / name)
    store = Store(TrackingSettings(path=str(tmp_path / name)))
    keep(store, "k")
    assert Store(TrackingSettings(path=str(tmp_path / name))).find("simulator", "k") is not None
    assert (tmp_path / name / "mlflow.db").is_file()
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_database_of_a_newer_version_is_reported_and_left_alone(store, tmp_path):
    keep(store, "newer")
    newer = tmp_path / "mlflow.db"
    newer.write_bytes((store.root / "mlflow.db").read_bytes())
    with sqlite3.connect(newer) as database:
        database.execute("update alembic_version set version_num = 'ffffffffffff'")
    database.close()
    before = newer.read_bytes()
    with pytest.raises(SurroundingsError, match="another version of MLflow; upgrade metis") as refused:
        _ = Store(TrackingSettings(path=str(tmp_path))).experiment
    assert "\n" not in str(refused.value)
    assert newer.read_bytes() == before


def test_a_file_that_is_no_database_is_reported(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, " * 100)
    with pytest.raises(SurroundingsError, match=r"mlflow\.db") as refused:
        _ = Store(TrackingSettings(path=str(tmp_path))).experiment
    assert "\n" not in str(refused.value)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"/file is a file; give a folder"):
        Store(TrackingSettings(path=str(tmp_path / "file" / "mlruns")))


def test_uri():
    from pathlib import Path

    assert sqlite_uri(Path("/a b/100%")) == "sqlite:////a b/100%/mlflow.db"


def test_two_that_log_one_dataset_at_once_both_do(store):
    """MLflow looks whether it is there and then adds it: two did so in nine of ten rounds."""
    stores = [store, Store(TrackingSettings(path=str(store.root)))]
    runs = [one._start("s", {}).run_id for one in stores]
    rounds, barrier = 8, threading.Barrier(2, timeout=60)

    def log(one, run_id):
        for number in range(rounds):
            barrier.wait()
            one.log_datasets(run_id, [Dataset("groups", f"round {number}", "drawn", ["a"], 2)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(log, stores, runs))
    for run_id in runs:
        assert len(store._client.get_run(run_id).inputs.dataset_inputs) == rounds
        store._finish(run_id)


def test_a_dataset_that_another_machine_logs_meanwhile_is_tried_again(store, monkeypatch):
    asked = []

    def log_inputs(run_id, datasets):
        asked.append(run_id)
        if len(asked) < 3:
            raise RuntimeError("UNIQUE constraint failed: datasets.experiment_id")

    monkeypatch.setattr(store._client, "log_inputs", log_inputs)
    store.log_datasets("run", [Dataset("groups", "again", "drawn", ["a"], 2)])
    assert len(asked) == 3
