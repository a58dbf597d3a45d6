"""Hosts over SSH: commands, files and Docker engines, several hosts at once, with retries and timeouts."""

import io
import logging
import shlex
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential

from cluster.provision.connection import LostError, UnreachableError, close, connect, runner
from cluster.provision.engine import connect as connect_engine
from cluster.provision.engine import engine_errors
from cluster.provision.inventory import Host, Inventory
from cluster.provision.shell import as_root, last_line, not_run, output_of, skip_greeting
from cluster.provision.ssh_config import route_to
from cluster.provision.trust import HostKeyError
from cluster.settings import ConnectSettings
from metis.errors import InputError, MetisError, SurroundingsError

if TYPE_CHECKING:
    import docker
    from fabric.group import GroupResult

T = TypeVar("T")


@dataclass
class _Link:
    """The connection to one host, made when first needed."""

    host: Host
    lock: threading.RLock = field(default_factory=threading.RLock)
    connection: Any = None
    engine: Any = None


class Fleet:
    """The hosts of an inventory. A context manager; may be used from several threads.

    Commands run as root: where the user to log in as is another, through `sudo -n`. Hosts are reached as
    the SSH configuration says that the inventory names, and trusted by the inventory's known_hosts, then by
    those of that configuration.

    Args:
        inventory: the hosts.
        settings: timeouts and retries.
        report: called with a line where something is tried again, or a long wait goes on.
    """

    def __init__(
        self,
        inventory: Inventory,
        settings: ConnectSettings | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.inventory = inventory
        self.report = report
        self.settings = settings or ConnectSettings()
        self._links = {host.name: _Link(host) for host in inventory.hosts}
        # each failure is in the error that is raised; paramiko would print tracebacks besides
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
        """Run a shell command as root; returns its standard output.

        Args:
            host: where.
            command: for `sh`. It is named in errors and seen by other users of the host: no secret in it.
            timeout: seconds until it is ended there and given up here; None for `command_timeout`.
            again: whether it does no harm when done twice, and so is retried when it fails.
            stdin: what it reads, secrets included; in no error.
            check: whether an exit code other than 0 is an error.

        Raises:
            SurroundingsError: it failed, or the host cannot be reached; names host, command and reason.
            HostKeyError: the host's key is not trusted.
        """
        given = None if stdin is None else stdin.encode()

        def attempt() -> str:
            source = None if given is None else io.BytesIO(given)
            try:
                return self._execute(host, command, source, timeout, check)
            except SurroundingsError as error:
                if stdin is None:
                    raise
                raise type(error)(without(str(error), stdin)) from None

        return self._patiently(attempt) if again else attempt()

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

    def outcomes(self, hosts: Iterable[Host], do: Callable[[Host], Any]) -> "GroupResult":
        """Call `do` for several hosts at once; Fabric's mapping of results and exceptions, by host name."""
        from fabric.group import GroupResult

        chosen, found = list(hosts), GroupResult()
        if not chosen:
            return found
        with ThreadPoolExecutor(max_workers=min(len(chosen), self.settings.parallel)) as pool:
            futures = {host.name: pool.submit(do, host) for host in chosen}
        found.update({name: one.exception() or one.result() for name, one in futures.items()})
        return found

    def each(self, hosts: Iterable[Host], do: Callable[[Host], T]) -> dict[str, T]:
        """Call `do` for several hosts at once; returns the results by host name.

        Raises:
            Exception: the first failure, in the order of the hosts, once all have ended; of several
                failures of ours it says how many more there are.
        """
        found = self.outcomes(hosts, do)
        failures = list(found.failed.values())
        if len(failures) > 1 and isinstance(failures[0], MetisError):
            more = f"{failures[0]} (and {len(failures) - 1} more of {len(found)} hosts failed)"
            raise type(failures[0])(more)
        if failures:
            raise failures[0]
        return dict(found)

    def engine(self, host: Host) -> "docker.DockerClient":
        """The host's Docker engine, through the SDK; kept for the life of the fleet.

        `cluster.provision.engine.engine_errors` turns what the SDK raises into one line.

        Raises:
            SurroundingsError: the host or its engine does not respond.
        """
        link = self._link(host)
        with link.lock:
            if link.engine is None:
                command = as_root(host, "exec docker system dial-stdio", None)

                def attempt() -> "docker.DockerClient":
                    with engine_errors(host, "connecting to its Docker engine"):
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
                    close(link.connection)
                    link.connection = None

    def _link(self, host: Host) -> _Link:
        try:
            return self._links[host.name]
        except KeyError:
            raise InputError(f"{host.name!r} is no host of cluster {self.inventory.name!r}") from None

    def _patiently(self, attempt: Callable[[], T], connecting: bool = False) -> T:
        """Call `attempt`, again after a growing pause where the surroundings failed."""

        def hopeful(error: BaseException) -> bool:
            # connecting was retried already, and a key gets no better
            hopeless = isinstance(error, HostKeyError) or (
                isinstance(error, UnreachableError) and not connecting
            )
            return isinstance(error, SurroundingsError) and not hopeless

        tries = self.settings.retries + 1

        def said(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            pause = state.next_action.sleep if state.next_action else 0.0
            self.report(f"{error}; try {state.attempt_number + 1} of {tries} in {pause:g} s")

        again = Retrying(
            stop=stop_after_attempt(tries),
            wait=wait_exponential(multiplier=self.settings.pause),
            retry=retry_if_exception(hopeful),
            before_sleep=said,
            reraise=True,
        )
        return again(attempt)

    def _execute(
        self, host: Host, command: str, source: BinaryIO | None, timeout: float | None, check: bool
    ) -> str:
        import paramiko
        from invoke.exceptions import CommandTimedOut, ThreadException

        seconds = timeout or self.settings.command_timeout
        what = f"{host.name}: `{' '.join(command.split()[:3])[:60]}`"
        started = time.monotonic()
        try:
            result = self._connection(host).run(
                as_root(host, command, seconds),
                hide=True,
                warn=True,
                in_stream=source or io.BytesIO(),
                encoding="utf-8",
                # the host ends the command itself first; this is for a host that does not
                timeout=seconds + 10,
            )
        except CommandTimedOut:
            raise LostError(f"{what}: not done after {seconds:g} s") from None
        except ThreadException as error:
            raise LostError(f"{what}: its input broke off ({error.exceptions[0].value})") from None
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LostError(f"{host.name}: the connection was lost ({error})") from None
        if result.exited in (124, 137) and time.monotonic() - started >= seconds:
            raise LostError(f"{what}: not done after {seconds:g} s")
        if result.exited < 0:
            raise LostError(f"{what}: the connection was lost")
        output = output_of(result.stdout)
        if output is None:
            raise not_run(host, result.stderr or result.stdout)
        if check and not result.ok:
            last = last_line(result.stderr) or last_line(output) or "failed"
            raise SurroundingsError(f"{what}: {last} (exit code {result.exited})")
        return output

    def _connection(self, host: Host) -> Any:
        """The connection to a host, opened where it is not."""
        link = self._link(host)
        with link.lock:
            if link.connection is None or not link.connection.is_connected:
                self._open(link)
            return link.connection

    def _open(self, link: _Link) -> None:
        sessions = runner(lambda: self._locked_session(link))
        route = route_to(link.host, self.inventory.ssh_config)
        link.connection = self._patiently(
            lambda: connect(route, self.inventory, self.settings, sessions), True
        )

    def _locked_session(self, link: _Link) -> Any:
        with link.lock:
            return self._session(link)

    def _channel(self, host: Host, words: str) -> Any:
        """A channel that runs `words`, on a connection made anew where it was lost."""
        import paramiko

        link = self._link(host)
        try:
            with link.lock:
                channel = self._session(link)
            channel.exec_command(words)
            greeted = skip_greeting(channel, self.settings.connect_timeout)
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise LostError(f"{host.name}: the connection was lost ({error})") from None
        if greeted is not None:
            raise not_run(host, greeted)
        return channel

    def _session(self, link: _Link) -> Any:
        import paramiko

        if link.connection is not None and link.connection.is_connected:
            try:
                return self._patiently(lambda: self._one_more(link))
            except (OSError, EOFError, paramiko.SSHException):
                close(link.connection)  # nothing was sent yet: no harm in a new connection
        self._open(link)
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


def without(message: str, secret: str) -> str:
    """A message in which no line of `secret` is to be read."""
    for line in filter(None, map(str.strip, secret.splitlines())):
        message = message.replace(line, "***")
    return message
