"""A lab comes up, is left alone by a second start, listens on loopback only, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Inventory
from cluster.provision.lab import lab as labs
from cluster.provision.lab.nodes import containers, leftovers
from cluster.settings import ConnectSettings
from cluster.swarm import membership as swarm
from metis.errors import InputError

READY_BAR = 30.0  # seconds, on a machine that does nothing else
STARTED_WITHIN = 60.0


def metis(*words):
    """`metis WORDS` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "flows.command.main", *words],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


@pytest.fixture(scope="module")
def words(engine, tmp_path_factory):
    """Overrides for a lab of this module's own, and its name; whatever a test left is removed."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    tracking = tmp_path_factory.mktemp("own") / "mlruns [1]=$x"  # any path will do
    state = tracking / "cluster" / name
    yield [f"cluster.name={name}", f"tracking.path={tracking}"], name, state
    labs.down(state, name)


@pytest.fixture(scope="module")
def started(words):
    """The document of `metis lab up`, the seconds it would take on a machine of its own, and its folder."""
    overrides, name, state = words
    others = max(os.getloadavg()[0] / os.cpu_count(), 1.0)  # who share each core with us
    begun = time.monotonic()
    ended = metis("lab", "up", "output=json", *overrides)
    seconds = (time.monotonic() - begun) / others
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["name"] == name
    return document, seconds, state


def test_four_nodes_are_ready_in_time(started, words):
    document, seconds, _ = started
    assert seconds <= READY_BAR
    ended = metis("lab", "status", "output=json", *words[0])
    status = json.loads(ended.stdout)
    assert status["up"]
    nodes = {row["node"]: row for row in status["nodes"]}
    assert list(nodes) == ["manager", "worker-1", "worker-2", "client-1", "registry"]
    assert [nodes[name]["swarm"] for name in nodes] == ["Ready"] * 4 + [""]
    assert Inventory.load(Path(document["inventory"])).facts["worker-1"]["hostname"] == "worker-1"


def test_a_second_start_changes_nothing(engine, started, words):
    _, name, state = words
    before = {service: one.id for service, one in containers(engine, name).items()}
    files = {path.name: path.read_bytes() for path in state.iterdir()}
    ended = metis("lab", "up", *words[0])
    assert ended.returncode == 0, ended.stderr
    assert "joined" not in ended.stderr
    assert {service: one.id for service, one in containers(engine, name).items()} == before
    assert {path.name: path.read_bytes() for path in state.iterdir()} == files


def test_nothing_listens_beyond_loopback(engine, started, words):
    found = containers(engine, words[1])
    assert len(found) == 5
    for container in found.values():
        bound = [
            entry for entries in container.attrs["NetworkSettings"]["Ports"].values() for entry in entries
        ]
        assert [entry["HostIp"] for entry in bound] == ["127.0.0.1"]


def test_workers_and_client_are_kept_apart(engine, started, words):
    found = containers(engine, words[1])
    cores = engine.info()["NCPU"]
    pinned = {name: found[name].attrs["HostConfig"]["CpusetCpus"] for name in found}
    assert pinned["client-1"] == str(cores - 1)
    assert cores == 1 or pinned["client-1"] not in (pinned["worker-1"], pinned["worker-2"])
    assert pinned["manager"] == ""
    inside = found["worker-1"].exec_run(["nproc"]).output
    assert inside.strip() == b"1"


def test_only_the_public_key_is_in_the_nodes(engine, started, words):
    _, _, state = started
    assert (state / "id_ed25519").stat().st_mode & 0o777 == 0o600
    secret = (state / "id_ed25519").read_text().splitlines()[2]
    for container in containers(engine, words[1]).values():
        assert secret not in json.dumps(container.attrs)
    assert secret not in (state / "compose.json").read_text()


def test_another_folder_cannot_take_the_name(started, words, tmp_path):
    _, name, state = words
    with pytest.raises(InputError, match="runs already, started from") as caught:
        labs.up(tmp_path, name)
    assert str(state) in str(caught.value)


def test_a_killed_node_comes_back_where_it_was(engine, started, words):
    document, _, state = started
    before = Inventory.load(Path(document["inventory"]))
    worker = containers(engine, words[1])["worker-2"]
    worker.kill()
    after = labs.up(state, words[1])
    assert after.host("worker-2") == before.host("worker-2")
    with Fleet(after, ConnectSettings()) as fleet:
        swarm.prepare(fleet)
        states = {
            node["Description"]["Hostname"]: node["Status"]["State"] for node in swarm.state(fleet).values()
        }
    assert states == dict.fromkeys(("manager", "worker-1", "worker-2", "client-1"), "ready")


def test_all_killed_at_once_are_the_same_swarm_again(engine, started, words):
    """As after a restart of the machine: addresses and members are what they were."""
    _, name, state = words
    before = Inventory.load(state / labs.INVENTORY)
    for container in containers(engine, name).values():
        container.kill()
    after = labs.up(state, name)
    assert after.hosts == before.hosts
    changes = []
    with Fleet(after, ConnectSettings()) as fleet:
        swarm.prepare(fleet, changes.append)
    assert changes == []
    assert [row["swarm"] for row in labs.status(name)] == ["Ready"] * 4 + [""]


def test_one_more_worker_joins_those_that_run(engine, started, words):
    _, name, state = words
    before = {service: one.id for service, one in containers(engine, name).items()}
    inventory = labs.up(state, name, workers=3)
    assert [host.name for host in inventory.workers] == ["worker-1", "worker-2", "worker-3"]
    now = {service: one.id for service, one in containers(engine, name).items()}
    assert {service: now[service] for service in before} == before
    assert len(labs.up(state, name, workers=2).workers) == 2
    assert "worker-3" not in containers(engine, name)


def test_a_lost_key_is_replaced(started, words):
    _, name, state = words
    (state / "id_ed25519").unlink()
    inventory = labs.up(state, name)
    with Fleet(inventory, ConnectSettings()) as fleet:
        assert fleet.run(inventory.manager, "hostname").strip() == "manager"


def test_the_client_reaches_a_node_by_its_inner_address(started):
    inventory = Inventory.load(started[2] / labs.INVENTORY)
    worker = inventory.workers[0]
    with Fleet(inventory, ConnectSettings()) as fleet:
        ask = f"timeout 5 bash -c 'exec 3<>/dev/tcp/{worker.seen_as}/22; head -c 4 <&3'"
        assert fleet.run(inventory.clients[0], ask) == "SSH-"


def test_down_leaves_nothing(engine, started, words):
    overrides, name, state = words
    mounts = [mount for one in containers(engine, name).values() for mount in one.attrs["Mounts"]]
    assert {mount["Type"] for mount in mounts} == {"volume"}
    ended = metis("lab", "down", "output=json", *overrides)
    assert ended.returncode == 0, ended.stderr
    removed = json.loads(ended.stdout)["removed"]
    kinds = [thing.split()[0] for thing in removed]
    # the volume of worker-3 is there as well
    assert [kinds.count(kind) for kind in ("container", "network", "volume", "file")] == [5, 1, 6, 4]
    assert leftovers(engine, name) == []
    assert not state.exists()
    assert {mount["Name"] for mount in mounts}.isdisjoint(one.name for one in engine.volumes.list())
    again = metis("lab", "down", "output=json", *overrides)
    assert json.loads(again.stdout)["removed"] == []
    assert not state.exists()


@pytest.mark.parametrize("moment", ["first container", "last container"])
def test_down_cleans_up_after_a_start_that_was_killed(engine, tmp_path, moment):
    name = f"test-{uuid.uuid4().hex[:8]}"
    state = tmp_path / "cluster" / name
    overrides = [f"cluster.name={name}", f"tracking.path={tmp_path}"]
    start = subprocess.Popen(
        [sys.executable, "-m", "flows.command.main", "lab", "up", *overrides], stderr=subprocess.PIPE
    )
    try:
        wanted = 1 if moment == "first container" else 5
        deadline = time.monotonic() + STARTED_WITHIN
        while len(containers(engine, name)) < wanted:
            assert start.poll() is None, start.stderr.read().decode()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(start.pid, signal.SIGKILL)
        assert start.wait(10) == -signal.SIGKILL
    finally:
        start.kill()
        start.wait(10)
        removed = labs.down(state, name)
    assert any(thing.startswith("container") for thing in removed)
    # Compose was still at work when its parent was killed: nothing may come after `down` either
    time.sleep(2)
    assert leftovers(engine, name) == []
    assert not state.exists()
