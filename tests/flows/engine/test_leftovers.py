"""Runs that a sweep's processes leave open when the sweep alone is ended."""

import subprocess
import sys

import pytest
from prefect.exceptions import TerminationSignal

from flows.command.ending import TerminatedError
from flows.configuration.sections import TrackingSettings
from flows.engine import leftovers
from flows.engine.store import Store

# a process of a sweep: begins a job's run, says so and goes on, deaf to nothing
WORKER = """
import sys, time
from flows.configuration.sections import TrackingSettings
from flows.engine.store import Store
with Store(TrackingSettings(path=sys.argv[1])).child_recording(sys.argv[2], "job", {}):
    print("begun", flush=True)
    time.sleep(600)
"""


class Worker:
    """A process as multiprocessing lists its children."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *words], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout.readline() == "begun\n"

    def kill(self):
        self.process.kill()

    def join(self, seconds):
        self.process.wait(seconds)
        self.process.stdout.close()


@pytest.mark.parametrize("how", ["raised", "ended where it stands"])
def test_the_runs_of_a_sweep_that_is_ended_are_killed_with_their_processes(tmp_path, monkeypatch, how):
    """SIGTERM reaches the process of the sweep alone, unlike Ctrl-C at a terminal."""
    store = Store(TrackingSettings(path=str(tmp_path)))
    workers = []
    monkeypatch.setattr(leftovers.multiprocessing, "active_children", lambda: workers)

    def sweep():
        with store.parent("sweep", {}) as parent:
            workers.append(Worker(str(tmp_path), parent))
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
    store = Store(TrackingSettings(path=str(tmp_path)))
    with pytest.raises(TerminationSignal), store.parent("sweep", {}):
        raise TerminationSignal(signal=15)
    assert states(store) == ["KILLED"]
