"""Finished runs read from MLflow's own file are those that its client returns."""

import shutil
from dataclasses import replace

import pytest

from flows.configuration.sections import TrackingSettings
from flows.engine.lookup import FoundRun, finished_runs
from flows.engine.store import Store
from metis.errors import InputError

STEP, KEY = "simulator", "key-1"


def keep(store, step, key, *, fails=False):
    """Record a run; return its id."""
    try:
        with store.recording(step, step, key, {}, {}, {}) as recording:
            (recording.folder / "a.txt").write_text(key)
            recording.metrics({"cpu_seconds": 1.5, "r2": 0.5})
            if fails:
                raise InputError("as it was asked to")
    except InputError:
        pass
    return recording.run_id


@pytest.fixture(scope="module")
def several(tmp_path_factory, empty_database):
    """A store with runs of several steps, keys and experiments, failed and deleted ones among them."""
    folder = tmp_path_factory.mktemp("lookup")
    shutil.copy(empty_database, folder)
    tracking = TrackingSettings(path=str(folder))
    store = Store(tracking)
    for _ in range(2):
        keep(store, STEP, KEY)
    keep(store, STEP, KEY, fails=True)
    store._client.delete_run(keep(store, STEP, KEY))
    keep(store, STEP, "key-2")
    keep(store, "profile", KEY)
    keep(Store(replace(tracking, experiment="another")), STEP, KEY)
    return store


def by_client(store, step, key):
    """The same by MLflow's client."""
    wanted = f"tags.`metis.step` = '{step}' and tags.`metis.key` = '{key}' and status = 'FINISHED'"
    order = ["attributes.start_time DESC"]
    return [FoundRun.of(run) for run in store._client.search_runs([store.experiment], wanted, order_by=order)]


@pytest.mark.parametrize(
    ("step", "key", "runs"),
    [(STEP, KEY, 2), (STEP, "key-2", 1), ("profile", KEY, 1), ("profile", "key-2", 0), ("a'b", KEY, 0)],
)
def test_both_find_the_same_runs(several, step, key, runs):
    found = finished_runs(several.root, "metis", step, key)
    assert len(found) == runs
    if "'" not in step:
        assert found == by_client(several, step, key)
    assert all(run.cpu_seconds == 1.5 for run in found)


def test_other_experiments_have_their_own(several):
    assert len(finished_runs(several.root, "another", STEP, KEY)) == 1
    assert finished_runs(several.root, "none", STEP, KEY) == []


def test_a_folder_without_a_database_has_none(tmp_path):
    assert finished_runs(tmp_path, "metis", STEP, KEY) == []
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_left_to_mlflow(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, " * 100)
    assert finished_runs(tmp_path, "metis", STEP, KEY) is None
