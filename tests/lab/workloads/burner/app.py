"""A workload of nothing but CPU: a request takes BURN_MS milliseconds of it."""

import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

SECONDS = float(os.environ["BURN_MS"]) / 1000
ONE_AT_A_TIME = Lock()


class Handler(BaseHTTPRequestHandler):
    """GET / burns, GET /healthz does not."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Burn, then respond."""
        if self.path == "/":
            with ONE_AT_A_TIME:
                end = time.thread_time() + SECONDS
                while time.thread_time() < end:
                    pass
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
