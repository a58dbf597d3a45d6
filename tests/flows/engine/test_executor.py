"""Executors: the same results as one process, whatever the number of workers, and a lost worker survived."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

from flows.configuration.sections import RunnerSettings
from flows.engine.executor import Executor, executor_of
from metis.errors import SurroundingsError
from tests.flows.conftest import settings_of
from tests.waiting import PATIENCE, wait_until


def square(number):
    return number * number


def slow_square(number):
    time.sleep(0.2)
    return number * number, os.getpid()


def refuse(number):
    raise ValueError(f"not {number}")


@pytest.mark.parametrize("kind", ["local", "threads"])
def test_results_come_in_the_order_of_the_items(kind):
    reports = []
    with executor_of(RunnerSettings(kind=kind, jobs=3)) as executor:
        squares = executor.map(square, list(range(20)), lambda done, total: reports.append((done, total)))
    assert squares == [i * i for i in range(20)]
    assert reports == [(i, 20) for i in range(1, 21)]


@pytest.mark.parametrize("kind", ["local", "threads"])
def test_a_failure_is_raised(kind):
    with executor_of(RunnerSettings(kind=kind)) as executor, pytest.raises(ValueError, match="not 0"):
        executor.map(refuse, [0])


@pytest.mark.parametrize(("jobs", "count"), [(1, 7), (2, 3), (2, 30), (4, 5)])
def test_parts_cover_every_item_once(jobs, count):
    parts = Executor(jobs).parts(count)
    assert [i for part in parts for i in part] == list(range(count))
    assert all(len(part) for part in parts)


# a Dask scheduler and two workers, forked from one process that has imported what they need; its lines are
# their ids, and later the id and the exit code of each that ends
FORKED = """
import asyncio, os, sys
from distributed import Scheduler, Worker
import flows.placing.groups

async def serve(kind, options):
    async with kind(host="127.0.0.1", scheduler_file=sys.argv[1], dashboard=False, **options) as served:
        await served.finished()

def forked(kind, **options):
    child = os.fork()
    if not child:
        asyncio.run(serve(kind, options))
        os._exit(0)
    return child

print(forked(Scheduler, port=0), *(forked(Worker, nthreads=1) for _ in range(2)), flush=True)
for _ in range(3):
    child, status = os.wait()
    print(child, os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory):
    """Address of a Dask scheduler on loopback, the ids of its two workers, and the lines of `FORKED`."""
    from distributed import Client

    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    process = subprocess.Popen(
        [sys.executable, "-c", FORKED, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    scheduler, *workers = map(int, process.stdout.readline().split())
    try:
        wait_until(lambda: file.exists() and file.read_text().endswith("}"), "no scheduler", process)
        address = json.loads(file.read_text())["address"]
        with Client(address, timeout=PATIENCE) as client:
            client.wait_for_workers(2, timeout=PATIENCE)
        yield address, workers, process.stdout
    finally:
        for pid in (*workers, scheduler):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(timeout=PATIENCE)
        process.stdout.close()


def test_nobody_at_the_address(monkeypatch):
    monkeypatch.setattr("flows.engine.executor.CONNECT_SECONDS", 1.0)
    settings = RunnerSettings(kind="dask", address="tcp://127.0.0.1:9")
    with (
        pytest.raises(SurroundingsError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler"),
        executor_of(settings),
    ):
        pass


def test_two_workers_place_what_one_process_places(dask_cluster, full_profile):
    from flows.placing.decisions import Decisions
    from flows.placing.groups import _place_some
    from metis.measure.profile_files import load_profile
    from metis.simulate.fitting import fit_simulator
    from metis.simulate.settings import SimulatorSettings

    settings = settings_of("cluster.nodes=9", "cluster.slots=3")
    tables = fit_simulator(load_profile(full_profile), SimulatorSettings(kind="table")).tables
    groups = np.random.default_rng(3).multinomial(14, np.full(7, 1 / 7), size=8)
    for name in ("greedy+local_search", "optimum"):
        place = partial(_place_some, settings, name, tables, None, {})
        with executor_of(RunnerSettings(kind="dask", address=dask_cluster[0])) as executor:
            assert executor.jobs == 2
            parts = [groups[list(rows)] for rows in executor.parts(len(groups))]
            far = Decisions.joined(executor.map(place, parts))
        near = place(groups)
        assert len(parts) == 8
        assert np.array_equal(far.placements, near.placements)


def test_a_killed_worker_costs_only_what_it_was_doing(dask_cluster):
    """Last: it leaves one worker."""
    address, workers, ended = dask_cluster
    killed = []

    def report(done, total):
        if done == 2:
            os.kill(workers[0], signal.SIGKILL)
            killed.append(done)

    with executor_of(RunnerSettings(kind="dask", address=address)) as executor:
        squares = executor.map(slow_square, list(range(12)), report)
    assert killed == [2]
    assert [square for square, _ in squares] == [i * i for i in range(12)]
    assert ended.readline().split() == [str(workers[0]), str(-signal.SIGKILL)]
