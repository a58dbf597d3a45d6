"""SSH host keys: which are trusted, which a host shows, and how a person accepts one."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.provision.inventory import Host
from cluster.provision.known_hosts import HostKey, Known, certificate_fault, known_of, replaced
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
        key: of paramiko, with its certificate where it has one.
        known: what is known of the host.
    """

    host: Host
    key: Any
    known: Known

    @property
    def state(self) -> Trust:
        """Whether it is the trusted one."""
        if not self.fault:
            return "trusted"
        return "changed" if self.known.keys or _plain(self.key).blob in self.known.revoked else "unknown"

    @property
    def fingerprint(self) -> str:
        """Kind and SHA256 fingerprint, as `ssh-keygen -lf` prints them."""
        return fingerprint(self.key)

    @property
    def fault(self) -> str | None:
        """Why it is not trusted, in one line; None where it is."""
        shown = f"{self.host.name}: the host key of {entry_name(self.host)}"
        if _plain(self.key).blob in self.known.revoked:
            return f"{shown} is revoked ({self.fingerprint}); it is never trusted"
        certificate, wrong = self.key.public_blob, None
        if certificate is not None and self.known.authorities:
            wrong = certificate_fault(certificate.key_blob, entry_name(self.host), self.known)
            if wrong is None:
                return None
        if _plain(self.key) in self.known.keys:
            return None
        if self.known.keys:
            trusted = self.known.keys[0].fingerprint
            return (
                f"{shown} has changed (now {self.fingerprint}, trusted is {trusted}): someone may sit in "
                f"between; if the machine was made anew, {HOW_TO_ACCEPT}"
            )
        also = [f"its certificate {wrong}"] if wrong else []
        also += [f"{self.known.damaged[0]} cannot be read"] if self.known.damaged else []
        return f"{shown} is unknown ({'; '.join([self.fingerprint, *also])}): {HOW_TO_ACCEPT}"


class Check:
    """Paramiko's policy for the key a host shows: trusted, or refused in one line.

    paramiko knows no keys of its own here, so that it asks this about each.
    """

    def __init__(self, host: Host, known: Known) -> None:
        self.host, self.known = host, known

    def missing_host_key(self, client: Any, hostname: str, key: Any) -> None:
        """Refuse a key that is not trusted.

        Raises:
            HostKeyError: it is unknown, has changed or is revoked.
        """
        if fault := ShownKey(self.host, key, self.known).fault:
            raise HostKeyError(fault)


def fingerprint(key: Any) -> str:
    """Kind and SHA256 fingerprint of a public key, as `ssh-keygen -lf` prints the latter."""
    return _plain(key).fingerprint


def entry_name(host: Host) -> str:
    """What a host is called in a known_hosts file."""
    if host.known_as:
        return host.known_as
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"


def known(host: Host, files: Iterable[str]) -> Known:
    """What files of known hosts, the one that counts most first, hold about a host."""
    return known_of(entry_name(host), map(Path, files))


def prefer(transport: Any, known: Known) -> None:
    """Ask for the kinds of key that are known: a host may have several."""
    options = transport.get_security_options()
    options.key_types = [*known.kinds, *(kind for kind in options.key_types if kind not in known.kinds)]


def trust(known_hosts: Path, host: Host, lines: list[str]) -> None:
    """Trust `lines` (kind and base64 of a key each) as the keys of `host`, in place of those before.

    Entries of other hosts stay as they are.
    """
    text = replaced(known_hosts, entry_name(host), lines)
    with written_whole(known_hosts) as file:
        file.write(text.encode("utf-8", "surrogateescape"))


def key_line(key: Any) -> str:
    """A public key as a known_hosts file has it, without the name."""
    return _plain(key).line


def _plain(key: Any) -> HostKey:
    return HostKey(key.get_name(), key.asbytes())


def write_private(path: Path, text: str) -> None:
    """Write a private key that only its owner can read, from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
