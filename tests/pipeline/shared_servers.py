"""Real shared servers on the loopback address: Postgres, an MLflow and a Prefect server on it."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.prefect.server import OF_A_RUN, UNENCRYPTED
from tests import preloaded

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 240  # seconds to start, on a busy machine
# what `prefect server start` starts, without the process that does so
PREFECT = ("uvicorn", "--factory", "prefect.server.api.server:create_app", "--log-level", "warning")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgres_programs():
    """The folder of Debian's Postgres programs; skips where there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not folders:
        pytest.skip("Postgres is not installed: apt-get install postgresql")
    return folders[-1]


@dataclass
class Postgres:
    """A server of its own, with the password that only this test run knows."""

    port: int
    password: str

    def uri(self, database, driver):
        return f"postgresql+{driver}://metis:{self.password}@127.0.0.1:{self.port}/{database}"


@contextmanager
def postgres(databases):
    """Postgres with empty databases; it refuses to run as root, so root runs it as another user."""
    programs = postgres_programs()
    server, folder = Postgres(free_port(), secrets.token_hex(16)), Path(tempfile.mkdtemp(prefix="metis-pg-"))
    who = {}
    if os.getuid() == 0:
        other = pwd.getpwnam("postgres")
        who = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
        os.chown(folder, other.pw_uid, other.pw_gid)
    (folder / "password").write_text(server.password, encoding="utf-8")
    (folder / "password").chmod(0o644 if who else 0o600)  # the folder itself is closed to others
    data = folder / "data"
    words = [
        "-D",
        data,
        "-U",
        "metis",
        "--auth=scram-sha-256",
        f"--pwfile={folder / 'password'}",
        "--no-sync",
    ]
    subprocess.run([programs / "initdb", *words], check=True, capture_output=True, timeout=LIMIT, **who)
    settings = ("listen_addresses=127.0.0.1", f"port={server.port}", "unix_socket_directories=", "fsync=off")
    command = [programs / "postgres", "-D", data, *(word for each in settings for word in ("-c", each))]
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **who)
    try:
        _make(server, databases, process)
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # a fast shutdown
        process.wait(timeout=60)
        Path(log.name).unlink()
        shutil.rmtree(folder)


def _make(server, databases, process):
    import psycopg2

    until = time.monotonic() + LIMIT
    while True:
        try:
            told = psycopg2.connect(
                host="127.0.0.1", port=server.port, user="metis", password=server.password, dbname="postgres"
            )
            break
        except psycopg2.OperationalError:
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
    told.autocommit = True
    for name in databases:
        told.cursor().execute(f"create database {name}")
    told.close()


@contextmanager
def started(words, environment, log):
    """A Python module as a server, until the block ends."""
    with log.open("wb") as output:
        process = preloaded.Popen(
            [sys.executable, "-m", *words],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=environment,
            cwd=ROOT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # it may have been ended, and waited for
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)


def wait_for(url, process, log):
    """Until `url` answers."""
    until = time.monotonic() + LIMIT
    while True:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        assert time.monotonic() < until, log.read_text(encoding="utf-8")[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)


def plain_environment(**more):
    """The environment without what would lead to other servers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "MLFLOW_", "METIS_"))}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # eight processes more, which nothing asks
    return {**kept, **quiet, UNENCRYPTED: "true", "DO_NOT_TRACK": "true", "PYTHONPATH": path, **more}


@dataclass
class Shared:
    """The addresses of the servers, and where they keep their artifacts."""

    tracking: str
    prefect: str
    database: Postgres
    artifacts: Path
    folder: Path

    def environment(self, **more):
        """That of a client."""
        return plain_environment(METIS_TRACKING_URI=self.tracking, PREFECT_API_URL=self.prefect, **more)

    def start(self, words):
        """A `metis` of this environment, running."""
        return preloaded.Popen(
            [sys.executable, "-m", "flows.command.main", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd=ROOT,
        )


@contextmanager
def shared_servers(folder):
    """Postgres, MLflow and Prefect; both are started at once, since each takes its ten seconds."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres(["mlflow", "prefect"]))
        ports = free_port(), free_port()
        artifacts = folder / "artifacts"
        mlflow = stack.enter_context(mlflow_server(database, ports[0], artifacts, folder / "mlflow.log"))
        prefect = stack.enter_context(
            started(
                [*PREFECT, "--host", "127.0.0.1", "--port", str(ports[1])],
                plain_environment(
                    **OF_A_RUN,
                    PREFECT_HOME=str(folder / "prefect"),
                    PREFECT_API_DATABASE_CONNECTION_URL=database.uri("prefect", "asyncpg"),
                ),
                folder / "prefect.log",
            )
        )
        tracking, api = (f"http://127.0.0.1:{port}" for port in ports)
        wait_for(f"{tracking}/health", mlflow, folder / "mlflow.log")
        wait_for(f"{api}/api/health", prefect, folder / "prefect.log")
        yield Shared(tracking, f"{api}/api", database, artifacts, folder)


def mlflow_server(database, port, artifacts, log):
    """An MLflow server on `database` that serves the artifacts itself."""
    words = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment = plain_environment(MLFLOW_BACKEND_STORE_URI=database.uri("mlflow", "psycopg2"))
    return started([*words, "--artifacts-destination", str(artifacts)], environment, log)
