"""Open the MLflow UI on this machine's loopback address.

metis ui
metis ui tracking.port=5050
"""

import os
import socket
import sys

from flows.command.request import Request, Verb
from flows.command.result import Result
from flows.engine.console import say
from flows.engine.store import Store
from metis.errors import SurroundingsError


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
    _ = store.experiment  # made first, so that the UI has something to show
    say(f"MLflow: http://127.0.0.1:{port} (Ctrl-C ends it)")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store.uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    # left alone, MLflow also serves whoever names a private network's address as its host
    names = [f"{name}:{port}" for name in ("127.0.0.1", "localhost")]
    command += ["--allowed-hosts", ",".join(names)]
    command += ["--cors-allowed-origins", ",".join(f"http://{name}" for name in names)]
    os.execv(sys.executable, command)


VERB = Verb(run)
