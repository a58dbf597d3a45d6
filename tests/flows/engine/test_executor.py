"""Executors: the same results as one process, whatever the number of workers, and a lost worker survived."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from flows.configuration.sections import RunnerSettings
from flows.engine.executor import Executor, executor_of
from metis.errors import SurroundingsError
from tests.flows.conftest import settings_of


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


@pytest.fixture(scope="module")
def dask_cluster(tmp_path_factory):
    """Address of a Dask scheduler on loopback with two worker processes of their own, and these processes."""
    folder = tmp_path_factory.mktemp("dask")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    where = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", *where, "--port", "0"], **quiet)
    work = [*dask, "worker", "--scheduler-file", str(file), "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    workers = [subprocess.Popen([*work, "--host", "127.0.0.1"], **quiet) for _ in range(2)]
    try:
        import json

        from distributed import Client

        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        with Client(address, timeout=30) as client:
            client.wait_for_workers(2, timeout=60)
        yield address, workers
    finally:
        for process in (*workers, scheduler):
            process.kill()
            process.wait(timeout=20)


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
    address, workers = dask_cluster
    killed = []

    def report(done, total):
        if done == 2:
            os.kill(workers[0].pid, signal.SIGKILL)
            killed.append(done)

    with executor_of(RunnerSettings(kind="dask", address=address)) as executor:
        squares = executor.map(slow_square, list(range(12)), report)
    assert killed == [2]
    assert [square for square, _ in squares] == [i * i for i in range(12)]
    assert workers[0].wait(timeout=20) == -signal.SIGKILL
