"""Hosts over SSH: commands, files and engines, in parallel, with retries and a timeout on everything."""

import io
import logging
import math
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from cluster.provision.engine import connect as connect_engine
from cluster.provision.engine import told
from cluster.provision.inventory import Host, Inventory
from cluster.provision.trust import HostKeyError, RefuseUnknown, changed_key, entry_name
from cluster.settings import ConnectSettings
from metis.errors import InputError, MetisError, SurroundingsError

if TYPE_CHECKING:
    import docker

T = TypeVar("T")
CHUNK = 1 << 18
# seconds until a link without an answer counts as lost, so that no command waits hours for a dead one
LOST_AFTER = 30.0


class UnreachableError(SurroundingsError):
    """No connection could be made."""


class LostError(SurroundingsError):
    """The connection broke or a time ran out; what was asked for may or may not have been done."""


@dataclass
class _Link:
    """The connection to one host, made when first needed."""

    host: Host
    lock: threading.RLock = field(default_factory=threading.RLock)
    connection: Any = None
    engine: Any = None


class Fleet:
    """The hosts of an inventory. A context manager; may be used from several threads.

    Commands run as root: where the user to log in as is another, through `sudo -n`. Nothing of the system's
    or the user's SSH configuration is read, and only keys of the inventory's known_hosts are trusted.

    Args:
        inventory: the hosts.
        settings: timeouts and retries.
    """

    def __init__(self, inventory: Inventory, settings: ConnectSettings | None = None) -> None:
        self.inventory = inventory
        self.settings = settings or ConnectSettings()
        self._links = {host.name: _Link(host) for host in inventory.hosts}
        # each failure is told by the error we raise; paramiko would print tracebacks besides
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(
        self,
        host: Host,
        command: str,
        *,
        timeout: float | None = None,
        again: bool = False,
        stdin: str | None = None,
        check: bool = True,
    ) -> str:
        """Run a shell command as root; answers its standard output.

        Args:
            host: where.
            command: for `sh`. It is named in errors and seen by other users of the host: no secret in it.
            timeout: seconds until it is ended there and given up here; None for `command_timeout`.
            again: whether it does no harm when done twice, and so is tried again when it fails.
            stdin: what it reads, secrets included; never told.
            check: whether an exit code other than 0 is an error.

        Raises:
            SurroundingsError: it failed, or the host cannot be reached; names host, command and reason.
            HostKeyError: the host's key is not trusted.
        """
        given = None if stdin is None else stdin.encode()

        def attempt() -> str:
            source = None if given is None else io.BytesIO(given)
            return self._execute(host, command, source, timeout, check)

        try:
            return self._patiently(attempt) if again else attempt()
        except SurroundingsError as error:
            if stdin is None:
                raise
            raise type(error)(without(str(error), stdin)) from None

    def stream(
        self, host: Host, command: str, source: BinaryIO | Path, *, timeout: float | None = None
    ) -> str:
        """Run a command as `run` does, with a file as its input: `stream(host, "docker load", path)`."""
        if isinstance(source, Path):
            with source.open("rb") as file:
                return self._execute(host, command, file, timeout, check=True)
        return self._execute(host, command, source, timeout, check=True)

    def put(self, host: Host, local: Path, remote: str) -> None:
        """Copy a file to an absolute path of the host, whole or not at all; folders are made."""
        target = shlex.quote(remote)
        part = shlex.quote(f"{remote}.part")
        folder = shlex.quote(str(Path(remote).parent))
        command = f"mkdir -p {folder} && cat > {part} && mv {part} {target}"
        self._patiently(lambda: self.stream(host, command, local))

    def each(self, hosts: Iterable[Host], do: Callable[[Host], T]) -> dict[str, T]:
        """Do something for several hosts at once; answers the results by host name.

        Raises:
            Exception: the first failure, in the order of the hosts, once all have ended; of several
                failures of ours it says how many more there are.
        """
        chosen = list(hosts)
        if not chosen:
            return {}
        with ThreadPoolExecutor(max_workers=min(len(chosen), self.settings.parallel)) as pool:
            asked = {host.name: pool.submit(do, host) for host in chosen}
        failures = [error for future in asked.values() if (error := future.exception()) is not None]
        if len(failures) > 1 and isinstance(failures[0], MetisError):
            more = f"{failures[0]} (and {len(failures) - 1} more of {len(chosen)} hosts failed)"
            raise type(failures[0])(more)
        if failures:
            raise failures[0]
        return {name: future.result() for name, future in asked.items()}

    def engine(self, host: Host) -> "docker.DockerClient":
        """The host's Docker engine, through the SDK; kept for the life of the fleet.

        What the SDK raises is turned into one line by `cluster.provision.engine.told`.

        Raises:
            SurroundingsError: the host or its engine does not answer.
        """
        link = self._link(host)
        with link.lock:
            if link.engine is None:
                command = _as_root(host, "exec docker system dial-stdio", None)

                def attempt() -> "docker.DockerClient":
                    with told(host, "asking its Docker engine"):
                        return connect_engine(
                            lambda words: self._channel(host, words), command, self.settings.command_timeout
                        )

                link.engine = self._patiently(attempt)
            return link.engine

    def close(self) -> None:
        """End all connections."""
        for link in self._links.values():
            with link.lock:
                if link.engine is not None:
                    link.engine.close()
                    link.engine = None
                if link.connection is not None:
                    link.connection.close()
                    link.connection = None

    def _link(self, host: Host) -> _Link:
        try:
            return self._links[host.name]
        except KeyError:
            raise InputError(f"{host.name!r} is no host of cluster {self.inventory.name!r}") from None

    def _patiently(self, attempt: Callable[[], T], connecting: bool = False) -> T:
        """`attempt`, again after a growing pause where the surroundings failed."""
        for tried in range(self.settings.retries + 1):
            try:
                return attempt()
            except SurroundingsError as error:
                # connecting was tried again and again already, and a key gets no better
                hopeless = isinstance(error, HostKeyError) or (
                    isinstance(error, UnreachableError) and not connecting
                )
                if hopeless or tried == self.settings.retries:
                    raise
                time.sleep(self.settings.pause * 2**tried)
        raise AssertionError("unreachable")

    def _execute(
        self, host: Host, command: str, source: BinaryIO | None, timeout: float | None, check: bool
    ) -> str:
        seconds = timeout or self.settings.command_timeout
        what = f"{host.name}: `{' '.join(command.split()[:3])[:60]}`"
        started = time.monotonic()
        channel = self._channel(host, _as_root(host, command, seconds))
        late = threading.Event()

        def give_up() -> None:
            late.set()
            channel.close()

        # the host ends the command itself first; this is for a host that does not
        timer = threading.Timer(seconds + 10, give_up)
        timer.start()
        try:
            code, out, err = _exchange(channel, source)
        finally:
            timer.cancel()
            channel.close()
        if late.is_set() or (code in (124, 137) and time.monotonic() - started >= seconds):
            raise LostError(f"{what}: not done after {seconds:g} s")
        if code < 0:
            raise LostError(f"{what}: the connection was lost")
        if code and check:
            reason = (err.strip() or out.strip()).splitlines()
            raise SurroundingsError(f"{what}: {reason[-1][:300] if reason else 'failed'} (exit code {code})")
        return out

    def _channel(self, host: Host, words: str) -> Any:
        """A channel that runs `words`, on a connection made anew where it was lost."""
        import paramiko

        link = self._link(host)
        try:
            with link.lock:
                channel = self._session(link)
            channel.exec_command(words)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LostError(f"{host.name}: the connection was lost ({error})") from None
        return channel

    def _session(self, link: _Link) -> Any:
        import paramiko

        if link.connection is not None and link.connection.is_connected:
            try:
                return self._patiently(lambda: self._one_more(link))
            except (OSError, EOFError, paramiko.SSHException):
                link.connection.close()  # nothing was asked for yet: no harm in a new connection
        link.connection = self._patiently(lambda: _connect(link.host, self.inventory, self.settings), True)
        return link.connection.transport.open_session(timeout=self.settings.connect_timeout)

    def _one_more(self, link: _Link) -> Any:
        """Another session of a connection; a server has a limit to them, and others may end meanwhile."""
        import paramiko

        try:
            return link.connection.transport.open_session(timeout=self.settings.connect_timeout)
        except paramiko.ChannelException as error:
            name = link.host.name
            raise LostError(
                f"{name}: its SSH server opens no further session ({error.text}); raise MaxSessions there"
            ) from None


def _connect(host: Host, inventory: Inventory, settings: ConnectSettings) -> Any:
    """A Fabric connection, open, its host key checked.

    Raises:
        HostKeyError: the key is unknown or has changed.
        InputError: the private key is missing, or refused.
        UnreachableError: the host does not answer.
    """
    import paramiko
    from fabric import Config, Connection

    where = f"{host.name}: {host.user}@{entry_name(host)}"
    by_agent = host.key is None
    known: dict[str, Any] = {"allow_agent": by_agent, "look_for_keys": by_agent}
    if host.key is not None:
        known["pkey"] = _private_key(host.name, Path(host.key))
    for kind in ("banner_timeout", "auth_timeout", "channel_timeout", "timeout"):
        known[kind] = settings.connect_timeout
    # an SSH configuration given, even an empty one, keeps those of the machine out
    config = Config(ssh_config=paramiko.SSHConfig(), lazy=True)
    connection = Connection(host.address, user=host.user, port=host.port, config=config, connect_kwargs=known)
    if Path(inventory.known_hosts).is_file():
        connection.client.load_system_host_keys(inventory.known_hosts)
    connection.client.set_missing_host_key_policy(RefuseUnknown(host))
    try:
        connection.open()
    except paramiko.BadHostKeyException as error:
        connection.client.close()
        raise changed_key(host, error.key, error.expected_key) from None
    except paramiko.AuthenticationException:
        connection.client.close()
        given = f"key {host.key}" if host.key else "keys of the SSH agent"
        raise InputError(f"{where}: the {given} was refused; set user and key of this host") from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        connection.client.close()
        raise UnreachableError(f"{where} does not answer ({error})") from None
    except HostKeyError:
        connection.client.close()
        raise
    _notice_loss(connection.transport)
    return connection


def _private_key(name: str, path: Path) -> Any:
    import paramiko

    if not path.is_file():
        raise InputError(f"{name}: {path}: there is no such private key")
    try:
        return paramiko.PKey.from_path(path)
    except (paramiko.PasswordRequiredException, TypeError):
        reason = "has a passphrase; give it to the SSH agent (ssh-add) and leave `key` out"
    except Exception:  # each kind of key has failures of its own; none may show what is in the file
        reason = "is no private key of SSH"
    raise InputError(f"{name}: {path}: {reason}") from None


def _notice_loss(transport: Any) -> None:
    transport.set_keepalive(int(LOST_AFTER / 3))
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(LOST_AFTER * 1000))


def _as_root(host: Host, command: str, seconds: float | None) -> str:
    words = ["sh", "-c", command]
    if seconds is not None:
        words = ["timeout", "-k", "5", str(math.ceil(seconds)), *words]
    if host.user != "root":
        words = ["sudo", "-n", *words]
    return shlex.join(words)


def _exchange(channel: Any, source: BinaryIO | None) -> tuple[int, str, str]:
    """Feed a channel and read it to its end: exit code (-1: the connection broke), output, errors."""
    errors = bytearray()

    def feed() -> None:
        try:
            while source is not None and (chunk := source.read(CHUNK)):
                channel.sendall(chunk)
            channel.shutdown_write()
        except (OSError, EOFError):
            pass  # the command ended without reading all of it; its exit code says whether that is well

    def collect() -> None:
        while chunk := channel.recv_stderr(CHUNK):
            errors.extend(chunk)

    helpers = [threading.Thread(target=work, daemon=True) for work in (feed, collect)]
    for helper in helpers:
        helper.start()
    output = bytearray()
    while chunk := channel.recv(CHUNK):
        output.extend(chunk)
    code = channel.recv_exit_status()
    for helper in helpers:
        helper.join()
    return code, output.decode(errors="replace"), errors.decode(errors="replace")


def without(message: str, secret: str) -> str:
    """A message in which no line of `secret` is to be read."""
    for line in filter(None, map(str.strip, secret.splitlines())):
        message = message.replace(line, "***")
    return message
