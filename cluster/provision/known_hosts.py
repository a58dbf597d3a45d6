"""Files of known SSH hosts, as sshd(8) describes them: hashed names, patterns, authorities, revoked keys."""

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from metis.errors import SurroundingsError

AUTHORITY, REVOKED = "@cert-authority", "@revoked"
HASHED = "|1|"


@dataclass(frozen=True)
class HostKey:
    """A public key.

    Attributes:
        kind: such as `ssh-ed25519`.
        blob: the key as it is sent.
    """

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """Kind and SHA256 fingerprint, as `ssh-keygen -lf` prints the latter."""
        digest = base64.b64encode(hashlib.sha256(self.blob).digest()).decode().rstrip("=")
        return f"{self.kind} SHA256:{digest}"

    @property
    def line(self) -> str:
        """The key as a file of known hosts has it, without names."""
        return f"{self.kind} {base64.b64encode(self.blob).decode()}"


@dataclass(frozen=True)
class Known:
    """What files of known hosts hold about one host.

    Attributes:
        keys: of the host itself.
        authorities: whose certificates count for it.
        revoked: keys that count for no host.
        damaged: `FILE: line N` of lines that cannot be read.
    """

    keys: tuple[HostKey, ...] = ()
    authorities: tuple[HostKey, ...] = ()
    revoked: frozenset[bytes] = frozenset()
    damaged: tuple[str, ...] = ()

    @property
    def kinds(self) -> list[str]:
        """Kinds of keys to ask the host for, the best first: certificates where they count, those known."""
        certified = [f"{kind}-cert-v01@openssh.com" for one in KINDS for kind in _signed_as(one)]
        plain = dict.fromkeys(key.kind for key in self.keys if key.kind in KINDS)
        return (certified if self.authorities else []) + [kind for one in plain for kind in _signed_as(one)]


# those that paramiko verifies
KINDS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def _signed_as(kind: str) -> tuple[str, ...]:
    """The names of the signatures that a kind of key makes: RSA has two."""
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def known_of(name: str, files: Iterable[Path]) -> Known:
    """What `files` hold about a host; of its own keys, those of the first file that has any.

    Args:
        name: of the host there: its address, or `[address]:port` for another port than 22.
        files: the first one counts most; missing ones hold nothing.

    Raises:
        SurroundingsError: a file cannot be read; names it.
    """
    keys: list[HostKey] = []
    authorities: list[HostKey] = []
    revoked: set[bytes] = set()
    damaged: list[str] = []
    bare = bare_name(name)
    for path in files:
        own: list[HostKey] = []
        for number, line in enumerate(_lines(path), 1):
            marker, names, key = _parsed(line)
            if key is None:
                damaged += [f"{path}: line {number}"] if names else []
            elif marker == REVOKED and (matches(names, name) or matches(names, bare)):
                revoked.add(key.blob)
            elif marker == AUTHORITY and (matches(names, name) or matches(names, bare)):
                authorities.append(key)
            elif not marker and matches(names, name):
                own.append(key)
        keys = keys or own
    return Known(tuple(keys), tuple(authorities), frozenset(revoked), tuple(damaged))


def replaced(path: Path, name: str, lines: Iterable[str]) -> str:
    """The text of a file of known hosts with `lines` (kind and base64 each) as the only keys of `name`.

    All else stays, lines that cannot be read and those with a marker included.
    """
    kept = []
    for line in _lines(path):
        marker, names, key = _parsed(line)
        if key is None or marker:
            kept.append(line)
        elif names.startswith(HASHED):
            kept += [] if matches(names, name) else [line]
        elif others := ",".join(one for one in names.split(",") if one.lower() != name.lower()):
            kept.append(f"{others} {line.split(maxsplit=1)[1]}")
    return "".join(f"{line}\n" for line in [*kept, *(f"{name} {line}" for line in lines)])


def bare_name(name: str) -> str:
    """The name without a port: certificates are for machines, whatever port they listen on."""
    return name[1:].rpartition("]:")[0] if name.startswith("[") else name


def matches(names: str, name: str) -> bool:
    """Whether `names` of a line, a hash or a list of patterns, mean the host `name`."""
    if names.startswith(HASHED):
        salt, _, digest = names[len(HASHED) :].partition("|")
        try:
            wanted = base64.b64decode(digest, validate=True)
            made = hmac.new(base64.b64decode(salt, validate=True), name.lower().encode(), "sha1").digest()
        except binascii.Error:
            return False
        return hmac.compare_digest(made, wanted)
    patterns = names.split(",")
    if any(one.startswith("!") and pattern_matches(one[1:], name) for one in patterns):
        return False
    return any(pattern_matches(one, name) for one in patterns)


def pattern_matches(pattern: str, name: str) -> bool:
    """Whether a pattern of ssh_config(5) means `name`: `*` any letters, `?` one; brackets are letters."""
    return _pattern(pattern.lower()).fullmatch(name.lower()) is not None


@cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in text))


def certificate_fault(certificate: bytes, name: str, known: Known) -> str | None:
    """What is wrong with a host's certificate; None where nothing is.

    Args:
        certificate: as the host sent it.
        name: of the host.
        known: whose authorities sign.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.serialization import SSHCertificateType, load_ssh_public_identity

    try:
        kind = certificate[4 : 4 + int.from_bytes(certificate[:4], "big")]
        read: Any = load_ssh_public_identity(kind + b" " + base64.b64encode(certificate))
        read.verify_cert_signature()
        signed_by = _blob(read.signature_key())
    except (ValueError, TypeError, AttributeError, InvalidSignature):
        return "cannot be read"
    principals = [one.decode(errors="replace") for one in read.valid_principals]
    if signed_by in known.revoked:
        return "is signed by a revoked key"
    if signed_by not in {one.blob for one in known.authorities}:
        return "is signed by an authority that is not trusted"
    if read.type is not SSHCertificateType.HOST:
        return "is one of a user"
    if not any(pattern_matches(one, bare_name(name)) for one in principals):
        return f"is for {', '.join(principals) or 'no host'}"
    if not read.valid_after <= time.time() < read.valid_before:
        return "is not valid at this time"
    return "asks for what is unknown" if read.critical_options else None


def public_key(text: str) -> bytes | None:
    """The key of a line as a `.pub` file has it, as it is sent; None where it is no such line."""
    words = text.split(maxsplit=2)
    key = _key(*words[:2]) if len(words) > 1 else None
    return key.blob if key else None


def _blob(key: Any) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    line: bytes = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


def _lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    try:
        # whatever is in it: one damaged line does not make the others unknown
        yield from path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError as error:
        raise SurroundingsError(f"{path}: cannot be read ({error.strerror})") from None


def _parsed(line: str) -> tuple[str, str, HostKey | None]:
    """Marker, names and key of a line; a comment has no names, a damaged line no key."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return "", "", None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3 or marker not in ("", AUTHORITY, REVOKED):
        return marker, line, None
    return marker, words[0], _key(words[1], words[2])


def _key(kind: str, text: str) -> HostKey | None:
    try:
        blob = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    named = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    return HostKey(kind, blob) if named == kind.encode("utf-8", "surrogateescape") else None
