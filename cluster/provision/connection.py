"""A connection to one host by Fabric: opened with its key checked, its commands fed in large pieces."""

import shlex
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from cluster.provision.inventory import Host, Inventory
from cluster.provision.known_hosts import Known
from cluster.provision.ssh_config import Route, route_to
from cluster.provision.trust import Check, ShownKey, entry_name, known, prefer
from cluster.settings import ConnectSettings
from metis.errors import InputError, SurroundingsError

if TYPE_CHECKING:
    from cluster.provision.login import Login

CHUNK = 1 << 18
# seconds until a link without a sign of life counts as lost, so that no command waits hours for a dead one
LOST_AFTER = 30.0


class UnreachableError(SurroundingsError):
    """No connection could be made."""


class LostError(SurroundingsError):
    """The connection broke or a time ran out; the command may or may not have been carried out."""


def runner(open_session: Callable[[], Any]) -> type:
    """Fabric's runner of commands, on sessions that `open_session` opens.

    Fabric's own reads its input by the character, a hundred of them a second: too slow for images.
    """
    from fabric.runners import Remote

    def start(self: Any, command: str, shell: str, env: Any, timeout: float | None = None) -> None:
        self.channel = open_session()
        self.send_start_message(command)

    def handle_stdin(self: Any, input_: BinaryIO, output: Any, echo: bool = False) -> None:
        try:
            while chunk := input_.read(CHUNK):
                self.channel.sendall(chunk)
            self.close_proc_stdin()
        except (OSError, EOFError):
            pass  # the command ended without reading all of it; its exit code says whether that is well

    methods = {"start": start, "handle_stdin": handle_stdin, "read_chunk_size": CHUNK}
    return type("ChunkedRemote", (Remote,), methods)


def connect(
    route: Route,
    inventory: Inventory,
    settings: ConnectSettings,
    sessions: type | None = None,
    check: type[Check] = Check,
) -> Any:
    """A Fabric connection, open, its host key checked; through the jumps of its route.

    Args:
        route: to the host.
        inventory: names the file of trusted keys.
        settings: timeouts.
        sessions: class of what runs commands, see `runner`; None for Fabric's own.
        check: what judges the key of the host; those of jumps are judged by `Check`.

    Raises:
        HostKeyError: the key of the host, or of a jump, is unknown or has changed.
        InputError: no key to log in with, all refused, or the name of the host is unknown.
        UnreachableError: the host does not respond.
    """
    gateway = connect(route.jump, inventory, settings) if route.jump else None
    try:
        return _connected(route, gateway, inventory, settings, sessions, check)
    except BaseException:
        close(gateway)
        raise


def close(connection: Any) -> None:
    """End a connection and those it goes through, which Fabric leaves open."""
    while connection is not None:
        connection.client.close()
        connection = connection.gateway or None


def _connected(
    route: Route,
    gateway: Any,
    inventory: Inventory,
    settings: ConnectSettings,
    sessions: type | None,
    check: type[Check],
) -> Any:
    import paramiko
    from fabric import Config, Connection

    from cluster.provision.login import Login

    host, login = route.host, Login(route)
    known_hosts = known(host, (inventory.known_hosts, *route.known_hosts))
    # an SSH configuration given, even an empty one, keeps Fabric from reading what `ssh` has read
    overrides = {"runners": {"remote": sessions}} if sessions else {}
    config = Config(overrides=overrides, ssh_config=paramiko.SSHConfig(), lazy=True)
    how: dict[str, Any] = {"auth_strategy": login, "transport_factory": partial(_transport, known_hosts)}
    for kind in ("banner_timeout", "auth_timeout", "channel_timeout", "timeout"):
        how[kind] = settings.connect_timeout
    if route.command:
        # as OpenSSH does, by the shell
        how["sock"] = paramiko.ProxyCommand(shlex.join(["sh", "-c", f"exec {route.command}"]))
    connection = Connection(
        host.address, user=host.user, port=host.port, config=config, gateway=gateway, connect_kwargs=how
    )
    connection.client.set_missing_host_key_policy(check(host, known_hosts))
    try:
        with _in_words(route, login):
            connection.open()
        if not connection.transport.is_authenticated():
            raise InputError(f"{_where(host)}: asks for more than a key; let a key alone suffice")
    except BaseException:
        connection.client.close()
        raise
    _notice_loss(connection.transport)
    return connection


@contextmanager
def _in_words(route: Route, login: "Login") -> Iterator[None]:
    """Turn what paramiko raises while connecting into one line."""
    import paramiko

    where, through = _where(route.host), f" through {route.jump.host.name}" if route.jump else ""
    try:
        yield
    except paramiko.AuthenticationException:
        raise InputError(_refused(where, login)) from None
    except paramiko.IncompatiblePeer as error:
        raise InputError(f"{where}: its SSH server is too old or too strict ({error})") from None
    except socket.gaierror as error:
        raise InputError(
            f"{where}: the name {route.host.address} is unknown ({error.strerror}); set its address"
        ) from None
    except (OSError, EOFError, paramiko.SSHException) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if "protocol banner" in reason:
            reason = "no SSH server there, or one that has too many connections"
        raise UnreachableError(f"{where} does not respond{through} ({reason[:300]})") from None


def _where(host: Host) -> str:
    return f"{host.name}: {host.user}@{entry_name(host)}"


def _refused(where: str, login: "Login") -> str:
    """Why no key opened the host, in one line."""
    if not login.tried and login.faults:
        return f"{where}: {login.faults[0]}"
    if not login.tried:
        return f"{where}: no key to log in with: none in the SSH agent and no file; set key of this host"
    count = len(login.tried)
    what = login.tried[0] if count == 1 else f"{count} keys ({', '.join(dict.fromkeys(login.tried))})"
    if login.hung_up:
        return (
            f"{where}: hung up after {what}; set key of this host, or IdentitiesOnly in the SSH configuration"
        )
    also = f" ({login.faults[0]})" if login.faults else ""
    return f"{where}: the {what} was refused; set user and key of this host{also}"


def _transport(known_hosts: Known, link: Any, **given: Any) -> Any:
    import paramiko

    made = paramiko.Transport(link, **given)
    prefer(made, known_hosts)
    return made


def shown_key(host: Host, inventory: Inventory, settings: ConnectSettings) -> ShownKey:
    """The key `host` shows, without logging in to it; jumps before it are logged in to.

    Raises:
        HostKeyError: the key of a jump is not trusted.
        SurroundingsError: it does not respond.
    """
    try:
        connect(route_to(host, inventory.ssh_config), inventory, settings, check=_Look)
    except _SeenError as seen:
        return seen.shown
    raise AssertionError("connected without a look at the key")


class _SeenError(Exception):
    def __init__(self, shown: ShownKey) -> None:
        self.shown = shown


class _Look(Check):
    """Ends a connection once the key is seen."""

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        raise _SeenError(ShownKey(self.host, key, self.known))


def _notice_loss(transport: Any) -> None:
    transport.set_keepalive(int(LOST_AFTER / 3))
    if isinstance(transport.sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(LOST_AFTER * 1000))
