"""What `metis gc` takes for old: nothing that a kept run stands on."""

import json
import os
import time

import pytest

from flows.command.main import main
from flows.configuration.sections import GcSettings, TrackingSettings
from flows.engine.cleaning import find_old, survey
from flows.engine.store import Store
from metis.errors import InputError


def folder_of(override):
    """The folder of the override that the fixture gives."""
    return override.removeprefix("tracking.path=")


@pytest.fixture
def store(tracking):
    return Store(TrackingSettings(path=folder_of(tracking)))


def record(store, step, key, inputs=None, fails=False):
    """A run of `step`; its id."""
    try:
        with store.recording(step, step, key, inputs or {}, {}, {}) as recording:
            (recording.folder / "out.txt").write_text(key)
            if fails:
                raise InputError("it was asked to")
    except InputError:
        pass
    return recording.run_id


def test_superseded_and_failed_runs_go_and_what_the_newest_needs_stays(store):
    first = record(store, "profile", "p1")
    needed = record(store, "simulator", "s1", {"profile": first})
    failed = record(store, "simulator", "s2", fails=True)
    record(store, "profile", "p2")
    # the newest report stands on the first profile, through the first simulator
    record(store, "report", "r1", {"simulator": needed})
    lost = record(store, "report", "r0")
    os.utime(store.root)
    record(store, "report", "r2", {"simulator": needed})
    old = find_old(store, GcSettings(days=0, keep=1))
    named = {one.run_id: one.why for one in old}
    assert named[failed] == "failed"
    assert named[lost] == "superseded"
    assert first not in named
    assert needed not in named
    assert survey(store, GcSettings(days=0, keep=1))[1] == {"newest of their step": 3, "needed by those": 1}
    assert survey(store, GcSettings(days=1, keep=1)) == ([], {"young": 7})


def test_young_runs_stay(store):
    record(store, "profile", "p1", fails=True)
    assert find_old(store, GcSettings(days=1)) == []


def test_the_command_shows_what_it_would_delete_and_deletes_it_when_asked_to(store, tracking, capsys):
    gone = record(store, "profile", "p1")
    stays = record(store, "profile", "p2")
    kept = store.root / "checkpoints" / "abc"
    kept.mkdir(parents=True)
    (kept / "x.npz").write_bytes(b"0" * 1000)
    past = time.time() - 90 * 86_400
    os.utime(kept, (past, past))
    words = ["gc", tracking, "gc.days=0", "output=json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert not found["deleted"]
    assert {one["why"] for one in found["old"]} == {"superseded", "cached"}
    assert found["bytes"] >= 1000 + len("p1")
    assert kept.exists()

    assert main([*words, "gc.delete=true"]) == 0
    assert json.loads(capsys.readouterr().out)["deleted"]
    assert find_old(store, GcSettings(days=0, keep=1)) == []
    assert not kept.exists()
    assert store.find("profile", "p2").run_id == stays
    assert store.find("profile", "p1") is None
    assert not any(gone in str(path) for path in store.root.rglob("*"))


def test_a_server_is_cleaned_where_it_runs(store):
    store.uri = "http://127.0.0.1:5000"
    with pytest.raises(InputError, match="mlflow gc"):
        find_old(store, GcSettings())
