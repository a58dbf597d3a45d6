"""A watch on a real Swarm distinguishes a slow node, a changed application, and a busy core of all nodes."""

import json
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
QUOTA, SLOWED = 0.15, 0.04  # of a core: small, so that a busy machine can give it too
LOOKS = 3  # at most for each plant: what else runs on this machine may disturb one
# outweighs the containers beside it: they get a fraction of their quota, with nodes on one core or on several
HOG = "docker run -d --rm --cpu-shares 18000 --entrypoint python3 {image} -c 'while True: pass'"


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
            f"launch.cpus={QUOTA}",
            "launch.memory_mb=128",
            "load.duration=8",
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
    """Within the block these applications on these nodes get about a quarter of their processor time."""
    for node, app in places:
        quota(backend, node, app, SLOWED)
    try:
        yield
    finally:
        for node, app in places:
            quota(backend, node, app, QUOTA)


@contextmanager
def hogs(backend):
    """Within the block a container that is not ours keeps each node busy, on one core or on several."""
    workers = backend.inventory.workers
    started = []
    try:
        for worker in workers:
            image = backend.fleet.engine(worker).containers.list()[0].image.id
            started.append((worker, backend.fleet.run(worker, HOG.format(image=image)).strip()))
        yield
    finally:
        for worker, hog in started:
            backend.fleet.run(worker, f"docker rm -f {hog}")


def test_what_is_planted_is_found(watched, backend, capfd):
    known, metis = watched
    known([1.0, 1.0])
    plan = "group.counts={Light:2,Heavy:2}"
    rows = metis(capfd, "deploy", plan, "scheduler=spread")["containers"]
    known([np.mean([row["rps"] for row in rows if row["app"] == app]) / ALONE[app] for app in APPS])

    def look(bad_nodes, changed, *, slow):
        """The first of a few looks that finds what is planted, or what the last one found."""
        for _ in range(LOOKS):
            (row,) = metis(capfd, "watch", "watch.noise=0.1")["looks"]
            assert not row["proposed"], row
            found = (set(row["bad_nodes"]), set(row["changed"]), row["everything"] is not None)
            if found == (bad_nodes, changed, slow):
                break
        return found

    assert look(set(), set(), slow=False) == (set(), set(), False)
    with slowed(backend, [("worker-1", app) for app in APPS]):
        assert look({"worker-1"}, set(), slow=False) == ({"worker-1"}, set(), False)
    with slowed(backend, [(node, app) for node in ("worker-1", "worker-2") for app in APPS]):
        assert look(set(), set(), slow=True) == (set(), set(), True)
    with hogs(backend):  # how slow it becomes is this machine's: only that no plan is proposed is asserted
        (row,) = metis(capfd, "watch", "watch.noise=0.1")["looks"]
        assert not row["proposed"], row
    with slowed(backend, [(node, "Heavy") for node in ("worker-1", "worker-2")]):
        assert look(set(), {"Heavy"}, slow=False) == (set(), {"Heavy"}, False)
