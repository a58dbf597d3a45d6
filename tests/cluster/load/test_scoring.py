"""One rule for what a load counts as: profiling and watching read the same off the same load."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cluster.backend import JobResult
from cluster.host_counters import HostCounters
from cluster.images.catalog import Workload
from cluster.load.duet import load_in_turns, turns_of
from cluster.load.generator import LOADFILE, LoadResult, Target, load_from
from cluster.load.measurement import LoadMeasurement, live_profile, target_of
from cluster.load.scoring import combine, implausible, refusal
from cluster.load.sittings import Sittings
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LoadSettings
from cluster.spec import Container
from cluster.testbed import ClusterTestbed
from metis.measure.testbed import UnmeasuredError
from metis.problem.space import ColocationSpace

# every third response takes longer than the limit; below /broken two of three fail as well
SERVER = """
import sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

counts, lock = {}, threading.Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        with lock:
            count = counts[self.path] = counts.get(self.path, 0) + 1
        time.sleep(0.3 if count % 3 == 0 or self.path == "/late" else 0.01)
        self.send_response(500 if self.path == "/broken" and count % 3 else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"""
SETTINGS = LoadSettings(users=1, duration=3.0, warm_up=0.2, sla=0.15, most_failures=0.3)
SOUND = LoadResult(10.0, 0.1, 0.2, requests=100, failures=0, seconds=10.0)
HOSTS = (Host("m", "manager", "127.0.0.1"), Host("w1", "worker", "127.0.0.1"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, ""),
        ({"failures": 50}, ""),
        ({"failures": 51, "error": "timeout"}, "51 of 100 requests failed (mostly: timeout)"),
        ({"failures": 51}, "51 of 100 requests failed (mostly: unknown)"),
        ({"late": 100, "rps": 0.0}, ""),  # late is not failed
        ({"failures": 40, "late": 60, "rps": 0.0}, ""),
        ({"requests": 0}, "no request ended within 10 s"),
    ],
)
def test_only_failures_refuse_a_result(change, says):
    assert refusal(replace(SOUND, **change), most_failures=0.5) == says


@pytest.mark.parametrize("rps", [2001.0, float("nan")])
def test_what_is_far_above_alone_is_not_believed(rps):
    assert implausible(rps, 100.0)
    assert not implausible(2000.0, 100.0)
    assert not implausible(0.0, 100.0)


def test_containers_of_an_application_are_averaged_and_their_requests_added():
    found = combine([SOUND, replace(SOUND, rps=20.0, p99=0.4, requests=300, failures=6)])
    assert found == pytest.approx({"rps": 15, "p50": 0.1, "p99": 0.3, "requests": 400, "failures": 6})


class Here:
    """A backend of one worker, this machine, whose containers are paths of one server."""

    inventory = Inventory("hosts", "here", HOSTS, "none")

    def __init__(self, port: int) -> None:
        self.port = port

    @contextmanager
    def running(self, colocations: Mapping[str, Sequence[int]], session: str):
        yield self.containers(next(iter(colocations.values())), session)

    def containers(self, counts: Sequence[int], session: str) -> list[Container]:
        held = [app for app, count in zip(APPS, counts, strict=True) for _ in range(count)]
        return [
            Container(app, "w1", slot, f"{session}-{slot}", self.port, "127.0.0.1")
            for slot, app in enumerate(held)
        ]

    def troubles(self, session: str) -> list[str]:
        return []

    def counters(self, host: Host, session: str) -> HostCounters:
        return HostCounters()

    def unavailable(self, host: Host) -> str:
        return ""

    def run_job(self, client, image, arguments, environment, session, timeout) -> JobResult:
        command = [sys.executable, "-m", "locust", "-f", str(LOADFILE), *arguments]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        return JobResult(done.returncode, done.stdout, done.stderr)


APPS = ("slow", "broken", "late")
WORKLOADS = tuple(Workload(name, Path(), path=f"/{name}") for name in APPS)
SPACE = ColocationSpace(APPS, 2)


@pytest.fixture(scope="module")
def backend():
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        yield Here(int(process.stdout.readline()))
        process.kill()


@pytest.fixture(scope="module")
def testbed(backend):
    return ClusterTestbed(
        WORKLOADS,
        SPACE.slots,
        backend,
        lambda client, targets: load_from(backend, client, targets, SETTINGS, "none"),
        SETTINGS,
        Sittings(),
    )


def watched(backend, counts, alone):
    """What watching makes of a node with these containers."""
    measure = LoadMeasurement(backend, WORKLOADS, SETTINGS, "none")
    containers = backend.containers(counts, "deploy")
    return live_profile(SPACE, ["w1"], np.array([counts]), containers, measure(containers), alone)


def test_profiling_and_watching_report_the_same_of_late_responses(backend, testbed):
    profile = testbed.measure(np.array([[2, 0, 0]]), seed=0)
    live = watched(backend, [2, 0, 0], dict.fromkeys(APPS, 1.0) | testbed.alone_rps())
    assert not live.silent
    raw = profile.provenance["notes"][int(SPACE.index([2, 0, 0]))]["raw"][0]
    assert 0 < raw < 15  # two of three responses, of about nine a second
    for measured in (profile, live.profile):
        assert measured.failures[0][0] == 0
        assert measured.requests[0][0] > 10
        assert measured.p99[0][0] > 0.15
    assert live.profile.rps[0][0] == pytest.approx(profile.rps[0][0], rel=0.3)


def test_profiling_and_watching_refuse_the_same_failures(backend, testbed):
    reason = r"\d+ of \d+ requests failed \(mostly: status 500\)"
    with pytest.raises(UnmeasuredError, match=rf"broken in slot 0 of w1: {reason}"):
        testbed.measure(np.array([[0, 1, 0]]), seed=0)
    live = watched(backend, [0, 1, 0], dict.fromkeys(APPS, 100.0))
    (why,) = live.silent.values()
    assert "requests failed (mostly: status 500)" in why


def test_what_is_always_late_counts_as_nothing_reached(backend):
    live = watched(backend, [0, 0, 1], dict.fromkeys(APPS, 100.0))
    assert not live.silent
    assert live.profile.rps[0][2] == 0.0
    result = load_from(
        backend, HOSTS[0], [Target("a", f"http://127.0.0.1:{backend.port}/late", sla=0.1)], SETTINGS, "none"
    )["a"]
    assert result.late == result.requests > 0
    assert not refusal(result, most_failures=0.0)


def test_sets_take_turns_in_one_locust_and_are_judged_alike(backend):
    # one answers in 10 or 300 ms, one always in 300: neither disturbs the other
    settings = replace(SETTINGS, turn=0.4, sla=None, duration=4.0)
    slow, late = (
        target_of(one, WORKLOADS[APPS.index(one.app)], settings)
        for one in backend.containers([1, 0, 1], "duet")
    )
    turns = turns_of({"slow": [slow.name], "late": [late.name]}, {"slow": slow.name, "late": late.name})
    found = load_in_turns(backend, HOSTS[1], [slow, late], turns, settings, "none")
    assert found.cycles >= 2
    mixed, *alone = found.sets
    assert set(mixed) == {slow.name, late.name}
    assert [list(one) for one in alone] == [[slow.name], [late.name]]
    # how much is the machine's affair; that each set was loaded, and its targets alone, is not
    assert all(sum(one.requests for one in each.values()) > 0 for each in found.sets)
    assert mixed[slow.name].generator > 0
    assert [len(side) for sides in found.rates for side in sides] == [found.cycles] * 4
