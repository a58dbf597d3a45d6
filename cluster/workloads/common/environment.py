"""The environment variables of a container."""

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Environment:
    """The environment of a container.

    Attributes:
        app: application.
        node: node that it runs on.
        slot: its place there.
        scale: size of a unit of work and of its data; 1 is the published size.
        redis: `host:port` of the Redis on the same node; None where there is none.
        memcached: `host:port` of the node's memcached; None where there is none.
        origin: URL of the store of images across the network; None where there is none.
        bind: address to listen on. Loopback by default: images set all interfaces, which is the
            container's own network.
        port: to listen on; 0 for any free one.
    """

    app: str = "app"
    node: str = ""
    slot: str = ""
    scale: float = 1.0
    redis: str | None = None
    memcached: str | None = None
    origin: str | None = None
    bind: str = "127.0.0.1"
    port: int = 8080


def read_environment(values: Mapping[str, str] | None = None) -> Environment:
    """The environment as variables tell it.

    Args:
        values: variables; those of the process if None.

    Raises:
        SystemExit: a number is none; names the variable.
    """
    known = os.environ if values is None else values
    return Environment(
        app=known.get("METIS_APP") or "app",
        node=known.get("METIS_NODE", ""),
        slot=known.get("METIS_SLOT", ""),
        scale=number("WORK_SCALE", 1.0, known),
        redis=known.get("METIS_REDIS") or None,
        memcached=known.get("METIS_MEMCACHED") or None,
        origin=known.get("METIS_ORIGIN") or None,
        bind=known.get("METIS_BIND") or "127.0.0.1",
        port=int(number("METIS_PORT", 8080, known, least=0)),
    )


def number(name: str, default: float, values: Mapping[str, str] | None = None, least: float = 1e-6) -> float:
    """The variable `name` as a number of at least `least`.

    Raises:
        SystemExit: it is no such number.
    """
    given = (os.environ if values is None else values).get(name) or str(default)
    try:
        value = float(given)
    except ValueError:
        raise SystemExit(f"{name} {given!r}: give a number") from None
    if not least <= value <= 1e9:
        raise SystemExit(f"{name} {given}: give {least:g} or more")
    return value
