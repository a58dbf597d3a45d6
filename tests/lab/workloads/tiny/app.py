"""The smallest workload: returns what it was given, can eat memory, and dies when asked to."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

EATEN: list[bytearray] = []


class Handler(BaseHTTPRequestHandler):
    """GET /healthz, /, /eat (64 MB more), /die."""

    def do_GET(self) -> None:
        """Respond with the environment as JSON."""
        if self.path == "/eat":
            EATEN.append(bytearray(os.urandom(1 << 20) * 64))
        if self.path == "/die":
            os._exit(3)
        body = json.dumps({name: value for name, value in os.environ.items() if "METIS" in name}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


if __name__ == "__main__":
    if os.environ.get("GREEDY"):
        EATEN.append(bytearray(os.urandom(1 << 20) * int(os.environ["GREEDY"])))
    ThreadingHTTPServer(("", 8080), Handler).serve_forever()
