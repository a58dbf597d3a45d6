"""Seconds to build images, bring them to the nodes, and launch and remove co-locations, on a running lab.

    metis lab up
    python benchmarks/images.py mlruns/cluster/metis/inventory.json

Builds the seven applications with the lab's settings; what was built before shows as the second build does.
Every pair of the applications named by `--apps` is then launched on the first worker, asked once and removed.
"""

import argparse
import time
from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import TypeVar

import numpy as np

from cluster.images.build import build
from cluster.images.catalog import load_catalog
from cluster.images.distribution import distribute
from cluster.provision.hosts import Fleet
from cluster.provision.inventory import Inventory
from cluster.settings import BuildSettings, LaunchSettings
from cluster.swarm.backend import SwarmBackend

SEVEN = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")
T = TypeVar("T")


def timed(what: str, do: Callable[[], T]) -> T:
    began = time.perf_counter()
    done = do()
    print(f"{what}: {time.perf_counter() - began:.2f} s", flush=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inventory", type=Path)
    parser.add_argument("--apps", nargs="+", default=list(SEVEN))
    parser.add_argument("--pairs", type=int, default=10, help="how many pairs at most")
    parser.add_argument("--base", default="metis-base:bookworm")
    parser.add_argument("--scale", type=float, default=0.01)
    given = parser.parse_args()
    inventory = Inventory.load(given.inventory)
    settings = BuildSettings(base_image=given.base, network="host", scale=given.scale)
    workloads = load_catalog([], given.apps)
    images = timed("build, first", lambda: build(workloads, settings, report=print))
    timed("build, second", lambda: build(workloads, settings, report=print))
    for tag, size in sorted({(one.tag, one.size) for one in images}):
        print(f"  {tag}: {size / 1e6:.0f} MB")
    with Fleet(inventory) as fleet:
        known = timed("distribute, first", lambda: distribute(fleet, images, settings, report=print))
        timed("distribute, second", lambda: distribute(fleet, known, settings, report=print))
        launch = LaunchSettings(cpus=1.0, memory_mb=512, cache_mb=64)
        backend = SwarmBackend(fleet, workloads, known, launch)
        timed("sweep", backend.sweep)
        timed("support, first", backend.ensure_support)
        measure(backend, inventory.workers[0].name, len(given.apps), given.pairs)


def measure(backend: SwarmBackend, node: str, apps: int, pairs: int) -> None:
    """Launch and remove pairs of applications; print each, the median and the worst."""
    took = []
    chosen = list(combinations_with_replacement(range(apps), 2))[:pairs]
    for pair in chosen:
        counts = np.bincount(pair, minlength=apps)
        began = time.perf_counter()
        with backend.running({node: counts}, "benchmark") as containers:
            launched = time.perf_counter()
            names = " + ".join(one.app for one in containers)
        ended = time.perf_counter()
        took.append((launched - began, ended - launched))
        print(f"{names}: launch {took[-1][0]:.2f} s, remove {took[-1][1]:.2f} s", flush=True)
    seconds = np.array(took)
    both = seconds.sum(axis=1)
    print(
        f"launch, median: {np.median(seconds[:, 0]):.2f} s; remove, median: {np.median(seconds[:, 1]):.2f} s"
    )
    print(f"launch and remove, median: {np.median(both):.2f} s; worst: {both.max():.2f} s")


if __name__ == "__main__":
    main()
