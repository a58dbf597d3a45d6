"""Who may ask a server on the loopback address: this machine's programs and the server's own pages."""

import asyncio

import pytest

from flows.prefect.guard import Guard, admitted


def headers(host, origin=None):
    given = [(b"host", host.encode())] if host is not None else []
    return [*given, (b"Origin", origin.encode())] if origin is not None else given


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "LOCALHOST", "[::1]:4200", "[::1]"])
def test_our_own_names_are_admitted(host):
    assert admitted(headers(host))
    assert admitted(headers(host, f"http://{host}"))


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "evil.example:4200", "127.0.0.1.evil.example", "127.0.0.1:x", "10.0.0.1"],
)
def test_other_names_are_refused(host):
    """DNS rebinding: another site's name resolves to this machine."""
    assert not admitted(headers(host))
    assert not admitted(headers(host, f"http://{host}"))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:81", "https://127.0.0.1:80"]
)
def test_other_pages_are_refused(origin):
    assert not admitted(headers("127.0.0.1:80", origin))


def test_two_hosts_are_refused():
    assert not admitted([*headers("127.0.0.1"), *headers("evil.example")])


@pytest.mark.parametrize(("kind", "end"), [("http", 403), ("websocket", 1008)])
def test_what_is_refused_never_reaches_the_application(kind, end):
    sent, asked = [], []

    async def app(scope, receive, send):
        asked.append(scope)

    async def send(message):
        sent.append(message)

    guard = Guard(app)
    asyncio.run(guard({"type": kind, "headers": headers("evil.example")}, None, send))
    assert not asked
    assert end in (sent[0].get("status"), sent[0].get("code"))
    asyncio.run(guard({"type": kind, "headers": headers("127.0.0.1")}, None, send))
    asyncio.run(guard({"type": "lifespan"}, None, send))
    assert len(asked) == 2
