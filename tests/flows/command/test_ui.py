"""`metis ui`: MLflow's UI responds on loopback, and ends when it is asked to."""

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
