"""Hosts as people reach them with `ssh`, against OpenSSH's own server and client configuration."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cluster.provision.connection import UnreachableError, shown_key
from cluster.provision.hosts import Fleet
from cluster.provision.trust import HostKeyError, trust
from metis.errors import InputError
from tests.cluster.provision.ssh.homes import QUICK, REAL, at, configure, inventory, said
from tests.cluster.provision.sshd import keygen, make_key, running

ME = getpass.getuser()
pytestmark = REAL
LINE = "printf '%s\\n' 'a b' \"$((1 + 2))\" '!!' '\\n'; echo $(uname -s)\ntrue"
PRINTED = "a b\n3\n!!\n\\n\nLinux\n"


def test_an_alias_of_the_configuration_says_address_port_user_and_key(home, server):
    known = configure(
        home,
        f"Include config.d/*\nHost box\n  HostName 127.0.0.1\n  Port {server.port}\n"
        "  IdentityFile ~/lo%%gin\n  IdentityFile HOME/login\n",
    )
    known.write_text(f"{at(server)} {server.line}\n")
    made = inventory(home, {"address": "box"})
    manager = made.manager
    assert (manager.address, manager.port, manager.user, manager.alias) == (
        "127.0.0.1",
        server.port,
        "root",
        "box",
    )
    assert manager.seen_as == "127.0.0.1"
    assert said(made) == "in\n"
    assert not (home / "trusted").exists()  # the user's own known hosts count, and are left alone


def test_what_the_inventory_says_goes_before_the_configuration(home, server):
    known = configure(home, "Host box\n  HostName 127.0.0.1\n  Port 9\n  User fred\n  IdentityFile ~/none\n")
    known.write_text(f"{at(server)} {server.line}\n")
    given = {"address": "box", "port": server.port, "user": "root", "key": "login"}
    assert said(inventory(home, given)) == "in\n"


def test_a_user_of_the_configuration_is_taken_and_root_where_there_is_none(home):
    configure(home, "Host box\n  User fred\nHost other\n  Port 2200\n")
    hosts = inventory(home, {"address": "box"}, {"address": "other"}).hosts
    assert [(host.user, host.port) for host in hosts] == [("fred", 22), ("root", 2200)]


def test_a_host_behind_a_jump_is_reached_through_it(home, server):
    make_key(home / "bastion-key")
    with running(home / "bastion") as bastion:
        bastion.let_in(home / "bastion-key")
        known = configure(
            home,
            f"Host inside\n  HostName 127.0.0.1\n  Port {server.port}\n  ProxyJump gate\n"
            f"  IdentityFile ~/login\nHost gate\n  HostName 127.0.0.1\n  Port {bastion.port}\n"
            "  IdentityFile ~/bastion-key\n",
        )
        made = inventory(home, {"address": "inside"})
        trust(home / "trusted", made.manager, [server.line])
        with pytest.raises(
            HostKeyError, match=r"^jump host gate: the host key of \[127.0.0.1\]:\d+ is unknown"
        ):
            said(made)
        known.write_text(f"{at(bastion)} {bastion.line}\n")
        assert said(made) == "in\n"
        assert "Accepted publickey" in bastion.log
        assert shown_key(made.manager, made, QUICK).state == "trusted"
        server_port = server.port
    with pytest.raises(UnreachableError, match=r"jump host gate: .* does not respond"):
        said(made)
    assert server_port == server.port


def test_a_jump_to_nowhere_is_reported_with_the_jump(home):
    with running(home / "bastion") as bastion:
        bastion.let_in(home / "login")
        known = configure(
            home,
            f"Host inside\n  HostName 127.0.0.1\n  Port 9\n  ProxyJump gate\nHost gate\n"
            f"  HostName 127.0.0.1\n  Port {bastion.port}\n  IdentityFile ~/login\n",
        )
        known.write_text(f"{at(bastion)} {bastion.line}\n")
        with pytest.raises(UnreachableError, match=r"h0: .* does not respond through jump host gate"):
            said(inventory(home, {"address": "inside"}))


def test_jumps_in_a_circle_are_refused(home):
    configure(home, "Host a\n  ProxyJump b\nHost b\n  ProxyJump a\n")
    with pytest.raises(InputError, match=r"the jumps to \w are more than 8, or a circle"):
        said(inventory(home, {"address": "a"}))


def test_a_proxy_command_is_the_connection(home, server):
    code = "import socket,sys,threading as t;s=socket.create_connection(('%h',%p));o=sys.stdout.buffer"
    code += ";t.Thread(target=lambda:[s.sendall(b) for b in iter(lambda:sys.stdin.buffer.read1(9999),b'')],"
    code += "daemon=True).start();[(o.write(b),o.flush()) for b in iter(lambda:s.recv(9999),b'')]"
    known = configure(
        home,
        f"Host box\n  HostName 127.0.0.1\n  Port {server.port}\n  IdentityFile ~/login\n"
        f'  ProxyCommand python3 -c "{code}"\n',
    )
    known.write_text(f"{at(server)} {server.line}\n")
    assert said(inventory(home, {"address": "box"})) == "in\n"


def test_a_configuration_that_ssh_refuses_is_one_line(home):
    configure(home, "Host box\n  Prot 22\n")
    with pytest.raises(InputError, match=r"Bad configuration option: prot") as refused:
        inventory(home, {"address": "box"})
    assert "\n" not in str(refused.value)


def test_another_configuration_and_none(home, server):
    configure(home, "Host box\n  Port 9\n")
    (home / "mine").write_text(f"Host box\n  HostName 127.0.0.1\n  Port {server.port}\n")
    assert inventory(home, {"address": "box"}, ssh_config="mine").manager.port == server.port
    assert inventory(home, {"address": "box"}, ssh_config="none").manager.port == 22
    with pytest.raises(InputError, match=r"ssh_config .*nowhere: there is no such file"):
        inventory(home, {"address": "box"}, ssh_config="nowhere")


def test_numbers_name_hosts_and_brackets_hold_addresses(home):
    made = inventory(
        home, {"name": 1, "address": "[::1]"}, {"name": 2, "address": "fe80::1%lo", "user": 1000}
    )
    assert [(host.name, host.address, host.user) for host in made.hosts] == [
        ("1", "::1", "root"),
        ("2", "fe80::1%lo", "1000"),
    ]


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 on this machine")
def test_a_host_has_an_address_of_ipv6(home):
    try:
        with running(home / "server", address="::1") as server:
            server.let_in(home / "login")
            made = inventory(home, {"address": "::1", "port": server.port, "key": "login"})
            trust(home / "trusted", made.manager, [server.line])
            assert said(made) == "in\n"
    except OSError:
        pytest.skip("no IPv6 on loopback")


@pytest.fixture
def agent(home, monkeypatch):
    """An agent of the test's own, its socket in the environment."""
    path = home / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL) as process:
        from tests.waiting import wait_until

        wait_until(path.exists, "the agent listens", process)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
        yield lambda *keys: subprocess.run(
            ["ssh-add", "-q", *map(str, keys)], check=True, capture_output=True
        )
        process.terminate()


def test_the_agent_logs_in_also_where_the_file_is_locked_or_public_only(home, server, agent, monkeypatch):
    agent(home / "login")
    keygen("-p", "-P", "", "-N", "hush", "-f", str(home / "login"))
    here = {"address": "127.0.0.1", "port": server.port}
    made = inventory(home, here)
    trust(home / "trusted", made.manager, [server.line])
    assert said(made) == "in\n"
    assert said(inventory(home, here | {"key": "login"})) == "in\n"
    assert said(inventory(home, here | {"key": "login.pub"})) == "in\n"
    # an agent that the configuration names, instead of the one of the environment
    configure(home, "Host 127.0.0.1\n  IdentityAgent HOME/agent\n")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere")
    assert said(inventory(home, here)) == "in\n"
    configure(home, "Host 127.0.0.1\n  IdentityAgent none\n  IdentityFile ~/login\n")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "agent"))
    with pytest.raises(InputError, match=r"login: has a passphrase; give it to the SSH agent"):
        said(inventory(home, here))


def test_an_agent_of_many_keys_is_reported_where_the_server_hangs_up(home, server, agent):
    agent(*(make_key(home / f"key{number}") for number in range(8)))
    agent(home / "login")
    here = {"address": "127.0.0.1", "port": server.port}
    made = inventory(home, here)
    trust(home / "trusted", made.manager, [server.line])
    with pytest.raises(InputError, match=r"hung up after .* keys .*IdentitiesOnly"):
        said(made)
    configure(home, "Host *\n  IdentitiesOnly yes\n  IdentityFile ~/login\n")
    assert said(inventory(home, here)) == "in\n"


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
@pytest.mark.parametrize("form", ["PKCS8", "PEM", "RFC4716"])
def test_a_private_key_has_any_form(home, server, kind, form):
    if kind == "ed25519" and form == "PEM":
        pytest.skip("there is no such form of this kind")
    path = make_key(home / "mine", kind)
    if kind == "ed25519" and form == "PKCS8":  # ssh-keygen writes none
        from cryptography.hazmat.primitives import serialization as form_of

        loaded = form_of.load_ssh_private_key(path.read_bytes(), None)
        how = (form_of.Encoding.PEM, form_of.PrivateFormat.PKCS8, form_of.NoEncryption())
        path.write_bytes(loaded.private_bytes(*how))
    else:
        keygen("-p", "-m", form, "-N", "", "-f", str(path))
    assert ("OPENSSH" in path.read_text()) == (form == "RFC4716")
    server.let_in(path)
    made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "mine"})
    trust(home / "trusted", made.manager, [server.line])
    assert said(made) == "in\n"


def test_without_any_key_it_says_what_is_missing(home, server):
    made = inventory(home, {"address": "127.0.0.1", "port": server.port})
    trust(home / "trusted", made.manager, [server.line])
    with pytest.raises(
        InputError, match=r"no key to log in with: none in the SSH agent and no file; set key"
    ):
        said(made)


SHELLS = {
    "greeting": "echo Welcome; echo to the machine; exec sh -c",
    "bash": "exec bash -c",
    "tcsh": "exec tcsh -c",
    "fish": "exec fish -c",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_login_shell_may_greet_or_be_another(home, shell):
    if shell not in ("greeting", "bash") and shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    with running(home / "server", f'ForceCommand {SHELLS[shell]} "$SSH_ORIGINAL_COMMAND"\n') as server:
        server.let_in(home / "login")
        made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "login"})
        trust(home / "trusted", made.manager, [server.line])
        assert said(made, LINE) == PRINTED
        with Fleet(made, QUICK) as fleet:
            assert fleet.run(made.manager, "cat; echo 'it'\"'\"'s'", stdin="given\n") == "given\nit's\n"
            with pytest.raises(Exception, match=r"h0: `ls /nowhere/at/all`: ls: cannot access"):
                fleet.run(made.manager, "ls /nowhere/at/all")


def test_a_login_without_a_shell_is_reported_as_such_and_not_tried_again(home):
    options = 'ForceCommand echo "This account is not available."; exit 1\n'
    with running(home / "server", options) as server:
        server.let_in(home / "login")
        made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "login"})
        trust(home / "trusted", made.manager, [server.line])
        fault = r"h0: the login as root ran no command: This account is not available\.; it needs a shell"
        with pytest.raises(InputError, match=fault):
            said(made)
        with Fleet(made, QUICK) as fleet, pytest.raises(InputError, match=fault):
            fleet.engine(made.manager)
        assert server.log.count("Accepted publickey") == 2


def test_trouble_with_ssh_is_not_the_engines(home, server):
    made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "login"})
    with Fleet(made, QUICK) as fleet, pytest.raises(HostKeyError, match=r"^h0: the host key of"):
        fleet.engine(made.manager)
    assert server.log.count("Connection from") == 1  # a key gets no better by being looked at again
    trust(home / "trusted", made.manager, [server.line])
    make_key(home / "wrong")
    made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "wrong"})
    with Fleet(made, QUICK) as fleet, pytest.raises(InputError, match=r"the key .*wrong was refused"):
        fleet.engine(made.manager)
    assert server.log.count("Connection from") == 2


def test_what_is_no_ssh_server_and_a_name_that_is_unknown_are_named(home):
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                link.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                link.close()

        threading.Thread(target=serve, daemon=True).start()
        port = listener.getsockname()[1]
        made = inventory(home, {"address": "127.0.0.1", "port": port, "key": "login"})
        with pytest.raises(UnreachableError, match=r"no SSH server there"):
            said(made)
        listener.shutdown(socket.SHUT_RDWR)
    made = inventory(home, {"address": "no-such-host.invalid", "key": "login"})
    with pytest.raises(InputError, match=r"the name no-such-host\.invalid is unknown"):
        said(made)
    assert os.environ["HOME"] == str(home)
