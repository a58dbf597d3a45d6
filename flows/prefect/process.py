"""A Prefect server as a process of its own, which ends with the command that started it.

python -m flows.prefect.process SOCKET PARENT: serves on the socket that it inherited, until it is ended or
the process PARENT is gone, `kill -9` included.
"""

import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from flows.engine.startup import go_easy_on_garbage
from flows.prefect.database import create_database
from flows.prefect.home import DATABASE_URL

LOOK_EVERY = 0.5  # seconds between two looks whether the parent is still there


def main() -> None:
    """Serve; see the module's text."""
    inherited, parent = int(sys.argv[1]), int(sys.argv[2])
    go_easy_on_garbage()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if DATABASE_URL not in os.environ:
        create_database(Path(os.environ["PREFECT_HOME"]))
    import uvicorn
    from prefect.server.api.server import create_app

    from flows.prefect.guard import Guard

    app: Any = Guard(create_app(final=True))
    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=5)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=inherited)])


def _end_with(parent: int) -> None:
    # not PR_SET_PDEATHSIG: that is Linux's alone, and fires when the thread that started us ends
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os._exit(1)


if __name__ == "__main__":
    main()
