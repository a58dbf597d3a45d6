"""A watch on a real Swarm distinguishes a slow node, a changed application, and a busy core of all nodes."""

import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from cluster.swarm.backend import SwarmBackend
from flows.command.main import main
from metis.measure.profile import make_profile
from metis.problem.space import ColocationSpace

APPS = ("Light", "Heavy")
WORKLOADS = Path(__file__).parent / "workloads"
SPACE = ColocationSpace(APPS, 2)
ALONE = {"Light": 200.0, "Heavy": 40.0}
HOGS = "for i in 1 2 3 4 5 6; do nohup python3 -c 'while True: pass' >/dev/null 2>&1 & echo $!; done"


@pytest.fixture(scope="module")
def backend(lab_fleet):
    return SwarmBackend(lab_fleet, (), ())


@pytest.fixture(scope="module")
def watched(tmp_path_factory, lab, lab_name, lab_state):
    """Both applications on both nodes, known by how fast they are here; return a look at them."""
    folder = tmp_path_factory.mktemp("diagnosis")
    words = [
        *("cluster=lab", f"cluster.name={lab_name}", f"cluster.state={lab_state}", "cluster.slots=2"),
        *(f"apps.names=[{','.join(APPS)}]", f"++apps.workloads=['{WORKLOADS}']", "deploy.session=diagnosis"),
        *(
            "launch.cpus=0.3",
            "launch.memory_mb=128",
            "load.duration=5",
            "load.most_taken=1",
            "load.warm_up=1",
        ),
        *("profile=file", f"profile.path={folder / 'profile.npz'}", "simulator=table", "output=json"),
        *(f"tracking.path={folder / 'mlruns'}", "tracking.orchestrate=false"),
    ]

    def known(shared):
        counts = SPACE.counts[1:]
        rps = np.where(counts > 0, 1.0, np.nan)
        rps[(counts == 1).all(axis=1)] = shared
        source = {"source": "test", "alone_rps": ALONE}
        make_profile(APPS, 2, counts, {"rps": rps}, source).save(folder / "profile.npz")

    def metis(capfd, verb, *more):
        capfd.readouterr()
        code = main([verb, *words, *more])
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out)

    yield known, metis
    main(["undeploy", *words])


def quota(backend, node, app, share):
    """Give the containers of an application on a node another share of a core."""
    host = next(one for one in backend.inventory.workers if one.name == node)
    for one in backend.fleet.engine(host).containers.list():
        if f"METIS_APP={app}" in one.attrs["Config"]["Env"]:
            backend.fleet.run(host, f"docker update --cpus {share} {one.id}")


@contextmanager
def slowed(backend, places):
    """Within the block these applications on these nodes get a third of their processor time."""
    for node, app in places:
        quota(backend, node, app, 0.1)
    try:
        yield
    finally:
        for node, app in places:
            quota(backend, node, app, 0.3)


@contextmanager
def hogs(backend):
    """Within the block processes that are not ours keep the core busy that both nodes share."""
    worker = backend.inventory.workers[0]
    pids = backend.fleet.run(worker, HOGS).split()
    try:
        time.sleep(1)
        yield
    finally:
        backend.fleet.run(worker, f"kill {' '.join(pids)}")


def test_what_is_planted_is_found(watched, backend, capfd):
    known, metis = watched
    known([1.0, 1.0])
    plan = "group.counts={Light:2,Heavy:2}"
    rows = metis(capfd, "deploy", plan, "scheduler=spread")["containers"]
    known([np.mean([row["rps"] for row in rows if row["app"] == app]) / ALONE[app] for app in APPS])

    def look():
        (row,) = metis(capfd, "watch", "watch.noise=0.1")["looks"]
        return row

    sound = look()
    assert (sound["bad_nodes"], sound["changed"], sound["everything"]) == ({}, {}, None)
    with slowed(backend, [("worker-1", app) for app in APPS]):
        row = look()
    assert set(row["bad_nodes"]) == {"worker-1"}, row
    assert (row["changed"], row["everything"], row["proposed"]) == ({}, None, False)
    with hogs(backend):
        row = look()
    assert row["everything"] < 0.8, row
    assert (row["bad_nodes"], row["proposed"]) == ({}, False)
    with slowed(backend, [(node, "Heavy") for node in ("worker-1", "worker-2")]):
        row = look()
    assert set(row["changed"]) == {"Heavy"}, row
    assert row["bad_nodes"] == {}
