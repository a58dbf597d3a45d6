"""Containers measured by the HTTP API that Prometheus documents, from a server on loopback."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from cluster.load.prometheus import PrometheusMeasurement
from cluster.settings import LoadSettings, WatchSettings
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
        code, document = self.server.responses["failures" if "failures" in query else "requests"]
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
