"""Running containers measured by what a Prometheus server scraped of them; no load is added."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from cluster.load.generator import LoadResult
from cluster.load.measurement import Results, scored
from cluster.settings import LoadSettings, WatchSettings
from cluster.spec import Container
from metis.errors import SurroundingsError

API = "/api/v1/query"
TIMEOUT = 10.0
MOST_BYTES = 1 << 26
INSTANCE = "instance"  # the label that holds a target's address and port


class PrometheusMeasurement:
    """Measures containers by the rates that a Prometheus server knows of them.

    Args:
        watch: address of the server, and the queries.
        load: how many requests may fail, and over how long rates are taken.
    """

    def __init__(self, watch: WatchSettings, load: LoadSettings) -> None:
        self._watch = watch
        self._load = load

    def __call__(self, containers: Sequence[Container]) -> Results:
        """What each of the containers reached, by name, or why it does not count.

        Raises:
            SurroundingsError: the server cannot be reached, refuses a query, or returns something else.
        """
        requests, failures = (self._rates(query) for query in (self._watch.requests, self._watch.failures))
        found: dict[str, LoadResult | str] = {}
        for one in containers:
            address = f"{one.address}:{one.port}"
            if address not in requests:
                found[one.name] = f"Prometheus has no requests of {INSTANCE} {address}"
            else:
                found[one.name] = self._result(requests[address], failures.get(address, 0.0))
        return scored(found, self._load.most_failures)

    def _result(self, requests: float, failures: float) -> LoadResult:
        seconds, nan = self._load.duration, float("nan")
        counted = (round(requests * seconds), round(failures * seconds))
        return LoadResult(requests - failures, nan, nan, *counted, seconds)

    def _rates(self, query: str) -> dict[str, float]:
        """Per second, by address and port; see Prometheus' documentation, "HTTP API", instant queries."""
        asked = query.replace("$window", f"{max(round(self._load.duration), 1)}s")
        server = str(self._watch.prometheus).rstrip("/")
        document = _read(f"{server}{API}?{urlencode({'query': asked})}", server)
        data = document.get("data")
        if document.get("status") != "success" or not isinstance(data, dict):
            raise SurroundingsError(f"{server}: {asked}: {document.get('error') or 'refused'}")
        if data.get("resultType") != "vector":
            raise SurroundingsError(
                f"{server}: {asked}: gives a {data.get('resultType')}, not a value by {INSTANCE}"
            )
        try:
            rates = {str(one["metric"].get(INSTANCE, "")): float(one["value"][1]) for one in data["result"]}
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise SurroundingsError(f"{server}: {asked}: no vector of Prometheus' HTTP API") from None
        return {address: rate for address, rate in rates.items() if rate >= 0}  # NaN: nothing is known


def _read(url: str, server: str) -> dict[str, Any]:
    # no proxy: the server stands beside the cluster
    opener = build_opener(ProxyHandler({}))
    try:
        try:
            with opener.open(url, timeout=TIMEOUT) as response:
                content = response.read(MOST_BYTES + 1)
        except HTTPError as error:  # it says in JSON what it refuses
            with error:
                content = error.read(MOST_BYTES)
        document = json.loads(content)
    except (URLError, OSError) as error:
        raise SurroundingsError(f"{server}: Prometheus does not respond ({error})") from None
    except (ValueError, RecursionError):
        raise SurroundingsError(f"{server}: what responds is no HTTP API of Prometheus") from None
    if not isinstance(document, dict):
        raise SurroundingsError(f"{server}: what responds is no HTTP API of Prometheus")
    return document
