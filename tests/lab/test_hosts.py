"""Hosts over SSH in a real Swarm: prepared twice, joined again, left; a bare machine; EC2 before them."""

import json
import time
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from cluster.provision.ec2 import instances as ec2
from cluster.provision.ec2.reachable import wait_reachable
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Inventory
from cluster.provision.lab import lab as labs
from cluster.provision.lab.layout import project
from cluster.provision.trust import HostKeyError, entry_name, trust
from cluster.settings import ConnectSettings, Ec2Settings
from cluster.swarm import membership as swarm
from cluster.swarm.departure import leave
from flows.command.main import main
from metis.errors import InputError

QUICK = ConnectSettings(retries=1, pause=0.5)
BARE = """
set -e
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends sudo
apt-get purge -y -q docker.io containerd runc
useradd -m -s /bin/bash admin
echo 'admin ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/admin
install -d -m 700 -o admin /home/admin/.ssh
printf '%s\\n' "$METIS_LAB_KEY" > /home/admin/.ssh/authorized_keys
METIS_LAB_KEY=
sed 's/^exec dockerd.*/touch \\/ready; exec sleep infinity/' /metis/entry.sh > /entry.sh
exec bash /entry.sh
"""


@pytest.fixture(scope="module")
def own(engine, tmp_path_factory):
    """A lab of this module's own, whose Swarm may be broken: its state folder and its name."""
    state, name = tmp_path_factory.mktemp("own") / "state", f"test-{uuid.uuid4().hex[:8]}"
    try:
        labs.up(state, name, 2)
        yield state, name
    finally:
        labs.down(state, name)


@pytest.fixture
def inventory(own):
    """The hosts of that lab, in no Swarm."""
    inventory = labs.up(*own, 2)
    with Fleet(inventory, QUICK) as fleet:
        fleet.each(inventory.hosts, lambda host: fleet.run(host, "docker swarm leave --force", check=False))
    return inventory


@pytest.fixture
def fleet(inventory):
    with Fleet(inventory, QUICK) as made:
        yield made


def nodes(fleet):
    """Labels of the nodes that are Ready, by hostname."""
    found = swarm.state(fleet).values()
    return {
        node["Description"]["Hostname"]: node["Spec"].get("Labels") or {}
        for node in found
        if node["Status"]["State"] == "ready"
    }


def test_prepared_twice_changes_nothing_the_second_time(fleet, inventory, own):
    first, second = [], []
    prepared = swarm.prepare(fleet, first.append)
    assert "manager: Swarm started" in first
    assert "worker-1: joined the Swarm" in first
    assert swarm.prepare(fleet, second.append) == prepared
    assert second == []
    assert {name: facts["hostname"] for name, facts in prepared.facts.items()} == {
        host.name: host.name for host in inventory.hosts
    }
    assert all(facts["cores"] >= 1 and facts["memory"] > 1 << 28 for facts in prepared.facts.values())
    labels = nodes(fleet)
    assert set(labels) == {host.name for host in inventory.hosts}
    for host in inventory.hosts:
        assert labels[host.name]["metis.cluster"] == own[1]
        assert labels[host.name]["metis.role"] == host.role


def test_a_worker_killed_and_made_anew_joins_again(fleet, inventory, own, engine):
    swarm.prepare(fleet)
    (killed,) = [
        one
        for one in engine.containers.list(filters={"label": f"com.docker.compose.project={project(own[1])}"})
        if one.labels["com.docker.compose.service"] == "worker-2"
    ]
    volumes = [mount["Name"] for mount in killed.attrs["Mounts"] if mount["Type"] == "volume"]
    killed.remove(force=True)
    for volume in volumes:
        engine.volumes.get(volume).remove()
    again = labs.up(*own, 2)  # a new machine of that name: new host key, nothing in its engine
    with Fleet(again, QUICK) as anew:
        said = []
        swarm.prepare(anew, said.append)
        assert said == [
            "worker-2: joined the Swarm",
            "worker-2: former node of that name removed from the Swarm",
            "worker-2: node labelled",
        ]
        hostnames = [node["Description"]["Hostname"] for node in swarm.state(anew).values()]
        assert sorted(hostnames) == sorted(host.name for host in again.hosts)
        said.clear()
        swarm.prepare(anew, said.append)
        assert said == []


def test_two_hosts_of_one_name_are_refused(inventory):
    twin = replace(inventory.host("worker-1"), name="worker-3")
    with (
        Fleet(replace(inventory, hosts=(*inventory.hosts, twin)), QUICK) as fleet,
        pytest.raises(InputError, match="hosts worker-1 and worker-3 both have the hostname 'worker-1'"),
    ):
        swarm.prepare(fleet)


def test_a_node_of_another_swarm_is_refused_and_left_alone(fleet, inventory):
    worker = inventory.host("worker-2")
    fleet.run(worker, "docker swarm init")
    before = swarm.membership(fleet, worker)["NodeID"]
    with pytest.raises(InputError, match="worker-2: is a node of another Swarm"):
        swarm.prepare(fleet)
    assert swarm.membership(fleet, worker)["NodeID"] == before


def test_a_stopped_manager_makes_a_swarm_anew_and_its_workers_follow(fleet, inventory):
    swarm.prepare(fleet)
    fleet.run(inventory.manager, "docker swarm leave --force")
    said = []
    swarm.prepare(fleet, said.append)
    assert "manager: Swarm started" in said
    assert "worker-1: joined the Swarm" in said
    assert set(nodes(fleet)) == {host.name for host in inventory.hosts}


def test_leaving_ends_services_and_swarm_and_twice_does_nothing(fleet, inventory, own):
    swarm.prepare(fleet)
    manager = fleet.engine(inventory.manager)
    mine = {"metis.cluster": own[1]}
    network = manager.networks.create("metis", driver="overlay", labels=mine)
    manager.services.create("no-such-image:1", name="one", labels=mine, networks=[network.id])
    said = []
    leave(fleet, said.append)
    assert "manager: 1 service removed" in said
    assert "manager: network metis removed" in said
    assert said.count("manager: left the Swarm") == 1
    states = fleet.each(inventory.hosts, lambda host: swarm.membership(fleet, host)["LocalNodeState"])
    assert set(states.values()) == {"inactive"}
    said.clear()
    leave(fleet, said.append)
    assert said == []


def test_a_swarm_that_was_there_before_stays(inventory):
    with Fleet(replace(inventory, kind="hosts"), QUICK) as fleet:
        manager, worker = inventory.manager, inventory.host("worker-1")
        fleet.run(manager, "docker swarm init")
        token = fleet.run(manager, "docker swarm join-token -q worker").strip()
        address = swarm.membership(fleet, manager)["NodeAddr"]
        fleet.run(
            worker, f'read -r token; docker swarm join --token "$token" {address}:2377', stdin=f"{token}\n"
        )
        fleet.engine(manager).services.create("no-such-image:1", name="theirs")
        said = []
        swarm.prepare(fleet, said.append)
        assert "worker-1: joined the Swarm" not in said
        assert "worker-2: joined the Swarm" in said
        leave(fleet)
        assert nodes(fleet) == {"manager": {}, "worker-1": {}}
        assert len(swarm.state(fleet)) == 2
        assert [one.name for one in fleet.engine(manager).services.list()] == ["theirs"]
        assert swarm.membership(fleet, inventory.host("worker-2"))["LocalNodeState"] == "inactive"


def test_leaving_goes_on_past_a_host_that_is_gone(inventory):
    with Fleet(inventory, QUICK) as fleet:
        swarm.prepare(fleet)
    gone = replace(inventory.host("worker-2"), port=9)
    hosts = tuple(gone if host.name == gone.name else host for host in inventory.hosts)
    with Fleet(replace(inventory, hosts=hosts), replace(QUICK, retries=0)) as fleet:
        said = []
        leave(fleet, said.append)
        assert any(line.startswith("worker-2: ") and "does not respond" in line for line in said)
        assert "manager: left the Swarm" in said


def test_neither_join_token_nor_key_is_ever_shown(inventory, own, capfd, caplog):
    caplog.set_level("DEBUG", logger="cluster")
    caplog.set_level("INFO")
    said = []
    with Fleet(inventory, QUICK) as fleet:
        prepared = swarm.prepare(fleet, said.append)
        fleet.engine(inventory.manager).swarm.reload()
        tokens = fleet.engine(inventory.manager).swarm.attrs["JoinTokens"].values()
        key = Path(inventory.manager.key).read_text().splitlines()[1]
        processes = fleet.run(inventory.host("worker-1"), "ps -eo args; cat /root/.bash_history || true")
        leave(fleet, said.append)
    prepared.save(own[0] / "inventory.json")
    written = [path.read_text() for path in own[0].iterdir() if path.name != Path(inventory.manager.key).name]
    everything = "\n".join([*capfd.readouterr(), caplog.text, processes, *said, *written])
    for secret in (*tokens, key):
        assert secret not in everything


def test_a_refused_token_is_not_told(fleet, inventory, monkeypatch):
    fleet.run(inventory.manager, "docker swarm init")
    broken = "SWMTKN-1-" + "0" * 50 + "-" + "a" * 25
    model = type(fleet.engine(inventory.manager).swarm)
    monkeypatch.setattr(model, "reload", lambda self: self.attrs.update(JoinTokens={"Worker": broken}))
    with pytest.raises(Exception, match="joining the Swarm at") as raised:
        swarm.prepare(fleet)
    assert broken not in str(raised.value)


def test_the_whole_of_a_cluster_of_hosts_by_its_commands(inventory, tmp_path, capfd):
    hosts = [
        {"name": host.name, "role": host.role, "address": host.address, "port": host.port, "key": "id"}
        for host in inventory.hosts
    ]
    (tmp_path / "id").write_bytes(Path(inventory.manager.key).read_bytes())
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": hosts}))
    words = [
        "cluster=hosts",
        f"cluster.inventory={tmp_path}/hosts.yaml",
        f"tracking.path={tmp_path}/mlruns",
        "tracking.orchestrate=false",
        "apps.names=[Redis]",
        "cluster.slots=2",
        "launch.memory_mb=64",
        "connect.retries=1",
        "output=json",
    ]
    assert main(["run", "stages=[setup]", *words]) == 1
    assert "metis cluster accept" in capfd.readouterr().err
    assert main(["cluster", "accept", *words]) == 2  # no terminal to confirm at
    shown = json.loads(capfd.readouterr().out)
    assert {row["state"] for row in shown["hosts"]} == {"unknown"}
    assert not (tmp_path / "mlruns/cluster/metis/known_hosts").exists()
    assert main(["cluster", "accept", "yes", *words]) == 0
    assert main(["cluster", "accept", *words]) == 0  # nothing left to ask
    assert main(["cluster", "status", *words]) == 1
    capfd.readouterr()
    assert main(["run", "stages=[setup]", *words]) == 0
    assert Inventory.load(tmp_path / "mlruns/cluster/metis/inventory.json").facts["worker-1"]["cores"] == 1
    assert main(["cluster", "status", *words]) == 0
    with Fleet(inventory, QUICK) as fleet:
        fleet.engine(inventory.manager).swarm.reload()
        tokens = fleet.engine(inventory.manager).swarm.attrs["JoinTokens"].values()
    written = b"".join(path.read_bytes() for path in (tmp_path / "mlruns").rglob("*") if path.is_file())
    said = "".join(capfd.readouterr()).encode()
    for secret in (*tokens, (tmp_path / "id").read_text().splitlines()[1]):
        assert secret.encode() not in written + said
    capfd.readouterr()
    assert main(["cluster", "down", *words]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["would_change"][-1] == "manager leaves the Swarm, which ends with it"
    trusting = f"cluster.state={tmp_path}/mlruns/cluster/metis"
    assert main(["run", "stages=[setup]", *words, "cluster.name=other", trusting]) == 2
    assert "belongs to the cluster 'metis'" in capfd.readouterr().err
    assert main(["cluster", "status", *words]) == 0  # neither changed anything
    assert main(["cluster", "down", "yes", *words]) == 0
    assert main(["cluster", "status", *words]) == 1
    capfd.readouterr()
    assert main(["run", "stages=[setup]", *words, "launch.memory_mb=999999"]) == 2
    assert "lower one of them" in capfd.readouterr().err


def test_a_bare_machine_gets_an_engine_and_joins(engine, inventory, own, tmp_path):
    """A Debian without an engine, and a user who is not root: what an instance on EC2 is at first."""
    import docker

    node = next(
        one
        for one in engine.containers.list(filters={"label": f"com.docker.compose.project={project(own[1])}"})
        if one.labels["com.docker.compose.service"] == "worker-1"
    )
    network = next(iter(node.attrs["NetworkSettings"]["Networks"]))
    key = next(line for line in node.attrs["Config"]["Env"] if line.startswith("METIS_LAB_KEY="))
    bare = engine.containers.run(
        node.attrs["Config"]["Image"],
        ["bash", "-c", BARE],
        detach=True,
        init=True,
        hostname="bare",
        network=network,
        environment=[key],
        labels={"com.docker.compose.project": project(own[1])},
        cap_add=node.attrs["HostConfig"]["CapAdd"],
        security_opt=node.attrs["HostConfig"]["SecurityOpt"],
        mounts=[docker.types.Mount("/var/lib/docker", None, type="volume")],
    )
    try:
        for _ in range(240):
            bare.reload()
            if bare.status == "exited":
                pytest.skip("a container here reaches no package mirror: nothing can be installed in it")
            if bare.exec_run("test -e /ready").exit_code == 0:
                break
            time.sleep(0.5)
        address = bare.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        host = replace(
            inventory.host("worker-2"), name="bare", address=address, port=22, inner=None, user="admin"
        )
        line = bare.exec_run("cat /etc/ssh/ssh_host_ed25519_key.pub").output.decode()
        trust(Path(inventory.known_hosts), host, [" ".join(line.split()[:2])])
        wanted = replace(inventory, hosts=(inventory.manager, host))
        with Fleet(wanted, QUICK) as fleet:
            said = []
            facts = swarm.prepare(fleet, said.append).facts["bare"]
            assert "bare: Docker engine installed" in said
            assert "bare: Docker engine started" in said
            assert facts["engine"]
            assert set(nodes(fleet)) == {"manager", "bare"}
            said.clear()
            swarm.prepare(fleet, said.append)
            assert said == []
            leave(fleet)
    finally:
        bare.remove(force=True, v=True)


@pytest.fixture
def account(monkeypatch, tmp_path):
    """Endpoint of a moto server on loopback, with credentials for it."""
    from moto.server import ThreadedMotoServer

    images = tmp_path / "images.json"
    images.write_text("[]")
    monkeypatch.setenv("MOTO_AMIS_PATH", str(images))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-must-not-be-read")
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


def test_ec2_with_these_hosts_behind_its_addresses(inventory, account, tmp_path):
    aws = ec2.client("us-east-1", account)
    made = aws.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1)["Instances"][0]
    image = aws.create_image(InstanceId=made["InstanceId"], Name="ours")["ImageId"]
    settings = Ec2Settings(image=image, from_address="127.0.0.1/32", endpoint=account, wait=1)

    def locate(instance, host):
        behind = inventory.host(host.name)
        return replace(behind, role=host.role)

    state = tmp_path / "ec2"
    launched = ec2.launch(state, "behind", 2, settings, locate=locate)
    assert launched.kind == "ec2"
    wait_reachable(launched, 5)
    with Fleet(launched, QUICK) as fleet, pytest.raises(HostKeyError, match="metis cluster accept"):
        swarm.prepare(fleet)  # moto's console prints no host keys, and nothing is trusted unseen
    known = Path(inventory.known_hosts).read_text().splitlines()
    for host in launched.hosts:
        lines = [line.split(" ", 1)[1] for line in known if line.split(" ")[0] == entry_name(host)]
        trust(Path(launched.known_hosts), host, lines)
    with Fleet(launched, QUICK) as fleet:
        said = []
        swarm.prepare(fleet, said.append)
        assert set(nodes(fleet)) == {host.name for host in launched.hosts}
        assert nodes(fleet)["worker-1"]["metis.cluster"] == "behind"
        assert ec2.launch(state, "behind", 2, settings, said.append, locate) == launched
        leave(fleet)
    ec2.terminate(state, "behind", settings)
    assert ec2.instances(aws, "behind") == []
    left = [one for each in aws.describe_instances()["Reservations"] for one in each["Instances"]]
    assert {one["InstanceId"]: one["State"]["Name"] for one in left}[made["InstanceId"]] == "running"
