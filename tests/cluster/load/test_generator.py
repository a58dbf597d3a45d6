"""Load by Locust against a real server on loopback; bounded, two seconds each."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.load import generator as load
from cluster.load.generator import Target, addresses, check_targets, load_here, read_results
from cluster.provision.inventory import Host, Inventory
from cluster.settings import LoadSettings
from cluster.spec import Container
from metis.errors import InputError, SurroundingsError

# responds as its path says, and counts how often each path was requested and in how many seconds
SERVER = """
import json, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

seen, lock = {}, threading.Lock()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        name = self.path.strip("/")
        status = 200
        if name == "counts":
            with lock:
                body = json.dumps({n: [len(t), t[-1] - t[0]] for n, t in seen.items()}).encode()
        else:
            time.sleep({"steady": 0.02, "late": 0.15, "hang": 20, "mixed": 0.01}.get(name, 0))
            with lock:
                seen.setdefault(name, []).append(time.monotonic())
                count = len(seen[name])
            status = {"broken": 500, "away": 302}.get(name, 200)
            status = 500 if name == "mixed" and count % 4 == 0 else status
            body = b"{}"
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/steady")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_port, flush=True)
server.serve_forever()
"""
QUICK = LoadSettings(duration=2.0, warm_up=0.5)


@pytest.fixture(scope="module")
def server():
    """Origin of a server of this test's own."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def counts(server):
    with urllib.request.urlopen(f"{server}/counts", timeout=5) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def results(server):
    """One load on five targets at once."""
    targets = [
        Target("steady", f"{server}/steady", users=3),
        Target("late", f"{server}/late", users=2, sla=0.1),
        Target("broken", f"{server}/broken", users=1),
        Target("away", f"{server}/away", users=1),
        Target("mixed", f"{server}/mixed", users=1),
    ]
    return load_here(targets, QUICK)


def test_rps_is_what_the_server_counted(server, results):
    count, seconds = counts(server)["steady"]
    steady = results["steady"]
    assert (steady.failures, steady.error) == (0, "")
    assert steady.seconds >= 2.0
    assert steady.rps == pytest.approx(steady.requests / steady.seconds)
    assert steady.rps == pytest.approx((count - 1) / seconds, rel=0.1)


def test_latency_is_in_seconds(results):
    steady, late = results["steady"], results["late"]
    assert 0.02 <= steady.p50 <= steady.p99 < 0.15
    assert 0.15 <= late.p50 <= late.p99 < 0.6


def test_responses_over_the_limit_are_late_not_failed(results):
    late = results["late"]
    assert late.rps == 0
    assert late.requests == late.late > 10
    assert (late.failures, late.error) == (0, "")


def test_errors_and_redirects_are_failures_and_do_not_hammer(server, results):
    for name, error in (("broken", "status 500"), ("away", "status 302")):
        answer = results[name]
        assert answer.rps == 0
        assert answer.late == 0
        assert 0 < answer.failures == answer.requests < 30  # a tenth of a second between two
        assert answer.error == error
        assert answer.p50 != answer.p50  # NaN: it answered nothing


def test_some_failures_leave_the_rest(results):
    mixed = results["mixed"]
    assert 0.15 < mixed.failures / mixed.requests < 0.35
    assert mixed.rps == pytest.approx((mixed.requests - mixed.failures) / mixed.seconds)


def test_what_is_dead_or_silent_fails_and_spoils_nothing(server):
    targets = [
        Target("dead", "http://127.0.0.1:1/", users=2),
        Target("silent", f"{server}/hang", users=2, timeout=0.5),
        Target("endless", f"{server}/hang", users=3, timeout=60),
        Target("well", f"{server}/steady", users=1),
    ]
    found = load_here(targets, QUICK)
    assert found["dead"].failures == found["dead"].requests > 0
    assert found["dead"].error == "ConnectionRefusedError"
    assert found["silent"].error == "timeout"
    assert found["silent"].failures >= 4
    assert (found["endless"].failures, found["endless"].error) == (3, "no response within the window")
    assert found["well"].rps > 20


def locust_of(port_or_mark):
    """Process ids of the Locusts whose plan holds a mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes()
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"loadfile.py" in words and port_or_mark.encode() in told:
            found.append(int(folder.name))
    return found


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to pass in time")


def test_a_locust_that_is_killed_is_an_error(server):
    mark = f"marked-{os.getpid()}-killed"

    def strike():
        os.kill(wait_for(lambda: locust_of(mark))[0], signal.SIGKILL)

    striker = threading.Thread(target=strike)
    striker.start()
    with pytest.raises(SurroundingsError, match=r"Locust ended \(exit -9\) without results"):
        load_here([Target(mark, f"{server}/steady")], replace(QUICK, duration=30.0))
    striker.join()


def test_a_locust_that_does_not_end_is_killed(server, monkeypatch):
    mark = f"marked-{os.getpid()}-endless"
    monkeypatch.setattr(load, "hard_limit", lambda *_: 2.0)
    with pytest.raises(SurroundingsError, match="did not end within 2 s"):
        load_here([Target(mark, f"{server}/steady")], replace(QUICK, duration=30.0))
    assert not locust_of(mark)


def test_load_ends_with_whoever_asked_for_it(server):
    mark = f"marked-{os.getpid()}-orphan"
    code = (
        "from cluster.load.generator import *\n"
        f"load_here([Target({mark!r}, {server + '/steady'!r})], LoadSettings(duration=120.0))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as asking:
        wait_for(lambda: locust_of(mark))
        asking.kill()
    wait_for(lambda: not locust_of(mark), 10)


def test_settings_of_locust_in_the_environment_change_nothing(server, monkeypatch):
    monkeypatch.setenv("LOCUST_USERS", "50")
    monkeypatch.setenv("LOCUST_RUN_TIME", "1s")
    found = load_here([Target("one", f"{server}/steady", users=1)], replace(QUICK, duration=1.5))
    assert found["one"].seconds >= 1.5
    assert found["one"].rps < 50.5


HOSTS = (
    Host("m", "manager", "127.0.0.1", port=2201, inner="172.30.0.2"),
    Host("w", "worker", "127.0.0.1", port=2202, inner="172.30.0.3"),
)


def test_load_goes_to_the_hosts_of_the_inventory():
    allowed = addresses(Inventory("lab", "test", HOSTS, "known_hosts"))
    check_targets([Target("w", "http://172.30.0.3:8081/")], allowed)
    with pytest.raises(InputError, match=r"x: 172\.30\.0\.4 is neither loopback nor a host"):
        check_targets([Target("x", "http://172.30.0.4:8081/")], allowed)


def test_load_goes_to_an_ipv6_address_and_to_a_name_in_any_case():
    """Without brackets `http://fd00::3:8081` was no URL of that host."""
    hosts = (Host("m", "manager", "Alpha.example"), Host("w", "worker", "FD00::3"))
    allowed = addresses(Inventory("hosts", "test", hosts, "known_hosts"))
    for host in hosts:
        container = Container("Redis", host.name, 0, "redis-0", 8081, host.seen_as)
        check_targets([Target("x", f"{container.origin}/")], allowed)
    assert container.origin == "http://[FD00::3]:8081"
    with pytest.raises(InputError, match="x: fd00::4 is neither loopback nor a host"):
        check_targets([Target("x", "http://[fd00::4]:8081/")], allowed)


@given(st.ip_addresses(v=4).filter(lambda address: not address.is_loopback))
def test_load_from_here_goes_to_loopback_alone(address):
    with pytest.raises(InputError, match=re.escape(str(address))):
        load_here([Target("x", f"http://{address}:8081/")], QUICK)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([], "no target"),
        ([Target("a", "http://127.0.0.1/"), Target("a", "http://127.0.0.1/")], "two targets are called 'a'"),
        ([Target("a", "https://127.0.0.1/")], "http:// URL"),
        ([Target("a", "ftp")], "http:// URL"),
        ([Target("a", "http://localhost.example.org/")], "neither loopback"),
        ([Target("a", "http://127.0.0.1@example.org/")], "example.org is neither"),
        ([Target("a", "http://127.0.0.1/", users=0)], "0 users"),
    ],
)
def test_refuses_what_is_no_target(targets, message):
    with pytest.raises(InputError, match=message):
        load_here(targets, QUICK)


def test_missing_results_are_an_error_with_the_last_line():
    targets = [Target("a", "http://127.0.0.1/")]
    with pytest.raises(
        SurroundingsError, match=r"Locust on c ended \(exit 1\) without results: ImportError: gevent"
    ):
        read_results("starting\n", "Traceback\nImportError: gevent\n\n", targets, "on c ended (exit 1)")
    with pytest.raises(SurroundingsError, match="without results"):
        read_results('METIS-LOAD {"b": {}}\n', "", targets, "ended")
