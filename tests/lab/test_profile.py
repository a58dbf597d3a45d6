"""Profiling a real Swarm: what it finds, and what it makes of hosts and containers that die meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cluster.images.build import build, read_images, write_images
from cluster.images.catalog import load_catalog
from cluster.images.distribution import distribute
from cluster.provision.hosts import Fleet
from cluster.provision.lab import lab as labs
from cluster.provision.lab.nodes import containers
from cluster.settings import ConnectSettings
from cluster.swarm import membership as swarm
from flows.live.profile import live_testbed, profile_live
from metis.errors import InputError, SurroundingsError
from metis.measure.journal import load_journal
from metis.measure.profile_files import load_profile
from metis.measure.series import measure_list
from metis.problem.space import ColocationSpace
from tests.lab.profiling import APPS, WORKLOADS, settings_for, work_in

SPACE = ColocationSpace(tuple(APPS), 2)


@pytest.fixture(scope="module")
def prepared(lab, tmp_path_factory):
    """A folder with the outputs of setup and build: the lab's inventory, and images on its nodes."""
    folder = tmp_path_factory.mktemp("prepared")
    for name in ("setup", "build"):
        (folder / name).mkdir()
    settings = settings_for(lab)
    lab.save(folder / "setup" / "inventory.json")
    made = build(load_catalog([WORKLOADS], APPS), settings.images)
    with Fleet(lab, settings.connect) as fleet:
        images = distribute(fleet, made, settings.images)
    write_images(folder / "build" / "images.json", images)
    return folder


@pytest.fixture
def folder(prepared, tmp_path):
    """A folder of the test's own with the same inputs."""
    for name in ("setup", "build"):
        (tmp_path / name).symlink_to(prepared / name)
    return tmp_path


@pytest.fixture
def restored(lab, lab_state, lab_name, prepared):
    """Afterwards all hosts run again and are one Swarm."""
    yield
    revive(lab, lab_state, lab_name, prepared)


def revive(lab, lab_state, lab_name, prepared):
    inventory = labs.up(lab_state, lab_name, len(lab.workers))
    with Fleet(inventory, ConnectSettings()) as fleet:
        inventory = swarm.prepare(fleet)
    inventory.save(prepared / "setup" / "inventory.json")


def left_behind(lab):
    """Services of measurements, and containers of load on clients."""
    with Fleet(lab, ConnectSettings()) as fleet:
        label = f"label=metis.cluster={lab.name}"
        services = fleet.run(
            lab.manager, f"docker service ls -q --filter {label} --filter label=metis.purpose=measured"
        )
        loads = fleet.run(lab.clients[0], f"docker ps -aq --filter {label} --filter label=metis.purpose=load")
    return services.split(), loads.split()


def when_loaded(do, lab, nth=1):
    """In a thread: once the n-th load runs on the client, `do(its container id)`."""

    def watch():
        seen = set()
        with Fleet(lab, ConnectSettings()) as fleet:
            while len(seen) < nth:
                words = "docker ps -q --filter label=metis.purpose=load"
                seen |= set(fleet.run(lab.clients[0], words).split())
                time.sleep(0.1)
            do(fleet, seen)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def runs_of(folder):
    return load_journal(folder / "scratch" / "profile.npz", SPACE, "").runs


def test_killed_in_the_middle_of_a_load_it_goes_on_and_finds_the_interference(lab, folder):
    words = [sys.executable, "-m", "tests.lab.profiling", str(folder)]
    with subprocess.Popen(words, start_new_session=True) as process:
        when_loaded(lambda *_: os.killpg(process.pid, signal.SIGKILL), lab, nth=4).join(120)
        process.wait(10)
    before = runs_of(folder)
    assert len(before) in (2, 3)  # and one was lost on its way, which is all that is done again
    reports = []
    profile = profile_live(replace(work_in(folder), progress=lambda *now: reports.append(now)))
    after = runs_of(folder)
    assert [run["note"] for run in after[: len(before)]] == [run["note"] for run in before]
    assert len(after) == 5
    assert reports[0][1:3] == (len(before), 5)
    assert reports[-1][1:3] == (5, 5)
    assert left_behind(lab) == ([], [])

    of = {tuple(row): rps for row, rps in zip(profile.colocations.tolist(), profile.rps, strict=True)}
    light_beside_heavy, heavy_beside_light = of[1, 1]
    # they share a core; each was run once, on a machine that may be busy, so all three together must show it
    assert (light_beside_heavy * heavy_beside_light * of[0, 2][1]) ** (1 / 3) < 0.95
    assert of[1, 0][0] == of[0, 1][1] == 1.0
    assert (profile.requests[profile.present] > 0).all()
    assert (profile.p99[profile.present] >= profile.p50[profile.present]).all()

    provenance = profile.provenance
    assert set(provenance["alone_rps"]) == set(APPS)
    assert provenance["alone_rps"]["Light"] > provenance["alone_rps"]["Heavy"] > 3
    assert {host["name"] for host in provenance["hosts"]} == {host.name for host in lab.hosts}
    assert all(host["cores"] >= 1 and host["engine"] for host in provenance["hosts"])
    assert provenance["images"]["Light"]["id"].startswith("sha256:")
    assert provenance["load"]["duration"] == 3
    assert provenance["overhead_seconds"] > 0
    rows = pd.read_csv(folder / "output" / "runs.csv")
    assert len(rows) == 5
    assert rows["worker"].eq("worker-1").all()
    np.testing.assert_allclose(
        rows.loc[rows["Heavy"] == 2, "rps Heavy"],
        rows.loc[rows["Heavy"] == 2, "raw rps Heavy"] / provenance["alone_rps"]["Heavy"],
        rtol=0.5,
    )


def test_a_finished_profile_is_continued_without_measuring_it_again(lab, folder):
    first = work_in(folder, choose="given", colocations=[[1, 0]])
    known = profile_live(first)
    known.save(folder / "known.npz")
    more = work_in(folder, choose="given", colocations=[[2, 0]], onto=str(folder / "known.npz"))
    profile = profile_live(replace(more, scratch=folder / "scratch-2"))
    assert profile.colocations.tolist() == [[1, 0], [2, 0]]
    assert profile.p99[0, 0] == known.p99[0, 0]
    assert profile.provenance["onto"] == "known.npz"


def measure(folder, counts, **options):
    """Co-locations measured on the testbed of a folder, kept in its scratch."""
    settings = work_in(folder).settings
    (folder / "scratch").mkdir(exist_ok=True)
    inputs = {name: folder / name for name in ("setup", "build")}
    with live_testbed(settings, inputs, folder / "scratch" / "alone.json") as testbed:
        path = folder / "scratch" / "profile.npz"
        patience = settings.explore.patience
        return measure_list(testbed, np.array(counts), path=path, patience=patience, **options)


def test_a_taken_port_refuses_a_profile_before_anything_is_started(lab, folder, lab_fleet):
    worker = lab.host("worker-1")
    pid = lab_fleet.run(worker, "nohup python3 -m http.server 8082 >/dev/null 2>&1 & echo $!").strip()
    try:
        with pytest.raises(
            SurroundingsError, match=rf"worker-1: port 8082.*python3 \(process {pid}\)"
        ) as error:
            measure(folder, [[1, 0]])
    finally:
        lab_fleet.run(worker, f"kill {pid}")
    assert "launch.first_port; nothing was started" in str(error.value)
    assert left_behind(lab) == ([], [])
    assert not (folder / "scratch" / "profile.npz").exists()


def test_a_locust_killed_in_mid_load_costs_one_run(lab, folder):
    def strike(fleet, seen):
        fleet.run(lab.clients[0], f"docker kill {' '.join(seen)}", check=False)

    when_loaded(strike, lab)
    journal = measure(folder, [[1, 0]])
    assert [run["sound"] for run in journal.runs] == [False, True]
    assert "without results" in journal.runs[0]["why"]
    assert left_behind(lab) == ([], [])


def test_a_worker_killed_in_mid_load_is_replaced(lab, lab_name, engine, folder, restored):
    when_loaded(lambda *_: containers(engine, lab_name)["worker-1"].kill(), lab)
    journal = measure(folder, [[1, 0], [2, 0]])
    assert all(run["sound"] for run in journal.runs)
    assert {run["note"]["worker"] for run in journal.runs} == {"worker-2"}


def test_a_client_killed_in_mid_load_stops_it_and_the_next_try_completes(
    lab, lab_state, lab_name, engine, prepared, folder, restored
):
    when_loaded(lambda *_: containers(engine, lab_name)["client-1"].kill(), lab, nth=2)
    with pytest.raises(SurroundingsError, match=r"client-1.*kept: 1 measurement "):
        measure(folder, [[1, 0], [2, 0]])
    kept = runs_of(folder)
    assert len(kept) == 1
    revive(lab, lab_state, lab_name, prepared)
    journal = measure(folder, [[1, 0], [2, 0]])
    assert [run["note"] for run in journal.runs[:1]] == [run["note"] for run in kept]
    assert len(load_profile(folder / "scratch" / "profile.npz")) == 2
    assert left_behind(lab) == ([], [])


def test_images_that_hold_no_load_are_named(prepared, folder):
    images = [one for one in read_images(prepared / "build" / "images.json") if one.app != "load"]
    (folder / "build").unlink()
    (folder / "build").mkdir()
    write_images(folder / "build" / "images.json", images)
    with pytest.raises(InputError, match="run the stage build"):
        measure(folder, [[1, 0]])
