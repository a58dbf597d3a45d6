"""`metis ui` where it cannot start, and what it opens on; to whom it responds: test_compare_view.py."""

import asyncio
import json
import shutil
import socket

from flows.command.landing import opening
from flows.command.main import main
from flows.configuration.sections import TrackingSettings
from flows.engine.store import Store
from flows.engine.view import save_view


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
