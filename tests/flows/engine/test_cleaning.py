"""What `metis gc` takes for old: nothing that a kept run stands on."""

import json
import os
import time
from pathlib import Path

import pytest

from flows.configuration.sections import GcSettings, TrackingSettings
from flows.engine.cleaning import delete_old, find_old
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


def test_young_runs_stay(store):
    record(store, "profile", "p1", fails=True)
    assert find_old(store, GcSettings(days=1)) == []


def test_deleting_frees_the_disk_and_leaves_the_rest(store):
    gone = record(store, "profile", "p1")
    stays = record(store, "profile", "p2")
    cached = store.root / "cache" / "checkpoints" / "abc"
    cached.mkdir(parents=True)
    (cached / "x.npz").write_bytes(b"0" * 1000)
    past = time.time() - 90 * 86_400
    os.utime(cached, (past, past))
    old = find_old(store, GcSettings(days=0, keep=1))
    assert {one.run_id or one.what for one in old} == {gone, "cache/checkpoints/abc"}
    assert sum(one.bytes for one in old) >= 1000 + len("p1")
    delete_old(store, old)
    assert find_old(store, GcSettings(days=0, keep=1)) == []
    assert not cached.exists()
    assert store.find("profile", "p2").run_id == stays
    assert store.find("profile", "p1") is None
    assert not any(gone in str(path) for path in Path(store.root).rglob("*"))


def test_a_server_is_cleaned_where_it_runs(store):
    store.uri = "http://127.0.0.1:5000"
    with pytest.raises(InputError, match="mlflow gc"):
        find_old(store, GcSettings())


def test_the_command_only_shows_unless_told(tracking, capsys):
    from flows.command.main import main

    run = record(Store(TrackingSettings(path=folder_of(tracking))), "profile", "p1", fails=True)
    words = ["gc", tracking, "gc.days=0", "output=json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["deleted"]
    assert [one["why"] for one in told["old"]] == ["failed"]
    assert main([*words, "gc.delete=true"]) == 0
    capsys.readouterr()
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["old"] == []
    assert run
