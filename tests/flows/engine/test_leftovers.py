"""Runs that a sweep's processes leave open when the sweep alone is ended."""

import os
import socket
import time

import pytest

from flows.command.ending import TerminatedError
from flows.command.verbs.status import chain_status
from flows.configuration.sections import TrackingSettings
from flows.engine import leftovers
from flows.engine.store import Store
from flows.stages.simulator import STAGE as SIMULATOR
from tests.flows.conftest import settings_of
from tests.forked import Forked
from tests.waiting import wait_until


class Worker:
    """A process of a sweep as multiprocessing lists its children, of joblib's kind, which has no `kill`.

    It begins a job's run, and goes on.
    """

    def __init__(self, folder, parent):
        begun = folder / "begun"
        self._process = Forked(folder, lambda: begin(folder, parent, begun))
        wait_until(begun.exists, "the job did not begin", self._process)
        self.pid = self._process.pid

    def join(self, seconds):
        self._process.wait(seconds)


def begin(folder, parent, begun):
    """Begin a job's run, and say so."""
    with Store(TrackingSettings(path=str(folder))).child_recording(parent, "job", {}):
        begun.touch()
        time.sleep(600)


@pytest.mark.parametrize("how", ["raised", "ended where it stands"])
def test_the_runs_of_a_sweep_that_is_ended_are_killed_with_their_processes(tmp_path, monkeypatch, how):
    """SIGTERM reaches the process of the sweep alone, unlike Ctrl-C at a terminal."""
    store = Store(TrackingSettings(path=str(tmp_path)))
    workers = []
    monkeypatch.setattr(leftovers.multiprocessing, "active_children", lambda: workers)

    def sweep():
        with store.parent("sweep", {}) as parent:
            workers.append(Worker(tmp_path, parent))
            if how != "raised":
                leftovers.close_own("interrupted")
                assert states(store) == ["KILLED", "KILLED"]
                workers.clear()
            raise TerminatedError

    with pytest.raises(TerminatedError):
        sweep()
    assert states(store) == ["KILLED", "KILLED"]
    assert not leftovers.SWEEPS


def states(store):
    return [run.info.status for run in store._client.search_runs([store.experiment])]


def test_what_prefect_makes_of_a_sigterm_is_a_kill_and_no_failure(tmp_path):
    from prefect.exceptions import TerminationSignal

    store = Store(TrackingSettings(path=str(tmp_path)))
    with pytest.raises(TerminationSignal), store.parent("sweep", {}):
        raise TerminationSignal(signal=15)
    assert states(store) == ["KILLED"]


def test_a_step_is_running_until_its_process_is_gone_and_then_closed(tracking, tmp_path, full_profile):
    """Of a `kill -9`: the next command closes what it left, before it shows the chain."""
    words = ("profile=file", f"profile.path={full_profile}", "simulator=table", "cluster.slots=3", tracking)
    settings = settings_of(*words, "until=simulator")
    store = Store(settings.tracking)
    step = SIMULATOR.step(settings)
    begun = store._start("simulator", {"metis.step": "simulator", "metis.identity": "{}"}).run_id
    leftovers.OWN.pop(begun)
    assert [row.status for row in store.attempts(step.name)] == ["RUNNING"]
    store._client.set_tag(begun, "metis.process", f"{socket.gethostname()} {os.getpid()} 1")  # long reused
    (row,) = [row for row in chain_status(settings) if row["step"] == "simulator"]
    assert row["state"] != "running"
    found = store._client.get_run(begun)
    assert found.info.status == "KILLED"
    assert found.data.tags["metis.error"] == "killed without a word"
