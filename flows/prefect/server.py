"""The Prefect server of a tracking folder: the one that is named, the one that serves it, or its own.

Everything of Prefect's lies in `prefect/` of the tracking folder. Prefect is imported once its server starts:
a `metis run` that finds everything finished never does.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from flows.engine.console import say
from flows.engine.processes import began_at
from flows.engine.secrets import masked
from flows.prefect.home import SERVED, Note, end_stale, home, mended, read_note
from metis.errors import SurroundingsError

DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLIENT_METRICS_ENABLED": "false",
    # Prefect logs a failed task with its traceback; we say in one line which step failed, and why
    "PREFECT_LOGGING_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "true",
}
API = "PREFECT_API_URL"
# a server of ours has no TLS: without this each client reads 118 certificates first, two of them for
# each deployment that is served
UNENCRYPTED = "PREFECT_API_TLS_INSECURE_SKIP_VERIFY"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
# for one run: no pages, and none of the services that start runs by themselves
OF_A_RUN = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1"}
RESPONDS_WITHIN = 2.0
STARTS_WITHIN = 120.0
REPORT_AFTER = 5.0  # seconds of waiting before it is mentioned, and between two mentions
ENDS_WITHIN = 10.0


def prepare(root: Path) -> str | None:
    """Set Prefect's environment for the tracking folder `root`, before Prefect is imported.

    Returns:
        the address of the server to use: `PREFECT_API_URL` as it is given, else that of a `metis serve` that
        runs on this folder; None where a command has to start one.
    """
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("PREFECT_HOME", str(home(root)))
    named = os.environ.get(API) or running(root)
    if named:
        os.environ[API] = named
        if urlsplit(named).hostname in LOOPBACK:
            without_proxy()
    else:
        os.environ.pop(API, None)
    return named


def running(root: Path) -> str | None:
    """Return the API address of the server that `metis serve` started for `root`; None where it is not up."""
    note = read_note(home(root) / SERVED)
    return note.url if note is not None and responds(note.url) else None


@contextmanager
def of_a_run(root: Path, meanwhile: Callable[[], object] = lambda: None) -> Iterator[str]:
    """Yield the API address of a server while a run lasts; started for it where none is named or serves.

    Args:
        root: the tracking folder.
        meanwhile: called while a server that was started comes up, which takes seconds of another core.

    Raises:
        SurroundingsError: the server that is named does not respond, or our own does not come up.
    """
    named = prepare(root)
    if named is None:
        with _own(root, 0, f"server-{os.getpid()}.json", OF_A_RUN, meanwhile) as url:
            yield url
    elif responds(named):
        yield named
    else:
        raise SurroundingsError(f"{API} {masked(named)} does not respond")


@contextmanager
def server(root: Path, port: int) -> Iterator[str]:
    """Yield the API address of a server for `root`, started on the loopback address where none runs yet.

    A server that was named by `PREFECT_API_URL`, or that runs already, is used and left running.

    Raises:
        SurroundingsError: the port is taken, or the server does not come up.
    """
    named = prepare(root)
    if named is None:
        say("starting a Prefect server (takes about ten seconds)")
        # left alone, its pages ask port 4200
        pages = {"PREFECT_UI_API_URL": os.environ.get("PREFECT_UI_API_URL", f"http://127.0.0.1:{port}/api")}
        # the level is ours alone: a server at CRITICAL would not say why it does not start
        with _own(root, port, SERVED, pages | {"PREFECT_LOGGING_LEVEL": "WARNING"}) as url:
            yield url
    elif responds(named):
        yield named
    else:
        raise SurroundingsError(f"{API} {masked(named)} does not respond; start that server, or unset it")


@contextmanager
def _own(
    root: Path,
    port: int,
    name: str,
    environment: Mapping[str, str],
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[str]:
    """Yield the API address of a server of ours, which ends with the block, or with this process."""
    folder = home(root)
    folder.mkdir(parents=True, exist_ok=True)
    if end_stale(folder):
        say("ended a Prefect server that a killed command had left")
    broken = mended(folder)
    if broken:
        say(f"{folder}: Prefect's database was damaged ({broken}) and is made anew; only its history is lost")
    without_proxy()
    log = folder / f"{Path(name).stem}.log"
    with _bound(port) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/api"
        process = _start(listening, log, environment)
    os.environ[API] = url
    unset = UNENCRYPTED not in os.environ
    os.environ.setdefault(UNENCRYPTED, "true")
    try:
        Note(url, process.pid, began_at(process.pid), os.getpid(), began_at(os.getpid())).save(folder / name)
        import_module("prefect")  # takes seconds, as the server does meanwhile
        meanwhile()
        _wait(process, url, log)
        yield url
    except BaseException:
        _end(process)
        raise
    else:
        _end(process)
        if name != SERVED:
            log.unlink(missing_ok=True)
    finally:
        (folder / name).unlink(missing_ok=True)
        if os.environ.get(API) == url:
            del os.environ[API]
        if unset:
            os.environ.pop(UNENCRYPTED, None)


def responds(url: str) -> bool:
    """Whether a Prefect server responds at an address, without a proxy where it is on this machine."""
    if not url.startswith(("http://", "https://")):
        return False
    try:
        near = urlsplit(url).hostname in LOOPBACK
        opener = build_opener(ProxyHandler({})) if near else build_opener()
        with opener.open(f"{url.rstrip('/')}/health", timeout=RESPONDS_WITHIN) as response:
            return bool(response.status == 200)
    except (OSError, ValueError):
        return False


def without_proxy() -> None:
    """Keep a proxy of the environment out of connections to this machine."""
    for name in ("NO_PROXY", "no_proxy"):
        listed = [one for one in os.environ.get(name, "").split(",") if one]
        os.environ[name] = ",".join(dict.fromkeys([*listed, "127.0.0.1", "localhost"]))


def _bound(port: int) -> socket.socket:
    """Return a socket on the loopback address; a free port for 0. The server inherits it: no race."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
    except OSError:
        listening.close()
        raise SurroundingsError(
            f"port {port} is taken; choose another with serve.port=, or set {API} to the server to use"
        ) from None
    return listening


def _start(listening: socket.socket, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "flows.prefect.process", str(listening.fileno()), str(os.getpid())]
    with log.open("wb") as output:
        # a session of its own: Ctrl-C ends the run first, and only then its server
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=os.environ | environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            start_new_session=True,
            pass_fds=[listening.fileno()],
        )


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    began = reported = time.monotonic()
    while not responds(url):
        now = time.monotonic()
        if process.poll() is not None:
            raise SurroundingsError(f"the Prefect server did not start; see {log}")
        if now - began > STARTS_WITHIN:
            raise SurroundingsError(
                f"the Prefect server did not respond within {STARTS_WITHIN:g} s; see {log}"
            )
        if now - reported > REPORT_AFTER:
            reported = now
            say(f"waiting for the Prefect server, {now - began:.0f} s")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all that it started."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, ending)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=ENDS_WITHIN)
            break
