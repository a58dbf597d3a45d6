"""Seconds of a lab: benchmarks/lab.py [--repeats N] [--workers N].

The node's image must exist (`make lab-deps`). Up: from nothing to SSH and an engine on every host. Join:
until all of them are Ready in one Swarm. Again: both, on a lab that runs already. Bar: up + join <= 30 s.
"""

import argparse
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Inventory
from cluster.provision.lab import lab
from cluster.provision.lab.image import local_engine, node_image
from cluster.settings import ConnectSettings
from cluster.swarm.membership import membership as swarm

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    node_image(local_engine())
    rows = [measure(asked.workers) for _ in range(asked.repeats)]
    load = os.getloadavg()[0]
    table = Table(title=f"A lab of {asked.workers} workers: seconds of {asked.repeats} runs, load {load:.1f}")
    for heading in ("", "median", "worst"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in rows[0]:
        seconds = [row[name] for row in rows]
        table.add_row(name, f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}")
    Console().print(table)


def measure(workers: int) -> dict[str, float]:
    """Seconds of one lab's life."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / name
        try:
            inventory, seconds["up"] = timed(lambda: lab.up(state, name, workers))
            _, seconds["join"] = timed(lambda: join(inventory))
            seconds["up + join"] = seconds["up"] + seconds["join"]
            _, seconds["again"] = timed(lambda: join(lab.up(state, name, workers)))
        finally:
            _, seconds["down"] = timed(lambda: lab.down(state, name))
    return seconds


def join(inventory: Inventory) -> None:
    """Make the hosts one Swarm."""
    with Fleet(inventory, ConnectSettings()) as fleet:
        swarm.prepare(fleet)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What `work` gives, and the seconds it took."""
    begun = time.perf_counter()
    made = work()
    return made, time.perf_counter() - begun


if __name__ == "__main__":
    main()
