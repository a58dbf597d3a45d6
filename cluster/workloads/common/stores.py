"""Where data comes from: a Redis, a memcached, an origin over HTTP. Small clients, standard library only."""

import http.client
import io
import socket
from collections.abc import Callable
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import urlsplit

CHUNK = 1_000_000  # bytes; an item of memcached must stay below 1 MiB with its key
BUFFER = 1 << 18
TIMEOUT = 20.0
CONNECT_TIMEOUT = 2.0

T = TypeVar("T")


class StoreError(Exception):
    """A store does not reply, or not as it should."""


class Store(Protocol):
    """Keeps values by key."""

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""

    def set(self, key: str, value: bytes) -> None:
        """Store a value."""


class _Connection:
    """A TCP connection that is made when first needed, and again after it broke.

    Args:
        kind: of server, for errors.
        address: `host:port`.
    """

    def __init__(self, kind: str, address: str) -> None:
        self._name = f"{kind} {address}"
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit():
            raise SystemExit(f"{self._name}: give host:port")
        self._address = (host, int(port))
        self._socket: socket.socket | None = None
        self._reader: BinaryIO | None = None

    def close(self) -> None:
        """Close it; the next use opens it again."""
        for thing in (self._reader, self._socket):
            if thing is not None:
                thing.close()
        self._socket = self._reader = None

    def _ask(self, words: bytes, parse: Callable[[BinaryIO], T]) -> T:
        """Send `words` and read what `parse` reads; once more over a new connection if an old one broke."""
        for old in (self._socket is not None, False):
            try:
                connection, reader = self._opened()
                connection.sendall(words)
                return parse(reader)
            except (OSError, ValueError, StoreError) as error:
                # half a reply may be left on the wire: never read on from here
                self.close()
                if not old:
                    raise StoreError(f"{self._name}: {error}") from None
        raise AssertionError("the second try returns or raises")

    def _opened(self) -> tuple[socket.socket, BinaryIO]:
        if self._socket is None or self._reader is None:
            self._socket = socket.create_connection(self._address, CONNECT_TIMEOUT)
            self._socket.settimeout(TIMEOUT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._reader = io.BufferedReader(self._socket.makefile("rb", 0), BUFFER)
        return self._socket, self._reader


class Redis(_Connection):
    """A Redis: values of up to 512 MB."""

    def __init__(self, address: str) -> None:
        super().__init__("Redis", address)

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""
        return self._command(b"GET", key.encode())

    def set(self, key: str, value: bytes) -> None:
        """Store a value."""
        self._command(b"SET", key.encode(), value)

    def ping(self) -> None:
        """Raise StoreError unless it replies."""
        self._command(b"PING")

    def _command(self, *words: bytes) -> bytes | None:
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            parts += [b"$%d\r\n" % len(word), word, b"\r\n"]
        return self._ask(b"".join(parts), _redis_answer)


class Memcached(_Connection):
    """A memcached: values of up to `CHUNK` bytes."""

    def __init__(self, address: str) -> None:
        super().__init__("memcached", address)

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""
        return self.get_many([key]).get(key)

    def get_many(self, keys: list[str]) -> dict[str, bytes]:
        """The values of those keys that have one, in one exchange."""
        return self._ask(f"get {' '.join(keys)}\r\n".encode(), _memcached_values)

    def set(self, key: str, value: bytes) -> None:
        """Store a value."""
        self._ask(b"set %s 0 0 %d\r\n%s\r\n" % (key.encode(), len(value), value), _memcached_stored)


class Parts:
    """Values of any length in a memcached, as several items."""

    def __init__(self, memcached: Memcached) -> None:
        self._memcached = memcached

    def get(self, key: str) -> bytes | None:
        """The value; None where it, or any part of it, is gone."""
        head = self._memcached.get(key)
        if head is None or not head.isdigit():
            return None
        names = [f"{key}.{part}" for part in range(int(head))]
        parts = self._memcached.get_many(names)
        return b"".join(parts[name] for name in names) if len(parts) == len(names) else None

    def set(self, key: str, value: bytes) -> None:
        """Store a value. The head comes last, so that no half is ever read."""
        starts = range(0, max(len(value), 1), CHUNK)
        for part, start in enumerate(starts):
            self._memcached.set(f"{key}.{part}", value[start : start + CHUNK])
        self._memcached.set(key, str(len(starts)).encode())


class Origin:
    """Files over HTTP, a new connection for each, as one who comes from afar would.

    Args:
        url: `http://host:port`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise SystemExit(f"origin {url}: give http://host:port")
        self._url = url
        self._host, self._port = parts.hostname, parts.port or 80

    def get(self, path: str) -> bytes:
        """What lies at `path`.

        Raises:
            StoreError: nothing does, or the origin does not respond.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StoreError(f"origin {self._url}: {error}") from None
        finally:
            connection.close()
        if response.status != 200:
            raise StoreError(f"origin {self._url}: {path}: status {response.status}")
        return body


def _line(reader: BinaryIO) -> bytes:
    line = reader.readline()
    if not line.endswith(b"\r\n"):
        raise StoreError("closed the connection")
    return line[:-2]


def _exactly(reader: BinaryIO, size: int) -> bytes:
    data = reader.read(size + 2)
    if len(data) != size + 2:
        raise StoreError("closed the connection")
    return data[:-2]


def _redis_answer(reader: BinaryIO) -> bytes | None:
    line = _line(reader)
    if line[:1] == b"$":
        size = int(line[1:])
        return None if size < 0 else _exactly(reader, size)
    if line[:1] in (b"+", b":"):
        return line[1:]
    raise StoreError(line.decode(errors="replace"))


def _memcached_values(reader: BinaryIO) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    while (line := _line(reader)) != b"END":
        words = line.split()
        if len(words) != 4 or words[0] != b"VALUE":
            raise StoreError(line.decode(errors="replace"))
        found[words[1].decode()] = _exactly(reader, int(words[3]))
    return found


def _memcached_stored(reader: BinaryIO) -> None:
    line = _line(reader)
    if line != b"STORED":
        raise StoreError(line.decode(errors="replace"))
