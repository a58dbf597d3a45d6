"""A Redis server under redis-benchmark; neighbours on its node read pictures and files from it."""

import subprocess
import time
from pathlib import Path

from cluster.workloads.common import pictures
from cluster.workloads.common.environment import Environment, read_environment
from cluster.workloads.common.server import Unit, WorkResult, serve
from cluster.workloads.common.stores import Redis, StoreError

REQUESTS = 20_000  # of each kind, at scale 1
KINDS = ("lpush", "lpop", "incr")
PORT = 6379
START_TIMEOUT = 10.0
BENCHMARK_TIMEOUT = 300.0


def start_redis(bind: str, port: int) -> subprocess.Popen[bytes]:
    """Start a Redis server that keeps everything in memory; returns once it replies.

    Raises:
        SystemExit: it ends or does not reply.
    """
    # no password: its only network is the overlay of this cluster, and all it holds are test data
    options = {"bind": bind, "port": str(port), "protected-mode": "no", "save": "", "appendonly": "no"}
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(["redis-server", *words, "--loglevel", "warning"], cwd="/tmp")
    client = Redis(f"127.0.0.1:{port}")
    until = time.monotonic() + START_TIMEOUT
    while time.monotonic() < until and process.poll() is None:
        try:
            client.ping()
            return process
        except StoreError:
            time.sleep(0.02)
    process.kill()
    raise SystemExit(f"redis-server does not reply on port {port}")


def seed(client: Redis, folder: Path) -> None:
    """Put the pictures of MMS and ISR where they look for them."""
    for name, data in pictures.load_all(folder).items():
        client.set(pictures.key(name), data)


def read_benchmark(text: str) -> dict[str, float]:
    """Requests a second by kind, from redis-benchmark's CSV.

    Raises:
        ValueError: one of the kinds is not there.
    """
    rows = [line.replace('"', "").split(",") for line in text.splitlines()]
    rates = {row[0].lower(): float(row[1]) for row in rows if len(row) > 1 and row[0].lower() in KINDS}
    if set(rates) != set(KINDS):
        raise ValueError(f"redis-benchmark said {text[-200:]!r}")
    return rates


def make_unit(environment: Environment, port: int) -> Unit:
    """A unit of work: so many lpush, lpop and incr, by one client."""
    requests = max(1, round(REQUESTS * environment.scale))
    command = ["redis-benchmark", "-h", "127.0.0.1", "-p", str(port), "-c", "1", "-n", str(requests)]
    command += ["-t", ",".join(KINDS), "--csv"]

    def unit() -> WorkResult:
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=BENCHMARK_TIMEOUT)
        if done.returncode:
            raise RuntimeError(f"redis-benchmark: {(done.stderr or done.stdout)[-200:].strip()}")
        rates = read_benchmark(done.stdout)
        return WorkResult("own", 0.0, time.perf_counter() - begun, {"requests": requests, "rates": rates})

    return unit


def main() -> None:
    """Start, seed, serve; end the child with us."""
    environment = read_environment()
    process = start_redis(environment.bind, PORT)
    seed(Redis(f"127.0.0.1:{PORT}"), Path("/srv/pictures"))
    serve(make_unit(environment, PORT), environment, ended=process.terminate)


if __name__ == "__main__":
    main()
