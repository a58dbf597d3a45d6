"""The Prefect server of a tracking folder: the one that is named, the one that serves it, or its own.

Everything of Prefect's lies in `prefect/` of the tracking folder. Nothing here imports Prefect: a `metis run`
that finds everything finished never does.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from filelock import FileLock

from flows.engine.console import say
from metis.errors import SurroundingsError
from metis.files import written_whole

DEFAULTS = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLIENT_METRICS_ENABLED": "false",
    # Prefect logs a failed task with its traceback; we say in one line which step failed, and why
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "true",
}
DATABASE = "prefect.db"
ANSWERS_WITHIN = 2.0
STARTS_WITHIN = 180.0
ENDS_WITHIN = 20.0


def prepare(root: Path) -> None:
    """Set Prefect's environment for the tracking folder `root`, before Prefect is imported.

    `PREFECT_API_URL` as it is given; else the server of a `metis serve` that runs on this folder; else
    Prefect starts a server of its own for as long as the command lasts.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home(root)))
    if "PREFECT_API_URL" not in os.environ:
        serving = running(root)
        if serving:
            os.environ["PREFECT_API_URL"] = serving


def create_database() -> None:
    """Create the database of a server of our own, one process at a time: two at once would break it."""
    if "PREFECT_API_URL" in os.environ:
        return
    folder = Path(os.environ["PREFECT_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".opening.lock"):
        if (folder / DATABASE).is_file():
            return
        import asyncio

        from prefect.server.database import provide_database_interface

        asyncio.run(provide_database_interface().create_db())


def home(root: Path) -> Path:
    """Return the folder of Prefect's database for the tracking folder `root`."""
    return root.absolute() / "prefect"


def running(root: Path) -> str | None:
    """Return the API address of the server that `metis serve` started for `root`; None where it is not up."""
    try:
        url = json.loads(_note(root).read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(url) if _answers(str(url)) else None


@contextmanager
def server(root: Path, port: int) -> Iterator[str]:
    """Yield the API address of a server for `root`, started on the loopback address where none runs yet.

    A server that was named by `PREFECT_API_URL`, or that runs already, is used and left running.

    Raises:
        SurroundingsError: the port is taken, or the server does not come up.
    """
    prepare(root)
    named = os.environ.get("PREFECT_API_URL")
    if named:
        if not _answers(named):
            raise SurroundingsError(
                f"PREFECT_API_URL {without_secrets(named)} does not answer; start that server, or unset it"
            )
        yield named
        return
    url = f"http://127.0.0.1:{port}/api"
    _check_free(port)
    process = _start(root, port)
    try:
        _wait(process, url, root)
        with written_whole(_note(root)) as file:
            file.write(json.dumps({"url": url, "pid": process.pid}).encode())
        os.environ["PREFECT_API_URL"] = url
        yield url
    finally:
        _note(root).unlink(missing_ok=True)
        _end(process)


def _note(root: Path) -> Path:
    return home(root) / "server.json"


def without_secrets(url: str) -> str:
    """Return an address without user, password and query."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _answers(url: str) -> bool:
    if not url.startswith(("http://", "https://")):
        return False
    try:
        with urlopen(f"{url.rstrip('/')}/health", timeout=ANSWERS_WITHIN) as response:
            return bool(response.status == 200)
    except (URLError, OSError, ValueError):
        return False


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise SurroundingsError(
                f"port {port} is taken; choose another with serve.port=, or set PREFECT_API_URL "
                "to the server to use"
            ) from None


def _start(root: Path, port: int) -> subprocess.Popen[bytes]:
    home(root).mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    # the level is ours alone: a server at CRITICAL would not say why it does not start
    environment = os.environ | {"PREFECT_LOGGING_LEVEL": "WARNING"}
    environment.setdefault("PREFECT_UI_API_URL", f"http://127.0.0.1:{port}/api")  # left alone, port 4200
    with _log(root).open("wb") as log:
        # a session of its own: Ctrl-C ends the runner first, and only then its server
        return subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
        )


def _log(root: Path) -> Path:
    return home(root) / "server.log"


def _wait(process: subprocess.Popen[bytes], url: str, root: Path) -> None:
    say("starting a Prefect server (takes about ten seconds)")
    until = time.monotonic() + STARTS_WITHIN
    while not _answers(url):
        if process.poll() is not None:
            raise SurroundingsError(f"the Prefect server did not start; see {_log(root)}")
        if time.monotonic() > until:
            raise SurroundingsError(
                f"the Prefect server did not answer within {STARTS_WITHIN:g} s; see {_log(root)}"
            )
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=ENDS_WITHIN)
            break
