"""A Prometheus server itself: what it scraped of services, and the counters of a day in its store."""

import json
import shutil
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest

from cluster.load.prometheus import PrometheusMeasurement
from cluster.settings import LoadSettings, WatchSettings
from cluster.spec import Container
from cluster.workloads.common.metrics import Metrics
from flows.command.main import main
from metis.measure.profile_files import load_profile
from tests.pipeline.shared_servers import free_port
from tests.waiting import wait_until

PROMETHEUS, TOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = pytest.mark.skipif(
    PROMETHEUS is None or TOOL is None, reason="Debian's prometheus is not installed"
)
GOOD, FAILED = (100, 1), (1, 9)  # requests of the two services between two scrapes
SAMPLES, STEP = 96, 900.0  # of a day


class Service(BaseHTTPRequestHandler):
    """Serves so many requests and fails so many before each scrape."""

    def do_GET(self):
        for _ in range(self.server.good):
            self.server.metrics.good(0.01, 0.01)
        for _ in range(self.server.failed):
            self.server.metrics.failed()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.server.metrics.text().encode())

    def log_message(self, *words):
        """Print nothing."""


def serving(good, failed, **labels):
    made = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    made.good, made.failed, made.metrics = good, failed, Metrics(labels)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return made


def a_day(end):
    """Counters of `web`, half as fast while `db` works, and of `db`, in OpenMetrics' text format."""
    at = end + STEP * np.arange(1 - SAMPLES, 1)
    busy = 0.05 + 0.75 * np.linspace(0, 1, SAMPLES - 1)
    served = {"web": np.full(SAMPLES - 1, 1.0), "db": busy / 0.2}  # requests a second
    each = {"web": 0.1 / (1 - 0.5 * busy), "db": np.full(SAMPLES - 1, 0.2)}  # seconds of work on one
    lines = []
    for name, kind in (("metis_request_seconds", "histogram"), ("metis_work_seconds", "counter")):
        lines.append(f"# TYPE {name} {kind}")
        for app, rate in served.items():
            requests = np.concatenate([[0.0], np.cumsum(STEP * rate)])
            seconds = np.concatenate([[0.0], np.cumsum(STEP * rate * each[app])])
            labels = f'{{app="{app}",node="n1",slot="1"}}'
            series = {"_sum": seconds, "_count": requests} if kind == "histogram" else {"_total": seconds}
            for suffix, values in series.items():
                lines += [f"{name}{suffix}{labels} {v:.6f} {t:.3f}" for t, v in zip(at, values, strict=True)]
    return "\n".join([*lines, "# EOF\n"])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server that scrapes two services, with a day in its store, and the services."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    day, store, configuration = folder / "day.txt", folder / "store", folder / "prometheus.yml"
    day.write_text(a_day(time.time() - 60))
    subprocess.run(
        [TOOL, "tsdb", "create-blocks-from", "openmetrics", day, store], check=True, capture_output=True
    )
    labels = {"app": "Redis", "node": "worker-1"}
    services = [serving(*kind, **labels, slot=str(slot)) for slot, kind in enumerate((GOOD, FAILED))]
    targets = [f"127.0.0.1:{one.server_port}" for one in services]
    jobs = [{"job_name": "metis", "static_configs": [{"targets": targets}]}]
    every = {"scrape_interval": "200ms", "scrape_timeout": "200ms"}
    configuration.write_text(json.dumps({"global": every, "scrape_configs": jobs}))  # JSON is YAML
    listening = f"--web.listen-address=127.0.0.1:{port}"
    options = [
        f"--config.file={configuration}",
        f"--storage.tsdb.path={store}",
        listening,
        "--log.level=error",
    ]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen([PROMETHEUS, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: scraped(address) == len(targets), "two services were scraped twice", process, 0.2)
        yield address, services
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
        for one in services:
            one.shutdown()
            one.server_close()


def scraped(address):
    """How many services were scraped twice, as far as the server responds."""
    try:
        with build_opener(ProxyHandler({})).open(
            f"{address}/api/v1/query?query=rate(metis_requests_total[5s])>0"
        ) as response:
            return len(json.load(response)["data"]["result"])
    except OSError:
        return 0


def test_rates_of_what_it_scraped(server):
    address, services = server
    watch = WatchSettings(source="prometheus", prometheus=address)
    ports = [*(one.server_port for one in services), free_port()]
    containers = [
        Container("Redis", "worker-1", slot, f"c{slot}", port, "127.0.0.1") for slot, port in enumerate(ports)
    ]
    found = {}

    def scraped_often():
        """On a busy machine scrapes run out of time, and of a few of them a share is a rounded number."""
        found.update(PrometheusMeasurement(watch, LoadSettings(duration=5.0))(containers))
        return getattr(found["c0"], "requests", 0) > 1000

    wait_until(scraped_often, "ten scrapes within five seconds")
    assert found["c0"].failures / found["c0"].requests == pytest.approx(1 / 101, rel=0.2)
    assert found["c0"].rps == pytest.approx(found["c0"].requests / 5 * 100 / 101, rel=0.01)
    assert "requests failed" in found["c1"]
    assert "has no requests" in found["c2"]


def test_a_day_in_its_store_becomes_a_profile(server, tmp_path, capsys):
    """The aggressor and the speed beside it are those by which the day was made."""
    address, _ = server
    out = tmp_path / "day.npz"
    chosen = ["apps.names=[web,db,Redis]", "metrics.interval=900", f"out={out}", "output=json"]
    assert main(["import-metrics", address, *chosen]) == 0
    (hurt,) = [one for one in json.loads(capsys.readouterr().out)["hurt"] if one["application"] == "web"]
    assert (hurt["node"], hurt["aggressor"]) == ("n1", "db")
    profile = load_profile(out)
    row = profile.colocations[:, [profile.apps.index("web"), profile.apps.index("db")]].tolist().index([1, 1])
    assert profile.rps[row, profile.apps.index("web")] == pytest.approx(0.5, abs=0.05)
