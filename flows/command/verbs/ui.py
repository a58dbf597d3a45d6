"""Open the MLflow UI on this machine's loopback address.

metis ui
metis ui tracking.port=5050
"""

import os
import socket
import sys

from flows.command.landing import EXPERIMENT, NAME, is_installed
from flows.command.request import Request, Verb
from flows.command.result import Result
from flows.engine.console import say
from flows.engine.store import Store
from flows.engine.view import save_view, view_path
from metis.errors import SurroundingsError

OFF = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}


def run(request: Request) -> Result:
    """See the module's text; becomes the server and ends with it."""
    tracking = request.settings.tracking
    port = tracking.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise SurroundingsError(f"port {port} is taken; choose another with tracking.port=") from None
    store = Store(tracking)
    experiment = store.experiment  # made first, so that the UI has something to show
    save_view(store.uri, experiment)
    say(f"MLflow: http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.environ.update(OFF | {EXPERIMENT: experiment})
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # left alone, MLflow also serves whoever names a private network's address as its host
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    command += ["--allowed-hosts", ",".join(names)]
    command += ["--cors-allowed-origins", ",".join(f"http://{name}" for name in names)]
    if is_installed():
        command += ["--app-name", NAME]
    else:  # an environment older than this checkout
        say(f"the runs to compare are at {view_path(experiment)}; `make` installs what opens them at once")
    os.execv(sys.executable, command)


VERB = Verb(run)
