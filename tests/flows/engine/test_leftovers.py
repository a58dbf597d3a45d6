"""Runs that a process left open, data logged by two at once, and outputs that were damaged."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from flows.command.verbs.status import chain_status
from flows.configuration.sections import TrackingSettings
from flows.engine.leftovers import end
from flows.engine.processes import is_gone, own_mark
from flows.engine.store import Store
from tests.flows.conftest import settings_of

KILLED = (
    "import os, signal, sys; from flows.configuration.sections import TrackingSettings\n"
    "from flows.engine.store import Store\n"
    "store = Store(TrackingSettings(path=sys.argv[1]))\n"
    "with store.parent('sweep', {}), store.recording('s', 's', 'k', {}, {}, {}) as one:\n"
    "    print(one.run_id, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
)
# both meet right before they log, twenty times, each time another dataset
COLLIDING = (
    "import sys, time; from pathlib import Path; from flows.configuration.sections import TrackingSettings\n"
    "from flows.engine.provenance import Dataset; from flows.engine.store import Store\n"
    "store, own = Store(TrackingSettings(path=sys.argv[1])), sys.argv[2]\n"
    "until = time.monotonic() + 60\n"
    "meet = Path(sys.argv[1]).parent\n"
    "run = store._start('job', {}).run_id\n"
    "for i in range(20):\n"
    "    (meet / f'{i}-{own}').touch()\n"
    "    while time.monotonic() < until and len(list(meet.glob(f'{i}-*'))) < 2: time.sleep(0.0005)\n"
    "    store.log_datasets(run, [Dataset('profile', f'digest-{i}', 'test', ['Redis'], 3)])\n"
)


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def fresh(tmp_path, empty_database):
    folder = tmp_path / "mlruns"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    return Store(TrackingSettings(path=str(folder)))


def test_what_a_kill_left_open_is_closed_by_the_next_command(fresh):
    fresh._client.search_experiments()
    made = subprocess.run(
        [sys.executable, "-c", KILLED, str(fresh.root)], stdout=subprocess.PIPE, text=True, env=environment()
    )
    run = fresh._client.get_run(made.stdout.strip())
    assert run.info.status == "RUNNING"
    own = fresh._start("of this process", {}).run_id
    elsewhere = fresh._start("of another machine", {"metis.process": "elsewhere 1 1"}).run_id
    later = Store(TrackingSettings(path=str(fresh.root)))
    assert later.find("s", "k") is None
    statuses = {one.info.run_name: one.info.status for one in later._client.search_runs([later.experiment])}
    assert statuses == {
        "sweep": "KILLED", "s": "KILLED", "of this process": "RUNNING", "of another machine": "RUNNING",
    }  # fmt: skip
    assert later._client.get_run(run.info.run_id).data.tags["metis.error"] == "killed without a word"
    assert own != elsewhere


def test_processes_are_known_by_more_than_their_number():
    mark = own_mark()
    assert not is_gone(mark)
    assert is_gone(mark + "0")
    assert is_gone(f"{mark.split()[0]} 4194305 1")
    for unclear in ("", "elsewhere 1 1", mark.rsplit(" ", 1)[0], "a b c"):
        assert not is_gone(unclear)


def test_two_that_log_the_same_data_at_once(fresh):
    """MLflow looks whether a dataset is there and then adds it: nine of ten rounds failed."""
    fresh._client.search_experiments()
    command = [sys.executable, "-c", COLLIDING, str(fresh.root)]
    kinds = {"stderr": subprocess.PIPE, "text": True, "env": environment()}
    both = [subprocess.Popen([*command, name], **kinds) for name in "ab"]
    for process in both:
        _, err = process.communicate(timeout=100)
        assert process.returncode == 0, err
    runs = fresh._client.search_runs([fresh.experiment])
    assert sorted(len(run.inputs.dataset_inputs) for run in runs) == [20, 20]


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("change", "report.json changed since"),
        ("delete", "report.json gone"),
        ("folder", "report.json, simulator.npz"),
    ],
)
def test_a_damaged_output_is_named_and_made_again(memo_of, small, damage, named, capfd):
    words = [f"seed={700 + len(damage)}"]
    folder = memo_of(*words).obtain("simulator").folder
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    if damage == "change":
        (folder / "report.json").write_text(json.dumps({}), encoding="utf-8")
    elif damage == "delete":
        (folder / "report.json").unlink()
    else:
        shutil.rmtree(folder)
    state = {one["step"]: one for one in chain_status(settings_of(*small, *words))}["simulator"]
    assert state["state"] == "stale"
    assert f"its output is damaged: {named}" in state["why"]
    capfd.readouterr()
    record = memo_of(*words).obtain("simulator")
    assert f"simulator: its output was damaged ({named}" in capfd.readouterr().err
    again = {path.name: path.read_bytes() for path in record.folder.iterdir() if path.is_file()}
    assert again.keys() == before.keys()
    memo_of(*words).obtain("simulator")
    assert "damaged" not in capfd.readouterr().err


def test_a_step_that_is_being_made_is_running(memo_of, small, store):
    name, memo = "baselines/greedy", memo_of("group.size=8")
    step = memo.step(name)
    identity = step.identity({one: memo.obtain(one).digest for one in step.inputs})
    tags = {"metis.step": name, "metis.stage": "baselines", "metis.identity": json.dumps(identity)}
    run_id = store._start(name, tags).run_id

    def state():
        return {one["step"]: one for one in chain_status(settings_of(*small, "group.size=8"))}[name]

    assert state()["state"] == "running"
    end(store._client, run_id, "for a reason", "FAILED")
    assert (state()["state"], state()["why"]) == ("failed", "for a reason")
