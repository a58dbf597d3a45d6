"""An SSH server on loopback that runs what it is asked for, and fails when a test wants it to."""

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import paramiko


class SshServer:
    """Speaks SSH on 127.0.0.1; commands run as this process's user. A context manager.

    Attributes:
        port: where it listens.
        key: its host key; assigning another is what a machine made anew looks like.
        refuse: sessions to refuse, as a server does that has enough; counts down.
        hang_up: connections to hang up on before a word is said; counts down.
        accepted: connections so far.
    """

    def __init__(self, login: paramiko.PKey) -> None:
        self.key = paramiko.ECDSAKey.generate()
        self.login = login
        self.refuse = 0
        self.hang_up = 0
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._started: list[subprocess.Popen[bytes]] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut()
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def cut(self) -> None:
        """End all connections, as a machine does that goes down."""
        while self._transports:
            self._transports.pop().close()

    def run(self, channel: paramiko.Channel, command: bytes) -> None:
        """Run a command, its streams those of the channel."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(["sh", "-c", command], start_new_session=True, **pipes)
        self._started.append(process)

        def feed() -> None:
            with process.stdin:
                while chunk := channel.recv(65536):
                    try:
                        process.stdin.write(chunk)
                        process.stdin.flush()
                    except BrokenPipeError:
                        return

        def tell(source, send) -> None:
            with suppress(OSError):  # whoever listened may have gone
                while chunk := source.read1(65536):
                    send(chunk)

        jobs = [threading.Thread(target=feed, daemon=True)]
        jobs += [
            threading.Thread(target=tell, args=(process.stdout, channel.sendall), daemon=True),
            threading.Thread(target=tell, args=(process.stderr, channel.sendall_stderr), daemon=True),
        ]
        for job in jobs:
            job.start()
        for job in jobs[1:]:
            job.join()
        code = process.wait()
        channel.send_exit_status(code if code >= 0 else 128 - code)
        channel.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.hang_up:
                self.hang_up -= 1
                link.close()
                continue
            transport = paramiko.Transport(link)
            transport.add_server_key(self.key)
            self._transports.append(transport)
            try:
                transport.start_server(server=_Rules(self))
            except (paramiko.SSHException, EOFError, OSError):
                transport.close()  # the other side did not like our key


class _Rules(paramiko.ServerInterface):
    def __init__(self, server: SshServer) -> None:
        self.server = server

    def check_auth_publickey(self, username, key):
        return paramiko.AUTH_SUCCESSFUL if key == self.server.login else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        return "publickey"

    def check_channel_request(self, kind, chanid):
        if self.server.refuse:
            self.server.refuse -= 1
            return paramiko.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        threading.Thread(target=self.server.run, args=(channel, command), daemon=True).start()
        return True


def save_key(key: paramiko.PKey, path: Path) -> Path:
    key.write_private_key_file(str(path))
    return path
