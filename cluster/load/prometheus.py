"""What a Prometheus server scraped of containers: rates now, counters of past hours; no load is added."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import numpy as np

from cluster.load.generator import LoadResult
from cluster.load.measurement import Results, scored
from cluster.settings import LoadSettings, MetricsSettings, WatchSettings, is_address
from cluster.spec import Container
from metis.errors import InputError, SurroundingsError
from metis.measure.counters import ContainerName, Counters

Progress = Callable[[int, int], None]

API, RANGE = "/api/v1/query", "/api/v1/query_range"
DAY = 24.0  # hours that are read where none are given
PART = 6.0  # hours that one query covers: a response stays small, however many containers there are
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
        data = _data(server, API, {"query": asked})
        if data.get("resultType") != "vector":
            raise SurroundingsError(
                f"{server}: {asked}: gives a {data.get('resultType')}, not a value by {INSTANCE}"
            )
        try:
            rates = {str(one["metric"].get(INSTANCE, "")): float(one["value"][1]) for one in data["result"]}
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            raise SurroundingsError(f"{server}: {asked}: no vector of Prometheus' HTTP API") from None
        return {address: rate for address, rate in rates.items() if rate >= 0}  # NaN: nothing is known


def counters_of(
    server: str, metrics: MetricsSettings, progress: Progress = lambda done, total: None
) -> dict[ContainerName, Counters]:
    """What containers counted in the last hours, by the labels `node`, `app` and `slot` of their series.

    The hours end now by the server's clock, which stamped the samples.

    Args:
        server: its address.
        metrics: which series, how long and how densely.
        progress: called with the queries done and all.

    Raises:
        InputError: the address is none.
        SurroundingsError: the server cannot be reached, refuses a query, returns something else, or has no
            such series.
    """
    if not is_address(server):
        raise InputError(
            f"{server!a}: is no address of a Prometheus server; give one such as http://HOST:9090"
        )
    server, hours = server.rstrip("/"), metrics.hours or DAY
    end = _now(server)
    series = (metrics.requests, metrics.seconds, metrics.work)
    spans = [(t, min(t + PART, hours)) for t in np.arange(0, hours, PART)]
    total, done = len(series) * len(spans), 0
    found: list[dict[ContainerName, dict[float, float]]] = []
    for query in series:
        values: dict[ContainerName, dict[float, float]] = {}
        for first, last in spans:
            begin = end - (hours - first) * 3600
            for name, samples in _range(
                server, query, begin, begin + (last - first) * 3600, metrics.interval
            ):
                values.setdefault(name, {}).update(samples)
            done += 1
            progress(done, total)
        found.append(values)
    requests, seconds, work = found
    for query, values in zip(series[:2], found[:2], strict=True):
        if not values:
            raise SurroundingsError(
                f"{server}: has no series {query!r} with the labels node and app in the last "
                f"{hours:g} hours; name others by metrics.requests and metrics.seconds"
            )
    made = {}
    for one in requests.keys() & seconds.keys():
        both = requests[one].keys() & seconds[one].keys()
        # what was updated while it ran may count work from some hour on
        worked = work.get(one, {})
        times = sorted(both & worked.keys() if worked else both)
        served, spent = (np.array([values[t] for t in times]) for values in (requests[one], seconds[one]))
        own = np.array([worked[t] for t in times]) if worked else None
        if times:
            made[one] = Counters(np.array(times), served, spent, own)
    return made


def _now(server: str) -> float:
    """The server's time, Unix seconds."""
    data = _data(server, API, {"query": "time()"})
    try:
        return float(data["result"][1])
    except (KeyError, TypeError, ValueError, IndexError):
        raise SurroundingsError(f"{server}: time(): no scalar of Prometheus' HTTP API") from None


def _range(
    server: str, query: str, begin: float, end: float, step: float
) -> list[tuple[ContainerName, dict[float, float]]]:
    """Samples of each container; see Prometheus' documentation, "HTTP API", range queries."""
    asked = {"query": query, "start": f"{begin:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
    data = _data(server, RANGE, asked)
    if data.get("resultType") != "matrix":
        raise SurroundingsError(f"{server}: {query}: gives a {data.get('resultType')}, not series")
    found = []
    try:
        for one in data["result"]:
            labels = one["metric"]
            if not labels.get("node") or not labels.get("app"):
                continue
            name = ContainerName(labels["node"], labels["app"], labels.get("slot", labels.get(INSTANCE, "")))
            samples = {round(float(t), 3): float(value) for t, value in one["values"]}
            found.append((name, {t: value for t, value in samples.items() if value >= 0}))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise SurroundingsError(f"{server}: {query}: no matrix of Prometheus' HTTP API") from None
    return found


def _data(server: str, path: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """The data of a response that reports success."""
    document = _read(f"{server}{path}?{urlencode(asked)}", server)
    data = document.get("data")
    if document.get("status") != "success" or not isinstance(data, dict):
        raise SurroundingsError(f"{server}: {asked['query']}: {document.get('error') or 'refused'}")
    return data


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
