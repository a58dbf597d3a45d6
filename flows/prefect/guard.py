"""A guard before a server on the loopback address: keeps out other pages and other names for this machine.

Any web page may send a request to a server on this machine, and may have its own name resolve to it (DNS
rebinding); a browser says which name it asked for (`Host`) and which page asks (`Origin`).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

Message = Mapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
Receive = Callable[[], Awaitable[Any]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
REFUSED = b"refused: open this server by its address on the machine itself, http://127.0.0.1:PORT\n"


class Guard:
    """An ASGI application that passes on what this machine's own programs and the server's own pages ask."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] in ("http", "websocket") and not admitted(scope.get("headers", ())):
            await _refuse(scope["type"], send)
            return
        await self._app(scope, receive, send)


def admitted(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request names the loopback address as its host, and comes from no other page.

    The port may be another one: a tunnel has its own.
    """
    values: dict[bytes, list[str]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value.decode("latin-1").lower())
    hosts = values.get(b"host", [])
    if len(hosts) != 1 or not _is_loopback(hosts[0]):
        return False
    return all(origin == f"http://{hosts[0]}" for origin in values.get(b"origin", []))


def _is_loopback(host: str) -> bool:
    name, _, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    return name in LOOPBACK and (not port or (port.isascii() and port.isdigit()))


async def _refuse(kind: str, send: Send) -> None:
    if kind == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(REFUSED)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSED})
