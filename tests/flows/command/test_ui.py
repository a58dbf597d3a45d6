"""`metis ui`: MLflow's UI responds on loopback, and ends when it is asked to."""

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from flows.command.landing import is_installed, opening
from flows.command.main import main
from flows.configuration.sections import TrackingSettings
from flows.engine.store import Store
from flows.engine.view import save_view

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
        if is_installed():  # MLflow runs our app, which it finds by the entry point
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
                assert b"viewStateShareKey=metis" in answer.read()
            assert ask(port, "/ajax-api/3.0/mlflow/assistant/message", {}, Host=f"127.0.0.1:{port}") == 404
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


def responses(app, path):
    """What an ASGI application sends to a GET."""
    sent = []

    async def ask_it():
        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request"}

        await app({"type": "http", "path": path, "method": "GET"}, receive, send)

    asyncio.run(ask_it())
    return sent


def test_the_page_opens_on_the_runs_and_the_assistant_is_off():
    async def mlflow(scope, receive, send):
        await send({"type": "http.response.start", "status": 299, "headers": []})

    app = opening(mlflow, "<html><head><title>MLflow</title></head></html>", "7")
    start, body = responses(app, "/")
    assert start["status"] == 200
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()
    page = body["body"].decode()
    assert page.startswith("<html><head><style>")
    assert 'location.hash = "#/experiments/7/runs?viewStateShareKey=metis"' in page
    assert page.endswith("<title>MLflow</title></head></html>")
    assert responses(app, "/ajax-api/3.0/mlflow/assistant/config")[0]["status"] == 404
    assert responses(app, "/ajax-api/2.0/mlflow/runs/search")[0]["status"] == 299


def test_the_view_is_kept_in_experiments_old_and_new(tmp_path, empty_database):
    shutil.copy(empty_database, tmp_path)
    store = Store(TrackingSettings(path=str(tmp_path)))
    client, name = store._client, "mlflow.sharedViewState.metis"
    state = json.loads(client.get_experiment(store.experiment).tags[name])
    assert state["searchFilter"] == "tags.`metis.stage` = 'scheduler'"
    assert {"params.`scheduler`", "metrics.`true_ratio`", "metrics.`ratio`"} < set(state["selectedColumns"])
    old = client.create_experiment("made by an earlier version")
    save_view(store.uri, old)
    assert json.loads(client.get_experiment(old).tags[name]) == state
