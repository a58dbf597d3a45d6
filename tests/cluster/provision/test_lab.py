"""What a lab is made of, as far as it can be told without an engine."""

import multiprocessing
import os
import shutil
import socket
import stat
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.provision.lab import lab as labs
from cluster.provision.lab.compose import compose_command, write_document
from cluster.provision.lab.image import SOURCES, local_engine
from cluster.provision.lab.keys import login_key
from cluster.provision.lab.layout import HERE, REGISTRY, addresses, cpusets, document, node_names, role
from cluster.provision.lab.lock import LOCK, locked
from flows.command.main import main
from metis.errors import InputError, SurroundingsError

ROOT = Path(__file__).resolve().parents[3]
LAB = ("manager", "worker-1", "worker-2", "client-1", "registry")


def composed(path, folder, *words):
    """What Compose makes of a file."""
    try:
        command = compose_command()
    except SurroundingsError as error:
        pytest.skip(str(error))
    ended = subprocess.run(
        [*command, "-f", str(path), *words, "config"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=folder,
    )
    assert ended.returncode == 0, ended.stderr
    return yaml.safe_load(ended.stdout)


def test_the_compose_file_of_the_project_is_what_the_command_starts():
    kept = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    made = document(2, 2, parts="cluster/provision/lab/node.yml", profiles=["lab"])
    assert {name: kept["services"][name] for name in LAB} == made["services"]
    assert {name: kept["volumes"][name] for name in LAB} == made["volumes"]
    assert kept["networks"]["lab"] == made["networks"]["lab"]


def test_compose_takes_the_file_of_the_project():
    services = composed(ROOT / "docker-compose.yml", ROOT, "--profile", "lab")["services"]
    for name in LAB:
        assert not services[name].get("privileged")
        assert services[name]["init"] is True
    assert "SYS_ADMIN" in services["worker-1"]["cap_add"]
    assert services["worker-1"]["cpuset"] == "0"
    assert services["client-1"]["cpuset"] == "1"


def test_compose_takes_what_the_command_writes(tmp_path):
    ports = dict(zip(LAB, range(20_001, 20_006), strict=True))
    path = tmp_path / "a folder $HOME" / "compose.json"
    labels = {"metis.lab.state": "/a/$HOME/${x}"}
    environment = {"METIS_LAB_KEY": "a b"}
    made = document(2, 2, ports=ports, subnet="172.30.0.0/16", labels=labels, environment=environment)
    write_document(path, made)
    read = composed(path, tmp_path)
    assert set(read["services"]) == set(LAB)
    worker = read["services"]["worker-1"]
    assert worker["environment"] == environment
    assert "MAC_ADMIN" in worker["cap_add"]
    # Compose prints its input back, dollars doubled
    assert worker["labels"]["metis.lab.state"].replace("$$", "$") == "/a/$HOME/${x}"
    assert worker["networks"]["lab"]["ipv4_address"] == "172.30.0.11"
    assert "20002" in str(worker["ports"])


@given(workers=st.integers(1, 40), cores=st.integers(1, 64))
def test_the_client_shares_its_core_with_no_worker(workers, cores):
    pinned = cpusets(workers, cores)
    assert set(pinned) == {name for name in node_names(workers) if role(name) != "manager"}
    assert all(0 <= int(core) < cores for core in pinned.values())
    used = [pinned[name] for name in pinned if role(name) == "worker"]
    assert cores == 1 or pinned["client-1"] not in used
    # as many cores as there are for them, each for as many workers as any other
    counts = [used.count(core) for core in set(used)]
    assert len(counts) == min(workers, max(cores - 1, 1))
    assert max(counts) - min(counts) <= 1


@given(workers=st.integers(1, 20))
def test_every_service_has_its_own_volume_and_port_on_loopback(workers):
    made = document(workers, 2)
    services = made["services"]
    assert len(services) == workers + 3
    assert set(made["volumes"]) == set(services)
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert [volume.split(":")[0] for volume in service["volumes"]] == [name]


@given(workers=st.integers(1, 200))
def test_another_number_of_workers_changes_no_address(workers):
    subnet = ip_network("192.168.16.0/20")
    fixed = addresses(workers, str(subnet))
    assert set(fixed) == {*node_names(workers), REGISTRY}
    assert len(set(fixed.values())) == len(fixed)
    assert all(ip_address(one) in subnet for one in fixed.values())
    assert str(subnet[1]) not in fixed.values()
    assert fixed.items() <= addresses(workers + 1, str(subnet)).items()


def test_what_is_copied_into_the_image_decides_its_tag():
    lines = (HERE / "Dockerfile").read_text().splitlines()
    copied = [source for line in lines if line.startswith("COPY") for source in line.split()[1:-1]]
    assert {"Dockerfile", *copied} == set(SOURCES)


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path):
    path, public = login_key(tmp_path / "state")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert login_key(tmp_path / "state") == (path, public)
    kind, body = public.split()
    assert kind == "ssh-ed25519"
    if shutil.which("ssh-keygen"):
        told = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(path)], capture_output=True, text=True, timeout=20, check=True
        )
        assert told.stdout.split()[:2] == [kind, body]


def test_half_a_key_is_replaced(tmp_path):
    path, public = login_key(tmp_path)
    path.write_text(path.read_text()[:100])
    assert login_key(tmp_path)[1] != public
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def _hold(state, ready):
    with locked(state, 5):
        ready.set()
        multiprocessing.Event().wait(30)


def test_a_lock_is_let_go_when_its_holder_is_killed(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, ready))
    holder.start()
    try:
        assert ready.wait(20)
        with pytest.raises(SurroundingsError, match="another start or stop"), locked(tmp_path, 0.3):
            pass
    finally:
        holder.kill()
        holder.join(10)
    with locked(tmp_path, 5):
        assert (tmp_path / LOCK).exists()


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(tmp_path):
    with locked(tmp_path, 5):
        (tmp_path / LOCK).unlink()
        with locked(tmp_path, 1) as descriptor:
            assert os.fstat(descriptor).st_ino == (tmp_path / LOCK).stat().st_ino


def test_a_port_that_is_taken_is_not_drawn(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(labs, "PORTS", range(port, port + 1))
        with pytest.raises(SurroundingsError, match="is free"):
            labs._free_port(())
    assert labs._free_port(()) == port


@pytest.mark.parametrize("word", ["up", "down", "status"])
def test_without_an_engine_one_line_says_how_to_get_one(word, monkeypatch, capfd, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'no.sock'}")
    code = main(["lab", word, f"tracking.path={tmp_path / 'mlruns'}"])
    told = capfd.readouterr().err
    assert code == 1
    assert told.count("\n") == 1
    assert "no Docker engine responds" in told
    assert "make lab-deps" in told
    assert not (tmp_path / "mlruns").exists()
    with pytest.raises(SurroundingsError):
        local_engine()


@pytest.mark.parametrize("words", [[], ["upp"], ["up", "cluster=local"], ["down", "cluster.name=Nö"]])
def test_wrong_words_are_one_line(words, capfd):
    assert main(["lab", *words]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("metis: ")
    assert err.count("\n") == 1


def test_no_worker_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"cluster\.workers 0"):
        labs.up(tmp_path, "none", 0)
    assert list(tmp_path.iterdir()) == []
