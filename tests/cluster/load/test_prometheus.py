"""Containers measured by the HTTP API that Prometheus documents, from a server on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from cluster.load.prometheus import PrometheusMeasurement, counters_of
from cluster.settings import LoadSettings, MetricsSettings, WatchSettings
from cluster.spec import Container
from metis.errors import InputError, SurroundingsError

LOAD = LoadSettings(duration=30.0)


def vector(**rates):
    """A response to an instant query (Prometheus' documentation, "HTTP API")."""
    result = [
        {"metric": {"instance": f"127.0.0.1:{port.strip('_')}"}, "value": [1435781451.781, rate]}
        for port, rate in rates.items()
    ]
    return 200, {"status": "success", "data": {"resultType": "vector", "result": result}}


class Server(ThreadingHTTPServer):
    """Responds by what a query begins with, and notes what it was asked."""

    responses: dict[str, tuple[int, object]]
    asked: list[tuple[str, str]]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        query = parse_qs(url.query)["query"][0]
        self.server.asked.append((url.path, query))
        known = self.server.responses
        code, document = known.get(query) or known["failures" if "failures" in query else "requests"]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(document if isinstance(document, bytes) else json.dumps(document).encode())

    def log_message(self, *words):
        """Print nothing."""


@pytest.fixture
def server():
    made = Server(("127.0.0.1", 0), Handler)
    made.asked, made.responses = [], {"requests": vector(), "failures": vector()}
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def measured(server, *ports):
    address = f"http://127.0.0.1:{server.server_port}/"
    watch = WatchSettings(source="prometheus", prometheus=address)
    containers = [
        Container("Redis", "worker-1", i, f"c{i}", port, "127.0.0.1") for i, port in enumerate(ports)
    ]
    return PrometheusMeasurement(watch, LOAD)(containers)


def test_rates_are_those_of_the_address_less_what_failed(server):
    server.responses = {"requests": vector(_8081="100.5", _8082="20"), "failures": vector(_8081="0.5")}
    found = measured(server, 8081, 8082, 8083)
    assert (found["c0"].rps, found["c0"].requests, found["c0"].failures) == (100.0, 3015, 15)
    assert found["c1"].rps == 20.0
    assert found["c2"] == "Prometheus has no requests of instance 127.0.0.1:8083"
    assert server.asked[0] == (
        "/api/v1/query",
        "sum by (instance) (rate(metis_requests_total[30s]))",
    )


def test_what_fails_too_often_or_serves_nothing_does_not_count(server):
    server.responses = {"requests": vector(_1="10", _2="0", _3="NaN"), "failures": vector(_1="9")}
    found = measured(server, 1, 2, 3)
    assert "requests failed" in found["c0"]
    assert "no request ended" in found["c1"]
    assert "has no requests" in found["c2"]


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ((400, {"status": "error", "errorType": "bad_data", "error": "parse error"}), "parse error"),
        (
            (200, {"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}),
            "gives a scalar",
        ),
        ((200, {"status": "success", "data": {"resultType": "vector", "result": [{}]}}), "no vector"),
        ((200, b"<html>"), "no HTTP API of Prometheus"),
        ((200, [1]), "no HTTP API of Prometheus"),
    ],
)
def test_what_the_server_refuses_is_one_line(server, response, message):
    server.responses["requests"] = response
    with pytest.raises(SurroundingsError, match=message):
        measured(server, 1)


def test_a_server_that_does_not_respond_is_named(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(
        SurroundingsError, match=f"http://127.0.0.1:{server.server_port}: Prometheus does not"
    ):
        measured(server, 1)


@pytest.mark.parametrize("address", [None, "10.0.0.5:9090"])
def test_the_address_of_the_server_must_be_given(address):
    with pytest.raises(InputError, match="needs the server's address"):
        WatchSettings(source="prometheus", prometheus=address).check_source()
    WatchSettings(prometheus=address).check_source()  # another source needs none


def matrix(*values, **labels):
    """A response to a range query: samples of one container, 300 s apart."""
    samples = [[1000.0 + 300 * i, str(value)] for i, value in enumerate(values)]
    metric = {"app": "Redis", "node": "n1", "slot": "2", **labels}
    result = [{"metric": metric, "values": samples}] if values else []
    return 200, {"status": "success", "data": {"resultType": "matrix", "result": result}}


SETTINGS = MetricsSettings(hours=8)
CLOCK = (200, {"status": "success", "data": {"resultType": "scalar", "result": [90_000.0, "90000.0"]}})
SERIES = {
    "time()": CLOCK,
    SETTINGS.requests: matrix(0, 30, "NaN", 60),
    SETTINGS.seconds: matrix(0, 3, 4, 6),
    SETTINGS.work: matrix(),
}


def counted(server):
    return counters_of(f"http://127.0.0.1:{server.server_port}/", SETTINGS)


def test_counters_of_hours_past_by_the_clock_of_the_server(server):
    server.responses = dict(SERIES)
    ((name, found),) = counted(server).items()
    assert name == ("n1", "Redis", "2")
    assert found.time.tolist() == [1000.0, 1300.0, 1900.0]
    assert (found.requests.tolist(), found.seconds.tolist(), found.work) == ([0, 30, 60], [0, 3, 6], None)
    assert server.asked[0] == ("/api/v1/query", "time()")
    assert [path for path, _ in server.asked[1:]] == ["/api/v1/query_range"] * 6  # of each series 6 + 2 hours
    server.responses[SETTINGS.work] = matrix(0, 2, 2, 5)
    ((_, found),) = counted(server).items()
    assert found.work.tolist() == [0, 2, 5]


@pytest.mark.parametrize(
    "address",
    ["http://", "http://:9090", "http://a:port", "http://a:0", "http://[a", "http://a b", "day.csv"],
)
def test_an_address_that_none_can_have_is_a_mistake_of_the_user(address):
    with pytest.raises(
        InputError, match="is no address of a Prometheus server; give one such as http://HOST:9090"
    ):
        counters_of(address, SETTINGS)
    with pytest.raises(InputError, match="needs the server's address"):
        WatchSettings(source="prometheus", prometheus=address).check_source()


@pytest.mark.parametrize(
    ("query", "response", "message"),
    [
        (SETTINGS.requests, matrix(), "has no series 'metis_request_seconds_count' with the labels node and"),
        (SETTINGS.seconds, matrix(1, node=""), "has no series 'metis_request_seconds_sum'"),
        (SETTINGS.work, vector(), "gives a vector, not series"),
        ("time()", vector(), "no scalar"),
        (SETTINGS.work, (400, {"status": "error", "error": "too many points"}), "too many points"),
    ],
)
def test_hours_past_that_a_server_does_not_have_are_one_line(server, query, response, message):
    server.responses = {**SERIES, query: response}
    with pytest.raises(SurroundingsError, match=message):
        counted(server)
