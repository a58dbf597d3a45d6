"""Measurements of what runs: rates, whole co-locations out of containers, and what is not believed."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cluster.images.catalog import Workload
from cluster.load.generator import LoadResult
from cluster.load.measurement import SCRAPER, CounterMeasurement, chunks, live_profile, scored, target_of
from cluster.settings import LoadSettings
from cluster.spec import Container
from metis.errors import SurroundingsError
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("Redis", "MMS"), 3)
ALONE = {"Redis": 100.0, "MMS": 10.0}
NODES = ("worker-1", "worker-2", "worker-3")


def container(app: str, node: str, slot: int, port: int = 0) -> Container:
    name = f"metis-deploy-{node}-{slot}"
    return Container(app, node, slot, name, port or 8081 + slot, "127.0.0.1")


def result(rps: float, failures: int = 0) -> LoadResult:
    return LoadResult(rps, 0.1, 0.2, requests=100, failures=failures, seconds=10.0, error="status 503")


def standing(running) -> list[Container]:
    found = []
    for node, counts in zip(NODES, running, strict=True):
        held = [app for app, count in zip(SPACE.apps, counts, strict=True) for _ in range(count)]
        found += [container(app, node, slot) for slot, app in enumerate(held)]
    return found


def test_co_locations_are_normalised_averaged_and_merged_by_their_median():
    running = np.array([[1, 2], [1, 2], [0, 1]])
    rates = {
        ("worker-1", 0): 50.0,
        ("worker-1", 1): 20.0,
        ("worker-1", 2): 30.0,
        ("worker-2", 0): 60.0,
        ("worker-2", 1): 24.0,
        ("worker-2", 2): 24.0,
        ("worker-3", 0): 10.0,
    }
    containers = standing(running)
    heard = {one.name: result(rates[one.node, one.slot]) for one in containers}
    live = live_profile(SPACE, NODES, running, containers, heard, ALONE)
    assert not live.silent
    found = {
        tuple(row): rps.tolist() for row, rps in zip(live.profile.colocations, live.profile.rps, strict=True)
    }
    assert found[1, 2] == pytest.approx([0.55, 2.45])  # median of 0.5 and 0.6; of 2.5 and 2.4
    assert np.isnan(found[0, 1][0])
    assert found[0, 1][1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("heard", "says"),
    [
        (replace(result(0.0), requests=0), "no request ended within 10 s"),
        (result(5000.0), "reached 5000"),
        (result(5.0, failures=80), "80 of 100 requests failed (mostly: status 503)"),
        ("its counters cannot be read", "MMS in slot 1: its counters cannot be read"),
        (None, "MMS in slot 1: was not measured"),
    ],
)
def test_a_node_with_one_container_not_known_says_nothing_but_why(heard, says):
    running = np.array([[1, 1], [1, 0], [0, 0]])
    containers = standing(running)
    told = {one.name: result(90.0) for one in containers} | {containers[1].name: heard}
    if heard is None:
        del told[containers[1].name]
    live = live_profile(SPACE, NODES, running, containers, scored(told, 0.5), ALONE)
    assert list(live.silent) == ["worker-1"]
    assert says in live.silent["worker-1"]
    assert live.profile.colocations.tolist() == [[1, 0]]


def test_a_node_that_lacks_a_container_is_no_measurement_of_what_was_meant():
    running = np.array([[1, 1], [0, 0], [0, 0]])
    containers = standing(running)[:1]
    live = live_profile(SPACE, NODES, running, containers, {containers[0].name: result(90.0)}, ALONE)
    assert live.silent == {"worker-1": "0 of 1 containers of MMS run"}
    assert len(live.profile) == 0


def test_without_a_stand_alone_rps_nothing_can_be_compared():
    with pytest.raises(SurroundingsError, match="no stand-alone RPS of MMS"):
        live_profile(SPACE, NODES, np.zeros((3, 2), dtype=np.int64), [], {}, {"Redis": 100.0})


def test_targets_have_the_settings_of_their_application_first():
    workload = Workload("Redis", Path(), path="/work", users=7, sla=0.75)
    settings = LoadSettings(users=4, sla=None, timeout=3.0)
    one = target_of(container("Redis", "worker-1", 0), workload, settings)
    assert (one.url, one.users, one.sla, one.timeout) == ("http://127.0.0.1:8081/work", 7, 0.75, 3.0)
    plain = target_of(container("Redis", "worker-1", 0), Workload("Redis", Path()), settings)
    assert (plain.url, plain.users, plain.sla) == ("http://127.0.0.1:8081/", 4, None)


def test_nodes_take_turns():
    containers = standing(np.array([[1, 2], [1, 2], [0, 1]]))
    assert chunks(NODES, containers, 1, 100) == [["worker-1"], ["worker-2"], ["worker-3"]]
    assert chunks(NODES, containers, None, 100) == [list(NODES)]
    assert chunks(NODES, containers, None, 4) == [["worker-1"], ["worker-2", "worker-3"]]
    assert chunks(NODES, containers, 2, 1) == [["worker-1"], ["worker-2"], ["worker-3"]]


class Counting(BaseHTTPRequestHandler):
    """Counters as a workload serves them; each reading finds 30 requests more, 6 of them failed."""

    def do_GET(self) -> None:
        self.server.readings += 1
        if self.server.broken:
            self.send_error(503)
            return
        count = self.server.readings if self.server.grows else 10 - self.server.readings
        text = (
            "# TYPE metis_requests_total counter\n"
            f'metis_requests_total{{app="MMS"}} {30 * count}\n'
            f'metis_request_failures_total{{app="MMS"}} {6 * count}\n'
        )
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def counters() -> Iterator[list[ThreadingHTTPServer]]:
    """Three containers: a sound one, one that is started anew, one that fails."""
    servers = []
    for grows, broken in ((True, False), (False, False), (True, True)):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Counting)
        server.readings, server.grows, server.broken = 0, grows, broken
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
    yield servers
    for server in servers:
        server.shutdown()
        server.server_close()


class Here:
    """A backend whose client is this machine: scripts run in a process of their own."""

    inventory = SimpleNamespace(clients=["client-1"])

    def run_script(self, client, script, timeout):
        assert client == "client-1"
        done = subprocess.run(
            [sys.executable, "-"], input=script, capture_output=True, text=True, timeout=timeout, check=True
        )
        return done.stdout


def test_counters_read_twice_give_the_rate_of_good_answers(counters):
    containers = [
        container("MMS", "worker-1", slot, server.server_address[1]) for slot, server in enumerate(counters)
    ]
    heard = CounterMeasurement(Here(), LoadSettings(duration=0.5))(containers)
    sound, anew, broken = (heard[one.name] for one in containers)
    assert isinstance(sound, LoadResult)
    assert (sound.requests, sound.failures) == (30, 6)
    assert sound.seconds >= 0.5
    assert sound.rps == pytest.approx(24 / sound.seconds)
    assert "started anew" in str(anew)
    assert "503" in str(broken)


def test_a_container_that_is_silent_is_a_reason_not_an_error():
    one = container("MMS", "worker-1", 0, 1)  # nothing listens on port 1
    heard = CounterMeasurement(Here(), LoadSettings(duration=0.5))([one])
    assert "cannot be read" in str(heard[one.name])


def test_the_scraper_needs_nothing_but_python():
    script = f"{SCRAPER.read_text()}\nmain([], 0)\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-"],
        input=script,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert json.loads(done.stdout) == {}
