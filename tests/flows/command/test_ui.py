"""`metis ui`: MLflow's UI responds on loopback, and ends when it is asked to."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from flows.command.main import main

LIMIT = 120  # seconds to start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url, process, log):
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text(encoding="utf-8")
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    return log.read_text(encoding="utf-8")


def ask(port, path, body, **headers):
    """Status of a request whose headers are as they are given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def test_the_ui_answers(tracking, tmp_path):
    port = free_port()
    log = tmp_path / "log"
    words = ["-m", "flows.command.main", "ui", tracking, f"tracking.port={port}"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    try:
        assert answers(f"http://127.0.0.1:{port}/", process, log) == 200
        # neither another name for this machine (DNS rebinding) nor another page is served
        path, own = "/ajax-api/2.0/mlflow/experiments/create", f"127.0.0.1:{port}"
        assert ask(port, path, {"name": "own"}, Host=own) == 200
        assert ask(port, path, {"name": "same"}, Host=own, Origin=f"http://{own}") == 200
        assert ask(port, path, {"name": "page"}, Host=own, Origin="http://evil.example") == 403
        for host in (f"rebound.example:{port}", "192.168.1.7", "127.0.0.1.evil.example"):
            assert ask(port, path, {"name": host}, Host=host) == 403
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_a_port_that_is_taken_is_reported(tracking, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["ui", tracking, f"tracking.port={port}"]) == 1
    assert capfd.readouterr().err.endswith(
        f"metis: port {port} is taken; choose another with tracking.port=\n"
    )
