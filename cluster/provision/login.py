"""The keys to log in with: files as people have them, and those of the SSH agent."""

import io
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from paramiko import AuthenticationException, PKey, SSHException
from paramiko.agent import AgentSSH

from cluster.provision.ssh_config import Route

AGENT_WITHIN = 60.0  # seconds for an agent that asks its owner first


class Login:
    """Keys of a route, in the order that OpenSSH's client tries them; an authentication strategy of paramiko.

    Args:
        route: names files and agent.

    Attributes:
        tried: what was offered to the server, in words.
        faults: keys that could not be used, and why; nothing of what is in them.
        hung_up: whether the server had enough of the keys offered.
    """

    def __init__(self, route: Route) -> None:
        self._route = route
        self.tried: list[str] = []
        self.faults: list[str] = []
        self.hung_up = False

    def authenticate(self, transport: Any) -> None:
        """Offer one key after another, until the server accepts one.

        Raises:
            AuthenticationException: it accepts none.
        """
        for what, key in self._keys():
            self.tried.append(what)
            try:
                transport.auth_publickey(self._route.host.user, key)
                return
            except (SSHException, EOFError):
                self.hung_up = not transport.is_active()
                if self.hung_up:
                    break
        raise AuthenticationException("no key was accepted")

    def _keys(self) -> Iterator[tuple[str, Any]]:
        """Keys of files, from the agent where it has them, then the agent's others; each with its name."""
        agent = _agent(self._route.agent)
        try:
            held = {key.asbytes(): key for key in agent.get_keys()}
            for path in self._route.keys:
                found = self._key(Path(path), held)
                if found is not None:
                    yield f"key {path}", found
            if not self._route.only_keys:
                for blob in list(held):
                    yield "a key of the SSH agent", held.pop(blob)
        finally:
            agent._close()

    def _key(self, path: Path, held: dict[bytes, Any]) -> Any:
        """The key of a file, or the agent's of the same public half; None where neither can be used."""
        for half in (path, path.with_name(f"{path.name}.pub")):
            if (blob := _public_half(half)) in held:
                return held.pop(blob)
        if _public_half(path) is not None:
            self.faults.append(f"{path}: is a public key, whose private half is not in the SSH agent")
            return None
        if not path.is_file():
            if self._route.only_keys:
                self.faults.append(f"{path}: there is no such private key")
            return None
        try:
            return private_key(path)
        except ValueError as error:
            self.faults.append(f"{path}: {error}")
        return None


def private_key(path: Path) -> PKey:
    """The private key in a file of OpenSSH's form, PKCS#1, SEC1 or PKCS#8.

    Raises:
        ValueError: it cannot be used; says why, and nothing of what is in it.
    """
    try:
        return _read(path)
    except PermissionError:
        reason = "cannot be read by you"
    except TypeError:  # cryptography's way to ask for a passphrase
        reason = "has a passphrase; give it to the SSH agent (ssh-add)"
    except Exception:  # each kind of key has failures of its own; none may show what is in the file
        putty = path.read_bytes().startswith(b"PuTTY-User-Key-File")
        reason = "is a key of PuTTY; export it as an OpenSSH key" if putty else "is no private key of SSH"
    raise ValueError(reason)


def _read(path: Path) -> PKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from paramiko import ECDSAKey, Ed25519Key, RSAKey

    data = path.read_bytes()
    openssh = b"BEGIN OPENSSH PRIVATE KEY" in data
    load: Any = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    loaded = load(data, password=None)
    kinds: Mapping[type, Any] = {
        RSAPrivateKey: RSAKey,
        Ed25519PrivateKey: Ed25519Key,
        EllipticCurvePrivateKey: ECDSAKey,
    }
    made = next(kind for given, kind in kinds.items() if isinstance(loaded, given))
    text = loaded.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    # paramiko reads some kinds of key in OpenSSH's form only
    key: PKey = made.from_private_key(io.StringIO(text.decode()))
    certificate = path.with_name(f"{path.name}-cert.pub")
    if certificate.is_file():
        key.load_certificate(str(certificate))
    return key


def _public_half(path: Path) -> bytes | None:
    """The public key in a file, as it is sent; None where the file is none of a public key."""
    from cluster.provision.known_hosts import public_key

    try:
        return public_key(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _agent(path: str | None) -> AgentSSH:
    """The agent at a socket, without keys where none listens there."""
    agent = AgentSSH()
    if path is None:
        return agent
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(AGENT_WITHIN)
    try:
        link.connect(path)
        agent._connect(link)
    except (OSError, SSHException):
        link.close()
    return agent
