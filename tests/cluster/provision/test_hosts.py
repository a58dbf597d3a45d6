"""Fleet against a real SSH server on loopback."""

import io
import threading
import time
from dataclasses import replace

import paramiko
import pytest

from cluster.provision.connection import LostError, UnreachableError, shown_key
from cluster.provision.engine import engine_errors
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Host, Inventory
from cluster.provision.trust import HostKeyError, fingerprint, key_line, trust
from cluster.settings import ConnectSettings
from metis.errors import InputError, SurroundingsError
from tests.cluster.provision.ssh_server import SshServer, save_key

QUICK = ConnectSettings(connect_timeout=3, command_timeout=20, retries=2, pause=0.05)


@pytest.fixture(scope="module")
def login():
    return paramiko.ECDSAKey.generate()


@pytest.fixture
def server(login):
    with SshServer(login) as running:
        yield running


@pytest.fixture
def inventory(server, login, tmp_path):
    """Three hosts, all of them the one server; its key is trusted."""
    key = str(save_key(login, tmp_path / "key"))
    roles = {"manager": "manager", "worker-1": "worker", "worker-2": "worker"}
    hosts = tuple(Host(name, role, "127.0.0.1", server.port, key=key) for name, role in roles.items())
    known_hosts = tmp_path / "known_hosts"
    trust(known_hosts, hosts[0], [key_line(server.key)])
    return Inventory("hosts", "test", hosts, str(known_hosts))


@pytest.fixture
def fleet(inventory):
    with Fleet(inventory, QUICK) as made:
        yield made


def test_a_command_answers_its_output(fleet):
    assert fleet.run(fleet.inventory.manager, "echo one; echo two") == "one\ntwo\n"


def test_one_connection_serves_many_commands(fleet, server):
    for _ in range(3):
        fleet.run(fleet.inventory.manager, "true")
    assert server.accepted == 1


def test_a_failure_names_host_command_and_reason(fleet):
    with pytest.raises(SurroundingsError) as told_:
        fleet.run(fleet.inventory.manager, "ls /nowhere/at/all with more words than are told")
    message = str(told_.value)
    assert message.startswith("manager: `ls /nowhere/at/all with`: ls: cannot access")
    assert "\n" not in message


def test_an_unchecked_failure_is_none(fleet):
    assert fleet.run(fleet.inventory.manager, "echo so far; false", check=False) == "so far\n"


def test_large_input_and_output_pass_at_once(fleet):
    text = "0123456789" * 300_000
    assert fleet.run(fleet.inventory.manager, "cat", stdin=text) == text


def test_input_that_is_not_read_does_no_harm(fleet):
    assert fleet.run(fleet.inventory.manager, "echo done", stdin="x" * 5_000_000) == "done\n"


def test_a_secret_given_as_input_is_in_no_error(fleet):
    with pytest.raises(SurroundingsError) as told_:
        fleet.run(fleet.inventory.manager, "read -r key; echo refused $key >&2; exit 3", stdin="hush-hush\n")
    assert "hush-hush" not in str(told_.value)
    assert "refused ***" in str(told_.value)


def test_a_slow_command_is_ended_there_too(fleet, tmp_path):
    with pytest.raises(LostError, match=r"manager: `sleep 30;`: not done after 1 s|not done after 1 s"):
        fleet.run(fleet.inventory.manager, f"sleep 30; touch {tmp_path}/late", timeout=1)
    assert "sleep 30" not in fleet.run(fleet.inventory.manager, "ps -eo args | grep '[s]leep 30' || true")


def test_a_command_may_end_with_the_code_of_a_killed_one(fleet):
    with pytest.raises(SurroundingsError, match=r"exit code 137"):
        fleet.run(fleet.inventory.manager, "exit 137")


def test_only_what_may_be_is_tried_again(fleet, tmp_path):
    count = tmp_path / "count"
    command = f"echo >> {count}; test $(wc -l < {count}) -ge 3"
    with pytest.raises(SurroundingsError):
        fleet.run(fleet.inventory.manager, command)
    fleet.run(fleet.inventory.manager, command, again=True)
    assert count.read_text().count("\n") == 3


def test_each_further_try_is_reported_with_its_reason_and_without_what_was_given(inventory):
    said = []
    with Fleet(inventory, QUICK, said.append) as fleet, pytest.raises(SurroundingsError):
        fleet.run(inventory.hosts[0], "cat >&2; exit 3", again=True, stdin="a secret")
    assert len(said) == QUICK.retries
    assert said[0].endswith(f"*** (exit code 3); try 2 of {QUICK.retries + 1} in {QUICK.pause:g} s")


def test_retries_end(fleet, tmp_path):
    count = tmp_path / "count"
    with pytest.raises(SurroundingsError):
        fleet.run(fleet.inventory.manager, f"echo >> {count}; false", again=True)
    assert count.read_text().count("\n") == 1 + QUICK.retries


def test_connecting_is_tried_again(fleet, server):
    server.hang_up = 2
    assert fleet.run(fleet.inventory.manager, "echo in") == "in\n"
    assert server.accepted == 3


def test_a_host_that_hangs_up_each_time_is_given_up(fleet, server):
    server.hang_up = 100
    with pytest.raises(UnreachableError, match=r"manager: root@\[127.0.0.1\]:\d+ does not respond"):
        fleet.run(fleet.inventory.manager, "true", again=True)
    assert server.accepted == 1 + QUICK.retries  # not the square of it


def test_a_server_with_enough_sessions_is_asked_again(fleet, server):
    fleet.run(fleet.inventory.manager, "true")
    server.refuse = 2
    assert fleet.run(fleet.inventory.manager, "echo in") == "in\n"
    server.refuse = 100
    with pytest.raises(LostError, match="opens no further session"):
        fleet.run(fleet.inventory.manager, "true")
    assert server.accepted == 1  # the sessions of others are not cut off


def test_a_lost_connection_is_made_anew(fleet, server):
    fleet.run(fleet.inventory.manager, "true")
    server.cut()
    assert fleet.run(fleet.inventory.manager, "echo back") == "back\n"


def test_a_connection_lost_midway_is_an_error_unless_it_may_be_done_again(fleet, server, tmp_path):
    def cut_once_running() -> None:
        deadline = time.monotonic() + 10
        while not list(tmp_path.glob("ran*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        server.cut()

    command = f"test -f {tmp_path}/ran && echo again && exit 0; touch {tmp_path}/ran; sleep 5"
    cutter = threading.Thread(target=cut_once_running)
    cutter.start()
    with pytest.raises(LostError, match="the connection was lost"):
        fleet.run(fleet.inventory.manager, command)
    cutter.join()
    (tmp_path / "ran").unlink()
    cutter = threading.Thread(target=cut_once_running)
    cutter.start()
    assert fleet.run(fleet.inventory.manager, command, again=True) == "again\n"
    cutter.join()


def test_a_host_that_says_nothing_is_given_up(inventory):
    with _silent() as port:
        silent = replace(inventory.hosts[0], port=port)
        settings = replace(QUICK, connect_timeout=0.5, retries=0)
        fleet = Fleet(replace(inventory, hosts=(silent, *inventory.hosts[1:])), settings)
        with pytest.raises(UnreachableError, match=r"manager: .* does not respond"):
            fleet.run(silent, "true")


def _silent():
    import contextlib
    import socket

    @contextlib.contextmanager
    def listening():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            yield listener.getsockname()[1]

    return listening()


def test_an_unknown_host_key_is_refused_with_its_fingerprint(inventory, server, tmp_path):
    unknown = replace(inventory, known_hosts=str(tmp_path / "none"))
    with Fleet(unknown, QUICK) as fleet, pytest.raises(HostKeyError) as told_:
        fleet.run(unknown.manager, "true", again=True)
    message = str(told_.value)
    assert "unknown" in message
    assert fingerprint(server.key) in message
    assert "metis cluster accept" in message
    assert "\n" not in message
    assert server.accepted == 1  # not tried again
    assert not (tmp_path / "none").exists()  # never trusted silently


def test_a_changed_host_key_is_refused_with_both_fingerprints(fleet, server):
    before, server.key = server.key, paramiko.ECDSAKey.generate()
    with pytest.raises(HostKeyError, match="has changed") as told_:
        fleet.run(fleet.inventory.manager, "true")
    assert fingerprint(before) in str(told_.value)
    assert fingerprint(server.key) in str(told_.value)


def test_a_key_of_another_kind_is_a_changed_one(fleet, server):
    server.key = paramiko.RSAKey.generate(2048)
    with pytest.raises(HostKeyError, match="has changed"):
        fleet.run(fleet.inventory.manager, "true")


def test_accepting_trusts_what_was_shown_and_nothing_else(inventory, server):
    known_hosts, manager = paramiko_path(inventory), inventory.manager
    assert shown_key(manager, inventory, QUICK).state == "trusted"
    server.key = paramiko.ECDSAKey.generate()
    shown = shown_key(manager, inventory, QUICK)
    assert (shown.state, shown.fingerprint) == ("changed", fingerprint(server.key))
    elsewhere = replace(manager, address="10.9.9.9", port=22)
    trust(known_hosts, elsewhere, [key_line(server.login)])
    trust(known_hosts, manager, [key_line(shown.key)])
    with Fleet(inventory, QUICK) as fleet:
        fleet.run(manager, "true")
    assert f"10.9.9.9 {key_line(server.login)}" in known_hosts.read_text()


def paramiko_path(inventory):
    from pathlib import Path

    return Path(inventory.known_hosts)


def test_a_login_that_is_refused_is_told_at_once(inventory, server, tmp_path):
    wrong = str(save_key(paramiko.ECDSAKey.generate(), tmp_path / "wrong"))
    manager = replace(inventory.manager, key=wrong)
    fleet = Fleet(replace(inventory, hosts=(manager, *inventory.hosts[1:])), QUICK)
    with pytest.raises(InputError, match="was refused; set user and key"):
        fleet.run(manager, "true", again=True)
    assert server.accepted == 1


def test_a_missing_private_key_is_named(inventory):
    manager = replace(inventory.manager, key="/nowhere/id")
    fleet = Fleet(replace(inventory, hosts=(manager, *inventory.hosts[1:])), QUICK)
    with pytest.raises(InputError, match="/nowhere/id: there is no such private key"):
        fleet.run(manager, "true")


def test_a_private_key_that_is_none_is_named_but_not_shown(inventory, login, tmp_path):
    (tmp_path / "odd").write_text("-----BEGIN hush-hush")
    login.write_private_key_file(str(tmp_path / "locked"), password="hush-hush")
    for name, reason in {"odd": "is no private key", "locked": "has a passphrase"}.items():
        manager = replace(inventory.manager, key=str(tmp_path / name))
        fleet = Fleet(replace(inventory, hosts=(manager, *inventory.hosts[1:])), QUICK)
        with pytest.raises(InputError, match=reason) as told_:
            fleet.run(manager, "true")
        assert "hush" not in str(told_.value)


def test_hosts_work_at_once(fleet):
    hosts = fleet.inventory.hosts
    together = threading.Barrier(len(hosts), timeout=30)

    def do(host):
        together.wait()  # passes only while all three are here
        return fleet.run(host, f"echo {host.name}")

    assert fleet.each(hosts, do) == {host.name: f"{host.name}\n" for host in hosts}


def test_outcomes_hold_those_of_all_hosts_failures_too(fleet):
    found = fleet.outcomes(
        fleet.inventory.hosts,
        lambda host: fleet.run(host, "exit 1" if host.name == "worker-1" else "echo in"),
    )
    assert found.succeeded == {"manager": "in\n", "worker-2": "in\n"}
    assert list(found.failed) == ["worker-1"]
    assert isinstance(found.failed["worker-1"], SurroundingsError)
    assert not fleet.outcomes([], lambda host: None)


def test_the_first_failure_is_raised_once_all_have_ended(fleet, tmp_path):
    def do(host):
        return fleet.run(host, "exit 1" if host.role == "worker" else f"sleep 1; touch {tmp_path}/ended")

    with pytest.raises(SurroundingsError, match=r"worker-1: .*and 1 more of 3 hosts failed"):
        fleet.each(fleet.inventory.hosts, do)
    assert (tmp_path / "ended").exists()


def test_a_file_is_put_whole(fleet, tmp_path):
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 4000)
    fleet.put(fleet.inventory.manager, source, f"{tmp_path}/a folder/there")
    assert (tmp_path / "a folder" / "there").read_bytes() == source.read_bytes()
    assert [path.name for path in (tmp_path / "a folder").iterdir()] == ["there"]


def test_a_stream_feeds_a_command(fleet):
    assert fleet.stream(fleet.inventory.manager, "wc -c", io.BytesIO(b"x" * 1_000_000)).strip() == "1000000"


def test_an_engine_that_is_not_there_is_told_in_one_line(fleet, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    with pytest.raises(SurroundingsError, match="manager: connecting to its Docker engine: ") as told_:
        fleet.engine(fleet.inventory.manager)
    assert "\n" not in str(told_.value)


def test_an_engine_is_asked_through_ssh(fleet, server):
    docker = pytest.importorskip("docker")
    try:
        docker.DockerClient(base_url="unix:///var/run/docker.sock", timeout=5).ping()
    except docker.errors.DockerException:
        pytest.skip("no Docker engine responds on this machine")
    engine = fleet.engine(fleet.inventory.manager)
    assert engine.version()["ApiVersion"]
    assert fleet.engine(fleet.inventory.manager) is engine
    server.cut()  # an idle connection is lost between two questions
    assert engine.ping()
    with (
        pytest.raises(SurroundingsError, match=r"manager: looking: .*[Nn]o such"),
        engine_errors(fleet.inventory.manager, "looking"),
    ):
        engine.containers.get("no-such-container-of-ours")
