"""OpenSSH's own server on loopback, with keys of a test's own."""

import shutil
import socket
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import wait_until

SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin")
needs_sshd = pytest.mark.skipif(SSHD is None, reason="no sshd (openssh-server) on this machine")
OPTIONS = """
ListenAddress {address}
Port {port}
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
LogLevel VERBOSE
"""


def make_key(path, kind="ed25519", *words):
    """A key pair by ssh-keygen; returns its path."""
    size = ("-b", "2048") if kind == "rsa" else ()
    keygen("-t", kind, *size, "-N", "", "-f", str(path), *words)
    return path


def keygen(*words):
    subprocess.run(["ssh-keygen", "-q", *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)


class Server:
    """An sshd that runs.

    Attributes:
        port: where it listens on 127.0.0.1.
        folder: with its host key `host` and `authorized`, the public keys that are let in.
    """

    def __init__(self, folder, port):
        self.folder, self.port = folder, port

    @property
    def line(self):
        """Its host key, kind and base64."""
        return " ".join((self.folder / "host.pub").read_text().split()[:2])

    def let_in(self, *keys):
        texts = [Path(f"{key}.pub").read_text() for key in keys]
        (self.folder / "authorized").write_text("".join(texts))

    @property
    def log(self):
        return (self.folder / "log").read_text()


@contextmanager
def running(folder, options="", address="127.0.0.1", kind="ed25519"):
    """A server in `folder`, with further `options` of sshd_config(5)."""
    folder.mkdir(exist_ok=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    if not (folder / "host").exists():
        make_key(folder / "host", kind)
    (folder / "authorized").touch()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as free:
        free.bind((address, 0))
        port = free.getsockname()[1]
    text = OPTIONS.format(folder=folder, port=port, address=address) + options
    (folder / "config").write_text(text)
    command = [SSHD, "-D", "-f", str(folder / "config"), "-E", str(folder / "log")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        log = folder / "log"
        wait_until(lambda: log.is_file() and "listening" in log.read_text(), "sshd listens", process)
        yield Server(folder, port)
    finally:
        process.terminate()
        process.wait(30)
