"""A connection to one host by Fabric: opened with its key checked, its commands fed in large pieces."""

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from cluster.provision.inventory import Host, Inventory
from cluster.provision.trust import HostKeyError, RefuseUnknown, changed_key, entry_name
from cluster.settings import ConnectSettings
from metis.errors import InputError, SurroundingsError

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


def connect(host: Host, inventory: Inventory, settings: ConnectSettings, sessions: type) -> Any:
    """A Fabric connection, open, its host key checked.

    Args:
        host: to connect to.
        inventory: names the file of trusted keys.
        settings: timeouts.
        sessions: class of what runs commands; see `runner`.

    Raises:
        HostKeyError: the key is unknown or has changed.
        InputError: the private key is missing, or refused.
        UnreachableError: the host does not respond.
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
    overrides = {"runners": {"remote": sessions}}
    config = Config(overrides=overrides, ssh_config=paramiko.SSHConfig(), lazy=True)
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
        raise UnreachableError(f"{where} does not respond ({error})") from None
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
