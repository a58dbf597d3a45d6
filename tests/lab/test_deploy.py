"""Deploying on a real Swarm: what changes and what stays, a container killed, a failure midway, the end."""

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cluster.deployment import placement_of
from cluster.swarm.backend import SwarmBackend
from cluster.swarm.services import owned_labels
from cluster.swarm.tasks import tasks_of
from flows.command.main import main
from metis.measure.profile import make_profile
from metis.problem.space import ColocationSpace
from tests.waiting import wait_until

APPS = ("Store", "Light", "Heavy")
WORKLOADS = Path(__file__).parent / "workloads"
SPACE = ColocationSpace(APPS, 2)
NODES = ("worker-1", "worker-2")
ALONE = {"Store": 300.0, "Light": 200.0, "Heavy": 40.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("deploy")


@pytest.fixture(scope="module")
def words(folder, lab, lab_name, lab_state):
    """What every command here is given: the lab, three small applications, and a profile of them."""
    counts = SPACE.counts[1:]
    shared = np.where(counts > 0, np.where(counts.sum(axis=1, keepdims=True) > 1, 0.6, 1.0), np.nan)
    profile = make_profile(APPS, 2, counts, {"rps": shared}, {"source": "test", "alone_rps": ALONE})
    profile.save(folder / "profile.npz")
    return [
        "cluster=lab",
        f"cluster.name={lab_name}",
        f"cluster.state={lab_state}",
        f"cluster.slots={SPACE.slots}",
        f"apps.names=[{','.join(APPS)}]",
        f"++apps.workloads=['{WORKLOADS}']",
        "launch.cpus=0.5",
        "launch.memory_mb=128",
        "load.duration=2",
        "load.most_taken=1",
        "load.warm_up=1",
        "profile=file",
        f"profile.path={folder / 'profile.npz'}",
        "simulator=table",
        f"tracking.path={folder / 'mlruns'}",
        "tracking.orchestrate=false",
    ]


@pytest.fixture
def metis(words, capfd):
    """Run a verb on the lab; return the exit code, its JSON document if any, and standard error."""

    def run(verb, *more):
        capfd.readouterr()
        code = main([verb, *words, "output=json", *more])
        out, err = capfd.readouterr()
        return code, json.loads(out) if out else None, err

    return run


@pytest.fixture(scope="module")
def backend(lab_fleet):
    return SwarmBackend(lab_fleet, (), ())


def image_of(backend):
    """The id of an image that every node has."""
    labels = owned_labels(backend.inventory.name, "deployed")
    engine = backend.fleet.engine(backend.inventory.manager)
    (one, *_) = engine.api.services(filters={"label": [f"{k}={v}" for k, v in labels.items()]})
    return one["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]


def plan_file(folder, rows):
    path = folder / f"{abs(hash(str(rows)))}.csv"
    frame = pd.DataFrame(rows, columns=list(APPS))
    frame.insert(0, "node", NODES)
    frame.to_csv(path, index=False)
    return f"placement={path}"


def stands(backend):
    return placement_of(backend.standing("deploy"), NODES, APPS).tolist()


def containers(backend):
    """The engine's id of the running container of every service."""
    tasks = tasks_of(backend.fleet, owned_labels(backend.inventory.name, "deployed"))
    return {task.service: task.container for task in tasks if task.state == "running" and task.wanted}


FIRST = [[1, 1, 0], [0, 0, 1]]
SECOND = [[1, 0, 1], [0, 0, 1]]


def test_a_dry_run_shows_and_changes_nothing(metis, folder, backend):
    code, document, err = metis("deploy", plan_file(folder, FIRST), "--dry-run")
    assert code == 0, err
    assert [(row["node"], row["start"]) for row in document["plan"]] == [
        ("worker-1", "1 Store + 1 Light"),
        ("worker-2", "1 Heavy"),
    ]
    assert backend.standing() == []


def test_a_placement_is_deployed_and_measured(metis, folder, backend):
    code, document, err = metis("deploy", plan_file(folder, FIRST))
    assert code == 0, err
    assert stands(backend) == FIRST
    assert [(row["node"], row["app"]) for row in document["containers"]] == [
        ("worker-1", "Store"),
        ("worker-1", "Light"),
        ("worker-2", "Heavy"),
    ]
    for row in document["containers"]:
        assert row["rps"] > 0
        assert row["measured"] == pytest.approx(row["rps"] / ALONE[row["app"]])
    assert [row["predicted"] for row in document["containers"]] == [0.6, 0.6, 1.0]
    assert document["summary"]["predicted_rps"] == pytest.approx(2.2 / 3)
    run = folder / "mlruns" / "artifacts" / document["run"] / "artifacts"
    assert (run / "deployed.svg").read_text().startswith("<?xml")
    assert pd.read_csv(run / "containers.csv")["app"].tolist() == ["Store", "Light", "Heavy"]


def test_another_placement_touches_only_what_must_change(metis, folder, backend):
    before = containers(backend)
    code, document, err = metis("deploy", plan_file(folder, SECOND), "deploy.measure=false")
    assert code == 0, err
    assert document["plan"] == [
        {"node": "worker-1", "keep": "1 Store", "stop": "1 Light", "start": "1 Heavy", "again": ""}
    ]
    assert stands(backend) == SECOND
    after = containers(backend)
    kept = ("metis-deploy-worker-1-0", "metis-deploy-worker-2-0")
    assert all(after[name] == before[name] for name in kept)
    assert after["metis-deploy-worker-1-1"] != before["metis-deploy-worker-1-1"]


def test_a_killed_container_comes_back_and_changes_no_plan(metis, folder, backend, lab):
    name = "metis-deploy-worker-2-0"
    killed = containers(backend)[name]
    backend.fleet.run(lab.host("worker-2"), f"docker kill {killed}")
    until = time.monotonic() + 60
    while containers(backend).get(name) in (None, killed) and time.monotonic() < until:
        time.sleep(0.5)
    assert containers(backend)[name] != killed
    code, document, err = metis("deploy", plan_file(folder, SECOND), "--dry-run")
    assert code == 0, err
    assert document["plan"] == []


def test_a_look_measures_what_is_deployed_and_moves_nothing(metis, backend):
    before = containers(backend)
    code, document, err = metis("watch", "watch.remeasure=0")
    assert code == 0, err
    (row,) = document["looks"]
    assert row["colocations"] == 2
    assert row["silent"] == {}
    if document["proposed"]:
        assert document["command"].startswith("metis deploy cluster=lab")
        assert document["command"].endswith(f"placement={document['run']}")
    assert containers(backend) == before


def test_what_stands_in_the_way_changes_nothing_and_the_same_command_goes_on(metis, folder, backend, lab):
    """A process of others holds a port, a service of others takes a slot, and one node is paused."""
    third, worker = [[1, 1, 0], [0, 1, 1]], lab.host("worker-2")
    holder = "nohup python3 -m http.server 8082 >/dev/null 2>&1 & echo $!"
    pid = backend.fleet.run(worker, holder).strip()
    try:
        code, _, err = metis("deploy", plan_file(folder, third), "deploy.measure=false")
        assert code == 1
        assert f"port 8082, of Light in slot 1, is held by python3 (process {pid})" in err
        assert "launch.first_port" in err
        assert err.splitlines()[-1].startswith("metis deploy cluster=lab")
        assert stands(backend) == SECOND
        with backend.exclusive("a test", pytest.fail, 0.0):
            code, _, err = metis("deploy", plan_file(folder, third), "connect.lock_wait=0")
        assert code == 1
        assert "in use by " in err
        assert "(a test, process " in err
    finally:
        backend.fleet.run(worker, f"kill {pid}")
    theirs = backend.fleet.engine(lab.manager).services.create(
        image_of(backend),
        ["sleep", "600"],  # whatever the application of that image would need
        name="theirs",
        constraints=["node.hostname==worker-2"],
    )
    try:
        wait_until(lambda: backend.occupancy()["worker-2"].tenants, "the service of others runs")
        code, document, err = metis("deploy", plan_file(folder, third), "--dry-run")
        assert code == 1
        assert document["against"] == [
            "worker-2: is to hold 2 containers, and others (theirs) take 1 of its 2 slots"
        ]
        code, document, err = metis("place", "group.counts={Light:3}", "scheduler=greedy")
        assert code == 0, err
        assert document["placement"] == {"worker-1": {"Light": 2}, "worker-2": {"Light": 1}}
        assert "others run theirs (no limits)" in document["occupied"][0]
    finally:
        theirs.remove()
    wait_until(lambda: not backend.occupancy()["worker-2"].tenants, "the service of others is gone")
    backend.fleet.run(lab.manager, "docker node update --availability pause worker-1")
    try:
        code, document, err = metis("place", "group.counts={Light:2}", "scheduler=greedy")
        assert document["placement"] == {"worker-1": {}, "worker-2": {"Light": 2}}
    finally:
        backend.fleet.run(lab.manager, "docker node update --availability active worker-1")
    code, _, err = metis("deploy", plan_file(folder, third), "deploy.measure=false")
    assert code == 0, err
    assert stands(backend) == third


def test_undeploying_leaves_nothing(metis, backend, lab):
    code, document, err = metis("undeploy")
    assert code == 0, err
    assert len(document["removed"]) == 4
    assert backend.standing() == []
    for worker in lab.workers:
        assert backend.fleet.run(worker, "docker ps -q").strip() == ""
    networks = backend.fleet.run(lab.manager, "docker network ls --format '{{.Name}}'").split()
    assert "metis" not in networks
    code, document, err = metis("undeploy")  # again: nothing to do
    assert (code, document["removed"]) == (0, [])
