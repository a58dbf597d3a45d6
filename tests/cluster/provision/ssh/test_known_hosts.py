"""Host keys as OpenSSH trusts them: hashed names, damaged lines, certificates, revoked keys."""

import getpass
from pathlib import Path

import pytest

from cluster.provision.connection import shown_key
from cluster.provision.trust import HostKeyError, key_line, trust
from tests.cluster.provision.ssh.homes import QUICK, REAL, at, configure, inventory, said
from tests.cluster.provision.sshd import keygen, make_key, running

ME = getpass.getuser()
pytestmark = REAL


def test_hashed_and_damaged_known_hosts_are_read_and_kept(home, server):
    known = configure(home, "Host *\n  IdentityFile ~/login\n")
    known.write_text(f"{at(server)} {server.line}\n")
    keygen("-H", "-f", str(known))
    hashed = known.read_bytes()
    assert hashed.startswith(b"|1|")
    known.write_bytes(b"# mine\ngibberish\nhost ssh-ed25519 AAAA====x\n\xff\xfe\nold ssh-dss AAAA\n" + hashed)
    here = {"address": "127.0.0.1", "port": server.port}
    assert said(inventory(home, here)) == "in\n"
    # as the inventory's own file: the hashed entry is replaced, not doubled, and the rest kept
    make_key(home / "another")
    other = " ".join((home / "another.pub").read_text().split()[:2])
    made = inventory(home, here, known_hosts=".ssh/known_hosts")
    before = known.read_bytes().splitlines()
    trust(known, made.manager, [other])
    with pytest.raises(HostKeyError, match=r"has changed"):
        said(made)
    trust(known, made.manager, [server.line])
    assert said(made) == "in\n"
    kept = [line for line in before if line in known.read_bytes().splitlines()]
    assert len(kept) == len(before) - 1


def test_a_damaged_line_is_named_where_the_key_is_unknown(home, server):
    known = configure(home, "Host *\n  IdentityFile ~/login\n")
    known.write_text(f"{at(server)} ssh-ed25519 AAAAbroken\n")
    with pytest.raises(HostKeyError, match=r"is unknown .*known_hosts: line 1 cannot be read"):
        said(inventory(home, {"address": "127.0.0.1", "port": server.port}))


def test_the_key_that_is_known_is_asked_for_where_a_host_has_several(home):
    rsa = make_key(home / "rsa", "rsa")
    with running(home / "server", f"HostKey {rsa}\n") as server:
        server.let_in(home / "login")
        made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "login"})
        trust(home / "trusted", made.manager, [" ".join(Path(f"{rsa}.pub").read_text().split()[:2])])
        assert said(made) == "in\n"


@pytest.fixture
def authority(home):
    """A certificate authority, and a function that has it sign a server's host key."""
    make_key(home / "authority")

    def sign(server, *words):
        keygen("-s", str(home / "authority"), "-I", "host", "-h", *words, str(server / "host.pub"))
        return f"HostCertificate {server}/host-cert.pub\n"

    return sign


CERTIFICATES = {
    "good": (("-n", "127.0.0.1"), None),
    "wild": (("-n", "127.0.*"), None),
    "another": (("-n", "10.0.0.9"), r"its certificate is for 10\.0\.0\.9"),
    "none": ((), "its certificate is for no host"),
    "late": (("-n", "127.0.0.1", "-V", "20200101:20200102"), "its certificate is not valid at this time"),
}


@pytest.mark.parametrize("case", CERTIFICATES)
def test_a_host_is_trusted_by_a_certificate_of_its_authority(home, authority, case):
    words, fault = CERTIFICATES[case]
    folder = home / "server"
    folder.mkdir()
    make_key(folder / "host", "rsa" if case == "wild" else "ed25519")
    with running(folder, authority(folder, *words)) as server:
        server.let_in(home / "login")
        made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "login"})
        line = " ".join((home / "authority.pub").read_text().split()[:2])
        (home / "trusted").write_text(f"@cert-authority 10.*,127.0.0.? {line}\n")
        if fault is None:
            assert said(made) == "in\n"
            assert shown_key(made.manager, made, QUICK).state == "trusted"
            (home / "trusted").write_text(f"@cert-authority * {line}\n@revoked * {line}\n")
            fault = "its certificate is signed by a revoked key"
        with pytest.raises(HostKeyError, match=fault):
            said(made)
        (home / "trusted").write_text(f"@cert-authority *.example.com {line}\n")
        with pytest.raises(HostKeyError, match=r"is unknown \(ssh-\w+ SHA256:[^;]*\)"):
            said(made)


def test_a_revoked_key_is_never_trusted(home, server):
    made = inventory(home, {"address": "127.0.0.1", "port": server.port, "key": "login"})
    text = f"{at(server)} {server.line}\n@revoked * {server.line}\n"
    (home / "trusted").write_text(text)
    with pytest.raises(HostKeyError, match=r"is revoked"):
        said(made)
    trust(home / "trusted", made.manager, [key_line(shown_key(made.manager, made, QUICK).key)])
    assert "@revoked" in (home / "trusted").read_text()
