"""A Prefect server as a process of its own, which ends with the command that started it.

python -m flows.prefect.process SOCKET PARENT: serves on the socket that it inherited, until it is ended or
the process PARENT is gone, `kill -9` included.
"""

import asyncio
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from filelock import FileLock

from flows.prefect.home import DATABASE, DATABASE_URL, set_aside

LOOK_EVERY = 0.5  # seconds between two looks whether the parent is still there


def main() -> None:
    """Serve; see the module's text."""
    inherited, parent = int(sys.argv[1]), int(sys.argv[2])
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


def create_database(home: Path) -> None:
    """Have Prefect's database whole in its folder, and of this version, one process at a time.

    One that cannot be brought to this version, because its creation was cut short, is set aside: it holds
    nothing but the history that Prefect's UI shows.
    """
    from flows.engine.database import made_beside

    path = home / DATABASE
    with FileLock(home / ".opening.lock"):
        if path.is_file():
            try:
                _upgrade(path)
                return
            except Exception as error:
                print(f"{path}: {type(error).__name__}: {error}", file=sys.stderr)
                set_aside(path)
        with made_beside(path) as beside:
            _upgrade(beside)


def _upgrade(path: Path) -> None:
    from prefect.server.database.configurations import AioSqliteConfiguration
    from prefect.server.database.dependencies import provide_database_interface, temporary_database_config

    with temporary_database_config(AioSqliteConfiguration(connection_url=f"sqlite+aiosqlite:///{path}")):
        asyncio.run(provide_database_interface().create_db())


if __name__ == "__main__":
    main()
