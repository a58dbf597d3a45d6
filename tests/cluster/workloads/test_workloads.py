"""The workloads' own code, run as real processes on loopback; their images are built in tests/lab."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.workloads.checksum import app as checksum
from cluster.workloads.common import pictures
from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.metrics import BUCKETS, Metrics
from cluster.workloads.common.networks import Network
from cluster.workloads.common.server import MOST_WAITING, NotReadyError, Server, WorkResult
from cluster.workloads.common.stores import Origin, StoreError
from cluster.workloads.mms import app as mms
from cluster.workloads.mms.graph import ResNetShape, make_resnet

ROOT = Path(__file__).resolve().parents[3]
WORKLOADS = ROOT / "cluster" / "workloads"
HERE = Environment(app="Tested", node="node-1", slot="3", scale=0.01, port=0)


@contextmanager
def serving(unit, environment=HERE, files=None):
    """A server in this process; yields it."""
    server = Server(unit, environment, files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.end()
        thread.join(5)


@contextmanager
def process(module, **variables):
    """A workload as its container runs it; yields the process and its port."""
    known = {**os.environ, "PYTHONPATH": str(ROOT), "METIS_PORT": "0", "WORK_SCALE": "0.01", **variables}
    command = [sys.executable, "-m", f"cluster.workloads.{module}.app"]
    started = subprocess.Popen(command, env=known, stdout=subprocess.PIPE, text=True)
    try:
        line = started.stdout.readline()
        assert line.startswith("listening on "), line
        yield started, int(line.split()[-1])
    finally:
        started.kill()
        started.wait(10)
        started.stdout.close()


def get(port, path="/"):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


# -- the catalogue ------------------------------------------------------------------------------


def test_the_seven_applications_are_described():
    known = {}
    for path in WORKLOADS.glob("*.yaml"):
        entry = yaml.safe_load(path.read_text())
        known[entry["name"]] = entry
        assert set(entry) <= {
            "name",
            "folder",
            "env",
            "path",
            "users",
            "sla",
            "needs",
            "provides",
            "describe",
        }
        assert set(entry.get("needs", [])) <= {"redis", "memcached", "origin"}
        assert (WORKLOADS / entry["folder"] / "Dockerfile").is_file()
    assert set(known) == {"Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR"}
    assert known["Redis"]["provides"] == ["redis"]
    assert {known["YCSB-A"]["folder"], known["YCSB-B"]["folder"]} == {"ycsb"}


@pytest.mark.parametrize("path", sorted(WORKLOADS.glob("*/Dockerfile")), ids=lambda path: path.parent.name)
def test_every_image_takes_its_base_and_runs_as_nobody_of_note(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith("ARG BASE_IMAGE=")
    assert lines[1].startswith("FROM ${BASE_IMAGE}")
    assert "USER metis" in lines
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    for number, line in enumerate(lines):
        if "apt-get install" in line:  # what apt leaves behind goes in the same layer
            assert any(
                "rm -rf /var/lib/apt/lists/* /var/cache/apt/*" in after for after in lines[number:][:3]
            )
        if "pip3 install" in line:
            assert "--no-cache-dir" in line
            assert "-r /srv/" in line
    for requirements in (WORKLOADS / "common").glob("*.txt"):
        assert all("==" in line for line in requirements.read_text().split())


# -- the server ---------------------------------------------------------------------------------


def test_a_request_is_one_unit_of_work():
    with serving(lambda: WorkResult("redis", 0.25, 0.5, {"files": 3})) as server:
        status, body = get(server.port)
    told = json.loads(body)
    assert status == 200
    assert (told["app"], told["node"], told["slot"], told["scale"]) == ("Tested", "node-1", "3", 0.01)
    assert told["source"] == "redis"
    assert (told["seconds"]["fetch"], told["seconds"]["work"]) == (0.25, 0.5)
    assert told["seconds"]["total"] >= told["seconds"]["wait"] >= 0
    assert told["result"] == {"files": 3}


def test_metrics_count_good_and_failed_requests():
    asked = []

    def unit():
        asked.append(1)
        if len(asked) == 2:
            raise NotReadyError("no Redis")
        if len(asked) == 3:
            raise RuntimeError("broken")
        return WorkResult("own", 0.0, 0.0)

    with serving(unit) as server:
        assert [get(server.port)[0] for _ in range(4)] == [200, 503, 500, 200]
        assert json.loads(get(server.port, "/healthz")[1]) == {"status": "ok"}
        assert get(server.port, "/nothing")[0] == 404
        text = get(server.port, "/metrics")[1]
    labels = '{app="Tested",node="node-1",slot="3"}'
    assert f"metis_requests_total{labels} 4\n" in text
    assert f"metis_request_failures_total{labels} 2\n" in text
    assert f"metis_request_seconds_count{labels} 2\n" in text
    assert f"metis_work_seconds_total{labels} 0.0\n" in text
    for kind in ("metis_requests_total counter", "metis_request_seconds histogram"):
        assert f"# TYPE {kind}\n" in text


@given(st.lists(st.floats(0, 60), max_size=30))
def test_the_histogram_adds_up(seconds):
    metrics = Metrics({"app": 'a"b\\c'})
    for value in seconds:
        metrics.good(value, value)
    rows = [line for line in metrics.text().splitlines() if "_bucket" in line]
    counts = [int(row.rpartition(" ")[2]) for row in rows]
    assert counts[:-1] == [sum(value <= edge for value in seconds) for edge in BUCKETS]
    assert counts[-1] == len(seconds)
    assert rows[-1].startswith('metis_request_seconds_bucket{app="a\\"b\\\\c",le="+Inf"} ')


def test_units_are_done_one_at_a_time_while_health_responds():
    under_way, most, begun, go = [], [], threading.Event(), threading.Event()

    def unit():
        under_way.append(1)
        most.append(len(under_way))
        begun.set()
        go.wait(20)
        under_way.pop()
        return WorkResult("own", 0.0, 0.1)

    with serving(unit) as server:
        threads = [threading.Thread(target=get, args=(server.port,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert begun.wait(20)
        assert get(server.port, "/healthz")[0] == 200  # while a unit is under way
        go.set()
        for thread in threads:
            thread.join()
    assert most == [1, 1, 1, 1]


def test_who_leaves_before_his_turn_gets_no_work():
    done, go = [], threading.Event()

    def unit():
        go.wait(10)
        done.append(1)
        return WorkResult("own", 0.0, 0.0)

    with serving(unit) as server:
        first = threading.Thread(target=get, args=(server.port,))
        first.start()
        time.sleep(0.1)
        with socket.create_connection(("127.0.0.1", server.port)) as leaving:
            leaving.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
        time.sleep(0.1)
        go.set()
        first.join()
        assert get(server.port)[0] == 200
        assert len(done) == 2
        assert 'slot="3"} 3\n' in get(server.port, "/metrics")[1]  # three asked, one of them in vain


def test_too_many_waiting_are_refused():
    go = threading.Event()

    def unit():
        go.wait(20)
        return WorkResult("own", 0.0, 0.0)

    answers = []
    with serving(unit) as server:
        threads = [
            threading.Thread(target=lambda: answers.append(get(server.port)[0])) for _ in range(MOST_WAITING)
        ]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 10
        while server._waiting < MOST_WAITING and time.monotonic() < until:
            time.sleep(0.01)
        assert get(server.port)[0] == 503
        go.set()
        for thread in threads:
            thread.join()
    assert answers == [200] * MOST_WAITING


def test_a_response_is_one_write_that_is_sent_at_once(monkeypatch):
    """Two writes, or one held back for more, cost up to 40 ms of delayed acknowledgement."""
    writes, plain = [], socket.socket.send

    def send(own, data, *flags):
        writes.append((own.getsockname()[1], bool(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))))
        return plain(own, data, *flags)

    monkeypatch.setattr(socket.socket, "send", send)
    with serving(lambda: WorkResult("own", 0.0, 0.0)) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        for _ in range(3):
            connection.request("GET", "/")
            assert connection.getresponse().read()
        connection.close()
        assert [each for each in writes if each[0] == server.port] == [(server.port, True)] * 3


def test_a_wrong_number_in_the_environment_is_named():
    with pytest.raises(SystemExit, match="WORK_SCALE 'much': give a number"):
        read_environment({"WORK_SCALE": "much"})
    with pytest.raises(SystemExit, match="WORK_SCALE -1: give"):
        read_environment({"WORK_SCALE": "-1"})
    assert read_environment({"METIS_REDIS": ""}).redis is None


# -- whole processes ----------------------------------------------------------------------------


def test_a_workload_whose_store_is_missing_says_so_and_ends_when_told():
    with process("ycsb", METIS_APP="YCSB-A") as (started, port):
        status, body = get(port)
        assert (status, get(port, "/healthz")[0]) == (503, 200)
        assert "METIS_MEMCACHED" in json.loads(body)["error"]
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == 0


def test_an_unreachable_store_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        unit = checksum.make_unit(Environment(memcached=address))
        with pytest.raises(NotReadyError, match=f"memcached {address}"):
            unit()


def test_pictures_come_over_the_network_where_no_redis_is():
    shape = ResNetShape(side=32, width=8, blocks=(1, 1, 1, 1))
    network = Network(make_resnet(shape)[0])
    with process("origin") as (_, port):
        url = f"http://127.0.0.1:{port}"
        here = Environment(origin=url, redis="127.0.0.1:9")  # nothing listens there: falls back
        answer = mms.make_unit(here, network)()
        assert answer.source == "origin"
        assert len(set(answer.result["classes"])) == 5
        assert Origin(url).get("/images/mms-3") == pictures.make_picture("mms-3")
        with pytest.raises(StoreError, match="status 404"):
            Origin(url).get("/images/none")
    with pytest.raises(NotReadyError, match="METIS_REDIS or METIS_ORIGIN"):
        mms.make_unit(Environment(), network)()


def test_an_origin_may_play_to_be_far():
    with process("origin", ORIGIN_DELAY_MS="150") as (_, port):
        begun = time.perf_counter()
        Origin(f"http://127.0.0.1:{port}").get("/images/isr-0")
        assert time.perf_counter() - begun >= 0.15
