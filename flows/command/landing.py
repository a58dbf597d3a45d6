"""MLflow's server as `metis ui` starts it: it opens on the runs to compare, and MLflow's assistant is off.

MLflow finds it as the app `metis`, an entry point of this project; nothing imports MLflow here before that.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

from flows.engine.view import view_path

App = Callable[[Any, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]
NAME = "metis"
EXPERIMENT = "METIS_UI_EXPERIMENT"  # environment variable: id of the experiment to open
ASSISTANT = "/ajax-api/3.0/mlflow/assistant"
HEAD = "<head>"
# before MLflow's own script: the mode without agents, no panel of the assistant, and where to open
ADDED = """<head><style>[data-assistant-ui]{{display:none!important}}</style><script>
localStorage.setItem("mlflow.workflowType_v1", '"machine_learning"');
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
if (location.hash.length < 3) location.hash = "{view}";
</script>"""
HEADERS = {
    b"content-type": b"text/html; charset=utf-8",
    b"cache-control": b"no-cache",
    b"x-frame-options": b"SAMEORIGIN",
    b"x-content-type-options": b"nosniff",
}


def is_installed() -> bool:
    """Whether MLflow finds the app; not in an environment where an earlier version of metis was installed."""
    return any(one.name == NAME for one in entry_points(group="mlflow.app"))


def create_app() -> App:
    """Return MLflow's app with our front page, for MLflow's server to run."""
    from mlflow.server.fastapi_app import app

    page = files("mlflow.server").joinpath("js", "build", "index.html").read_text(encoding="utf-8")
    return opening(app, page, os.environ.get(EXPERIMENT, "0"))


def opening(app: App, page: str, experiment: str) -> App:
    """Return an ASGI application that opens on an experiment's runs, without the assistant.

    Args:
        app: MLflow's; it gets all other requests.
        page: MLflow's front page, HTML.
        experiment: id of the experiment.
    """
    front = page.replace(HEAD, ADDED.format(view=view_path(experiment)), 1).encode()

    async def opened(scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "") if scope["type"] == "http" else ""
        if path == "/":
            await _respond(send, 200, HEADERS, front)
        elif path.startswith(ASSISTANT):
            await _respond(
                send, 404, {b"content-type": b"text/plain"}, b"the assistant is off in `metis ui`\n"
            )
        else:
            await app(scope, receive, send)

    return opened


async def _respond(
    send: Callable[[Any], Awaitable[None]], status: int, headers: Mapping[bytes, bytes], body: bytes
) -> None:
    sized = [*headers.items(), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})
