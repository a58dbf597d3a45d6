"""SSH host keys: which are trusted, which a host shows, and how a person accepts one."""

import base64
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.provision.inventory import Host
from metis.errors import SurroundingsError
from metis.files import written_whole

Trust = Literal["trusted", "unknown", "changed"]
HOW_TO_ACCEPT = (
    "compare it with the machine's own (`ssh-keygen -lf` on its console), then `metis cluster accept`"
)


class HostKeyError(SurroundingsError):
    """A host showed a key that is not the trusted one, or none is trusted yet."""


@dataclass(frozen=True)
class ShownKey:
    """The key a host shows now.

    Attributes:
        host: which.
        key: of paramiko.
        state: whether it is the trusted one.
    """

    host: Host
    key: Any
    state: Trust

    @property
    def fingerprint(self) -> str:
        """Kind and SHA256 fingerprint, as `ssh-keygen -lf` prints them."""
        return fingerprint(self.key)


def fingerprint(key: Any) -> str:
    """Kind and SHA256 fingerprint of a public key, as `ssh-keygen -lf` prints the latter."""
    digest = base64.b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"


def entry_name(host: Host) -> str:
    """What a host is called in a known_hosts file."""
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


class RefuseUnknown:
    """Paramiko's policy for a host without a trusted key: refuse, in one line."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Refuse it.

        Raises:
            HostKeyError: always.
        """
        raise HostKeyError(
            f"{self.host.name}: the host key of {entry_name(self.host)} is unknown "
            f"({fingerprint(key)}): {HOW_TO_ACCEPT}"
        )


def changed_key(host: Host, shown: Any, trusted: Any) -> HostKeyError:
    """The refusal of a key that is not the trusted one."""
    return HostKeyError(
        f"{host.name}: the host key of {entry_name(host)} has changed (now {fingerprint(shown)}, trusted is "
        f"{fingerprint(trusted)}): someone may sit in between; if the machine was made anew, {HOW_TO_ACCEPT}"
    )


def shown_key(host: Host, known_hosts: Path, timeout: float) -> ShownKey:
    """The key `host` shows, without logging in.

    Raises:
        SurroundingsError: it does not respond.
    """
    import socket

    import paramiko

    known = trusted_keys(known_hosts).lookup(entry_name(host))
    try:
        with socket.create_connection((host.address, host.port), timeout=timeout) as link:
            transport = paramiko.Transport(link)
            try:
                _prefer(transport, known)
                transport.start_client(timeout=timeout)
                key = transport.get_remote_server_key()
            finally:
                transport.close()
    except (OSError, EOFError, paramiko.SSHException) as error:
        raise SurroundingsError(f"{host.name}: {entry_name(host)} does not respond ({error})") from None
    trusted = known.get(key.get_name()) if known else None
    return ShownKey(host, key, "trusted" if trusted == key else "changed" if known else "unknown")


def _prefer(transport: Any, known: Any) -> None:
    """Prefer the kind of key that is trusted, as a connection does: a host may have several."""
    kinds = list(known.keys()) if known else []
    if not kinds:
        return
    options = transport.get_security_options()
    wanted = "rsa-sha2-512" if kinds[0] == "ssh-rsa" else kinds[0]
    options.key_types = [wanted, *(kind for kind in options.key_types if kind != wanted)]


def trusted_keys(known_hosts: Path) -> Any:
    """The keys of a known_hosts file, none where there is no file; of paramiko.

    Raises:
        SurroundingsError: it cannot be read; names the file.
    """
    from paramiko.hostkeys import HostKeys

    try:
        return HostKeys(str(known_hosts)) if known_hosts.is_file() else HostKeys()
    except OSError as error:
        raise SurroundingsError(f"{known_hosts}: cannot be read ({error.strerror})") from None


def trust(known_hosts: Path, host: Host, lines: list[str]) -> None:
    """Trust `lines` (kind and base64 of a key each) as the keys of `host`, in place of those before.

    Entries of other hosts stay as they are.
    """
    name = entry_name(host)
    kept = []
    if known_hosts.is_file():
        for line in known_hosts.read_text(encoding="utf-8").splitlines():
            names, _, rest = line.partition(" ")
            others = [other for other in names.split(",") if other != name]
            if rest and others:
                kept.append(f"{','.join(others)} {rest}")
    kept += [f"{name} {line}" for line in lines]
    with written_whole(known_hosts) as file:
        file.write(("\n".join(kept) + "\n").encode())


def key_line(key: Any) -> str:
    """A public key as a known_hosts file has it, without the name."""
    return f"{key.get_name()} {key.get_base64()}"


def write_private(path: Path, text: str) -> None:
    """Write a private key that only its owner can read, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
