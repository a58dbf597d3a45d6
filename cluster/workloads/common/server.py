"""The HTTP server of every workload: `GET /` does one unit of work, `/healthz`, `/metrics`.

Standard library only. Requests are accepted at once, units of work are done one after the other by a single
thread, in the order of arrival: a container's RPS then says how fast its work goes, and health and
metrics are served meanwhile.
"""

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.metrics import Metrics

MOST_WAITING = 64
PATIENCE = 2.0  # seconds that a unit under way may take once the server ends


class NotReadyError(Exception):
    """What a unit of work needs is missing: the response is 503."""


@dataclass(frozen=True)
class WorkResult:
    """Result of one unit of work.

    Attributes:
        source: where its data came from: `redis`, `memcached`, `origin`, or `own`.
        fetch: seconds to get the data.
        work: seconds of work on it.
        result: JSON-able; what a client may check.
    """

    source: str
    fetch: float
    work: float
    result: Mapping[str, Any] = field(default_factory=dict)


Unit = Callable[[], WorkResult]
Files = Callable[[str], bytes | None]


class Server(ThreadingHTTPServer):
    """Serves one application.

    Args:
        unit: does one unit of work; called by one thread at a time.
        environment: names and address.
        files: further paths: what lies at a path, None for nothing.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, unit: Unit, environment: Environment, files: Files | None = None) -> None:
        self.unit = unit
        self.files = files
        self.environment = environment
        self.names = {"app": environment.app, "node": environment.node, "slot": environment.slot}
        self.metrics = Metrics(self.names)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="unit")
        self._waiting = 0
        self._lock = threading.Lock()
        super().__init__((environment.bind, environment.port), _Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def do_unit(self, client: socket.socket) -> tuple[int, dict[str, Any]]:
        """Wait for the turn of this request, do its unit of work: status and JSON-able body."""
        arrived = time.perf_counter()
        with self._lock:
            if self._waiting >= MOST_WAITING:
                self.metrics.failed()
                return 503, {"error": f"{MOST_WAITING} requests wait already"}
            self._waiting += 1
        try:
            begun, done = self._worker.submit(self._turn, client).result()
        except NotReadyError as error:
            self.metrics.failed()
            return 503, {"error": str(error)}
        except Exception as error:
            self.metrics.failed()
            print(f"unit of work failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            return 500, {"error": f"{type(error).__name__}: {error}"}
        finally:
            with self._lock:
                self._waiting -= 1
        total = time.perf_counter() - arrived
        self.metrics.good(total, done.fetch + done.work)
        seconds = {"fetch": done.fetch, "work": done.work, "wait": begun - arrived, "total": total}
        rounded = {name: round(value, 6) for name, value in seconds.items()}
        known = {"scale": self.environment.scale, "source": done.source, "seconds": rounded}
        return 200, {**self.names, **known, "result": dict(done.result)}

    def _turn(self, client: socket.socket) -> tuple[float, WorkResult]:
        # a client that gave up while it waited gets no work: it would only take time from the next
        if _has_left(client):
            raise NotReadyError("the client left before its turn")
        return time.perf_counter(), self.unit()

    def end(self) -> None:
        """Stop accepting; let a unit under way finish, for a moment."""
        self.shutdown()
        ending = threading.Thread(
            target=self._worker.shutdown, kwargs={"cancel_futures": True}, daemon=True, name="ending"
        )
        ending.start()
        ending.join(PATIENCE)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # one write per response, sent at once: two writes cost up to 40 ms of delayed acknowledgement
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 120
    server: Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            status, body = self.server.do_unit(self.connection)
            self._send(status, "application/json", json.dumps(body).encode())
        elif path == "/healthz":
            self._send(200, "application/json", b'{"status": "ok"}')
        elif path == "/metrics":
            self._send(200, "text/plain; version=0.0.4; charset=utf-8", self.server.metrics.text().encode())
        else:
            found = self.server.files(path) if self.server.files else None
            if found is None:
                self._send(404, "application/json", b'{"error": "there are /, /healthz and /metrics"}')
            else:
                self._send(200, "application/octet-stream", found)

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line per request would be work of no use."""


def serve(
    unit: Unit,
    environment: Environment | None = None,
    files: Files | None = None,
    ended: Callable[[], None] | None = None,
) -> None:
    """Serve `unit` until SIGTERM or SIGINT; then end within two seconds, with exit code 0.

    Prints `listening on PORT` once it does.

    Args:
        unit: does one unit of work.
        environment: names and address; those of the process if None.
        files: further paths that can be read.
        ended: called when the server has ended, such as to end a child.
    """
    server = Server(unit, environment or read_environment(), files)
    ended_by_signal = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended_by_signal.set())
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
    print(f"listening on {server.port}", flush=True)
    ended_by_signal.wait()
    server.end()
    if ended:
        ended()
    sys.stdout.flush()
    # a unit that outlives its patience must not keep the process
    os._exit(0)


def _has_left(client: socket.socket) -> bool:
    try:
        readable, _, _ = select.select([client], [], [], 0)
        return bool(readable) and client.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
