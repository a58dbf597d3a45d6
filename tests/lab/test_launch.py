"""Images and co-locations on a real Swarm: built once, the same everywhere, launched, killed, swept."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from cluster.images.build import build, find, write_images
from cluster.images.catalog import load_catalog
from cluster.images.distribution import distribute
from cluster.provision.hosts import Fleet
from cluster.settings import BuildSettings, LaunchSettings
from cluster.swarm.backend import SwarmBackend
from metis.errors import SurroundingsError

WORKLOADS = Path(__file__).resolve().parent / "workloads"
BUILD = BuildSettings(base_image="metis-base:bookworm", network="host", scale=0.01)
LAUNCH = LaunchSettings(cpus=1.0, memory_mb=192, cache_mb=16, first_port=18081, ready_timeout=60)
NAMES = ("Store", "Tiny", "Greedy")


@pytest.fixture(scope="module")
def workloads():
    """Two small servers, one playing the Redis of the other, and one that wants too much memory."""
    return load_catalog([WORKLOADS], NAMES)


@pytest.fixture(scope="module")
def images(lab_fleet, workloads):
    """Their images on every worker."""
    return distribute(lab_fleet, build(workloads, BUILD, load=False), BUILD)


@pytest.fixture
def backend(lab_fleet, workloads, images):
    """A backend that leaves nothing behind."""
    backend = SwarmBackend(lab_fleet, workloads, images, LAUNCH)
    yield backend
    backend.stop(backend.standing())
    backend.sweep()


def ask(fleet, container, path="/"):
    """The response of a container to the client host; None where there is none."""
    code = (
        "import sys, urllib.request as web\n"
        "try: print(web.urlopen(sys.argv[1], timeout=10).read().decode())\n"
        "except OSError: print('null')"
    )
    client = fleet.inventory.clients[0]
    return json.loads(fleet.run(client, f'python3 -c "{code}" {container.origin}{path}', timeout=30))


def containers_on(fleet, node, state=None):
    """Ids of the containers of measurements or deployments on a node."""
    filters = {"label": ["metis.slot"]} | ({"status": state} if state else {})
    return [
        one["Id"]
        for one in fleet.engine(fleet.inventory.host(node)).api.containers(all=True, filters=filters)
    ]


def until(holds, seconds=30.0):
    """Wait until it holds; whether it did in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def test_a_second_build_and_distribution_do_nothing(lab_fleet, workloads, images):
    reports = []
    again = distribute(
        lab_fleet, build(workloads, BUILD, load=False, report=reports.append), BUILD, report=reports.append
    )
    assert reports == []
    assert again == images
    for worker in lab_fleet.inventory.workers:
        for image in images:
            assert find(lab_fleet.engine(worker), image.tag)["Id"] == image.id


def test_without_a_registry_images_go_over_ssh(lab, engine, tmp_path):
    shutil.copytree(WORKLOADS / "tiny", tmp_path / "other")
    (tmp_path / "other" / "note").write_text(str(time.time()))
    with (tmp_path / "other" / "Dockerfile").open("a") as file:
        file.write("COPY note /note\n")
    (tmp_path / "other.yaml").write_text("name: Other\nfolder: other\ndescribe: Another.\n")
    images = build(load_catalog([tmp_path], ["Other"]), BUILD, load=False)
    reports = []
    try:
        with Fleet(replace(lab, registry=None, push=None)) as fleet:
            known = distribute(fleet, images, BUILD, report=reports.append)
            assert len(reports) == len(lab.workers)
            ids = {find(fleet.engine(worker), known[0].tag)["Id"] for worker in lab.workers}
            assert ids == {images[0].id}
            assert distribute(fleet, images, BUILD, report=reports.append) == known
            assert len(reports) == len(lab.workers)
    finally:
        engine.images.remove(images[0].tag)


def test_a_build_that_fails_names_application_and_last_line(tmp_path, engine):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "Dockerfile").write_text(
        "ARG BASE_IMAGE\nFROM ${BASE_IMAGE} AS fetch\nARG TOKEN\nRUN echo cannot use $TOKEN && exit 3\n"
        "FROM ${BASE_IMAGE}\n"
    )
    (tmp_path / "bad.yaml").write_text("name: Bad\nfolder: bad\ndescribe: Bad.\n")
    settings = replace(BUILD, arguments={"TOKEN": "very-secret"})
    with pytest.raises(
        SurroundingsError, match=r"Bad: .*`RUN echo .*`: cannot use \*\*\*.*code: 3"
    ) as raised:
        build(load_catalog([tmp_path], ["Bad"]), settings, load=False)
    assert "very-secret" not in str(raised.value)


def test_a_colocation_responds_and_leaves_nothing(backend, lab_fleet):
    backend.ensure_support()
    assert backend.ensure_support() == []
    with backend.running({"worker-1": [1, 1, 0], "worker-2": [0, 1, 0]}, "h4pair") as containers:
        assert [one.app for one in containers] == ["Store", "Tiny", "Tiny"]
        assert ask(lab_fleet, containers[1])["METIS_REDIS"] == "tasks.metis-h4pair-worker-1-0:6379"
        assert "METIS_REDIS" not in ask(lab_fleet, containers[2])
        assert backend.troubles("h4pair") == []
        assert backend.standing("h4pair") == containers
    assert backend.standing() == []
    for node in ("worker-1", "worker-2"):
        assert containers_on(lab_fleet, node, "running") == []
        assert until(lambda node=node: containers_on(lab_fleet, node) == [])


def test_it_is_removed_when_what_is_done_with_it_fails(backend):
    with pytest.raises(ZeroDivisionError), backend.running({"worker-1": [0, 1, 0]}, "h4fail"):
        raise ZeroDivisionError
    assert backend.standing() == []


def test_a_memory_limit_passed_is_named(backend, lab_fleet):
    with pytest.raises(
        SurroundingsError, match=r"Greedy on worker-1 \(slot 1\): passed its memory limit of 192 MB"
    ):
        backend.launch({"worker-1": [0, 1, 1]}, "h4greedy")
    assert backend.standing() == []
    with backend.running({"worker-1": [0, 1, 0]}, "h4eat") as containers:
        for _ in range(4):
            ask(lab_fleet, containers[0], "/eat")
        assert until(lambda: backend.troubles("h4eat") != [])
        assert backend.troubles("h4eat") == [
            "Tiny on worker-1 (slot 0): passed its memory limit of 192 MB (exit 137)"
        ]


def test_a_measured_container_that_dies_is_reported(backend, lab_fleet):
    with backend.running({"worker-1": [1, 1, 0]}, "h4die") as containers:
        ask(lab_fleet, containers[0], "/die")
        assert until(lambda: backend.troubles("h4die") != [])
        assert backend.troubles("h4die") == ["Store on worker-1 (slot 0): task: non-zero exit (3)"]


def test_a_missing_image_is_named(lab_fleet, workloads, images):
    gone = tuple(replace(one, id=f"sha256:{'0' * 64}") for one in images)
    backend = SwarmBackend(lab_fleet, workloads, gone, LAUNCH)
    with pytest.raises(SurroundingsError, match=r"worker-2 has no image metis/tiny:\w+; run the stage build"):
        backend.launch({"worker-2": [1, 0, 0]}, "h4gone")
    assert backend.standing() == []


def test_a_node_without_room_is_named(lab_fleet, workloads, images):
    backend = SwarmBackend(lab_fleet, workloads, images, replace(LAUNCH, ready_timeout=2.0))
    lost = replace(lab_fleet.inventory, facts={"worker-1": {"hostname": "nowhere"}})
    with Fleet(lost) as fleet:
        nowhere = SwarmBackend(fleet, workloads, images, replace(LAUNCH, ready_timeout=2.0))
        with pytest.raises(SurroundingsError, match=r"not ready after .*Tiny on worker-1 .*no suitable node"):
            nowhere.launch({"worker-1": [0, 1, 0]}, "h4nowhere")
    assert backend.standing() == []


def test_a_killed_container_of_a_deployment_answers_again_and_sweep_leaves_it(backend, lab_fleet):
    (one,) = backend.launch({"worker-1": [0, 1, 0]}, "h4stay", "deployed")
    assert backend.sweep() == []
    with pytest.raises(SurroundingsError, match=r"worker-1: port 18081 is held by metis-h4stay-worker-1-0"):
        backend.launch({"worker-1": [1, 0, 0]}, "h4other")
    (running,) = containers_on(lab_fleet, "worker-1", "running")
    lab_fleet.engine(lab_fleet.inventory.host("worker-1")).api.kill(running)
    assert until(lambda: ask(lab_fleet, one) is not None)
    assert containers_on(lab_fleet, "worker-1", "running") != [running]
    assert backend.troubles("h4stay") == ["Tiny on worker-1 (slot 0): was killed (exit 137)"]
    backend.stop(backend.standing("h4stay"))
    assert backend.standing() == []
    assert containers_on(lab_fleet, "worker-1", "running") == []


KILLED = """
import json, sys, time
from pathlib import Path
from cluster.images.catalog import load_catalog
from cluster.provision.hosts import Fleet
from cluster.images.build import read_images
from cluster.provision.inventory import Inventory
from cluster.swarm.backend import SwarmBackend
from cluster.settings import LaunchSettings
folder, workloads, names, settings = Path(sys.argv[1]), Path(sys.argv[2]), *map(json.loads, sys.argv[3:5])
with Fleet(Inventory.load(folder / "inventory.json")) as fleet:
    known = load_catalog([workloads], names)
    backend = SwarmBackend(fleet, known, read_images(folder / "images.json"), LaunchSettings(**settings))
    with backend.running({"worker-1": [1, 1, 0], "worker-2": [0, 2, 0]}, "h4killed"):
        print("up", flush=True)
        time.sleep(120)
"""


@pytest.mark.parametrize("midway", [False, True], ids=["while loaded", "while launching"])
def test_what_a_killed_run_left_is_swept(lab, lab_fleet, backend, images, tmp_path, midway):
    lab.save(tmp_path / "inventory.json")
    write_images(tmp_path / "images.json", images)
    given = [str(tmp_path), str(WORKLOADS), json.dumps(NAMES), json.dumps(asdict(LAUNCH))]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, *given], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        if midway:
            assert until(lambda: backend.standing("h4killed") != [], 60)
        else:
            assert process.stdout.readline() == "up\n"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
    assert backend.standing("h4killed") != []
    assert set(backend.sweep()) >= {"metis-h4killed-worker-1-0"} or midway
    # what the process asked for just before its end may come to be after a first sweep
    assert backend.standing() == [] or (midway and until(lambda: backend.sweep() == [] == backend.standing()))
    for node in ("worker-1", "worker-2"):
        assert until(lambda node=node: containers_on(lab_fleet, node) == [])
    with backend.running({"worker-1": [1, 1, 0]}, "h4next") as containers:
        assert ask(lab_fleet, containers[0]) is not None
