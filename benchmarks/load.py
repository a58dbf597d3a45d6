"""Requests/s that one Locust process gives, and seconds of a co-location beyond its load: two commands.

python benchmarks/load.py                     HttpUser, FastHttpUser and our own load file, on loopback
python benchmarks/load.py --runs RUNS.csv     overhead of the runs that stage profile wrote (bars: 15 and 3 s)
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from cluster.load.generator import Target, load_here
from cluster.settings import LoadSettings

BAR, LOOK_BAR = 15.0, 3.0  # seconds; of these, for reading the node's circumstances
# as little work as an answer can be, so that Locust is what limits
SERVER = """
import asyncio
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}"

class Answering(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))

async def main():
    server = await asyncio.get_running_loop().create_server(Answering, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
PLAIN = """
from locust import FastHttpUser, HttpUser, constant, task

class One({base}):
    wait_time = constant(0)
    @task
    def once(self):
        self.client.get("/")
"""


@contextlib.contextmanager
def served(core: int) -> Iterator[str]:
    """Origin of a server on a core of its own."""
    words = [sys.executable, "-c", SERVER]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, preexec_fn=pinned(core)) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.kill()


def pinned(core: int) -> Callable[[], None]:
    return lambda: os.sched_setaffinity(0, {core})


def plain_rps(base: str, origin: str, users: int, seconds: float, core: int) -> float:
    """Requests/s of Locust's own user class, by its own statistics."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "plain.py"
        file.write_text(PLAIN.format(base=base))
        words = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "--json", "--host", origin]
        words += ["-u", str(users), "-r", str(users), "-t", f"{seconds:.0f}s", "--loglevel", "ERROR"]
        found = subprocess.run(
            words, capture_output=True, text=True, timeout=seconds + 60, check=True, preexec_fn=pinned(core)
        )
    entry = json.loads(found.stdout)[0]
    assert not entry["num_failures"]
    return float(entry["num_requests"]) / (entry["last_request_timestamp"] - entry["start_time"])


def our_rps(origin: str, users: int, seconds: float, core: int) -> float:
    """Requests/s of the load file that profiles."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # what is started from here stays there
    try:
        answer = load_here([Target("one", f"{origin}/", users)], LoadSettings(duration=seconds, warm_up=1))
    finally:
        os.sched_setaffinity(0, everywhere)
    assert not answer["one"].failures
    return answer["one"].rps


def clients(users: int, seconds: float, rounds: int) -> Table:
    """Median requests/s of each client over some rounds, server and Locust on cores of their own."""
    cores = sorted(os.sched_getaffinity(0))
    first, last = cores[0], cores[-1]
    rows: dict[str, list[float]] = {"HttpUser": [], "FastHttpUser": [], "our load file": []}
    with served(first) as origin:
        for _ in range(rounds):
            for base in ("HttpUser", "FastHttpUser"):
                rows[base].append(plain_rps(base, origin, users, seconds, last))
            rows["our load file"].append(our_rps(origin, users, seconds, last))
    table = Table(title=f"One Locust process, {users} users, {rounds} rounds of {seconds:g} s")
    for heading in ("client", "requests/s (median)", "least", "most"):
        table.add_column(heading)
    for name, values in rows.items():
        median = pd.Series(values).median()
        table.add_row(name, f"{median:.0f}", f"{min(values):.0f}", f"{max(values):.0f}")
    return table


def overheads(path: Path) -> Table:
    """Seconds of a run beyond warm-up and window: launch, readiness, start of Locust, removal."""
    runs = pd.read_csv(path)
    table = Table(title=f"Seconds beyond the load, {len(runs)} runs")
    for heading in ("", "median", "90 %", "most", "bar", "runs within it"):
        table.add_column(heading)
    for name, column, bar in (("all", "overhead", BAR), ("circumstances", "looked", LOOK_BAR)):
        seconds = runs[column].dropna()
        numbers = [seconds.median(), seconds.quantile(0.9), seconds.max(), bar]
        table.add_row(name, *(f"{number:.2f}" for number in numbers), f"{(seconds <= bar).mean():.0%}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, help="runs.csv of stage profile")
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = overheads(given.runs) if given.runs else clients(given.users, given.seconds, given.rounds)
    Console().print(found)


if __name__ == "__main__":
    main()
