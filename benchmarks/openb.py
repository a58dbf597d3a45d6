"""Alibaba's GPU trace of 2023: pods that stay, placed in order of creation, by each policy.

python benchmarks/openb.py DIR [--shuffled 2] [--policies best_fit fragmentation room]

`--shuffled` adds runs in a random order of the same pods, one for each seed, since one order is one sample.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np

from metis.problem.arrivals import Arrivals, ArrivalsSettings
from metis.problem.openb import read_openb
from metis.program.arrivals import POLICIES, place_arrivals


def main() -> None:
    """Print a line for each order and policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--shuffled", type=int, default=0)
    parser.add_argument("--policies", nargs="+", choices=list(POLICIES), default=list(POLICIES))
    given = parser.parse_args()
    statement, created = read_openb(given.data)
    orders = [("created", created)]
    for seed in range(given.shuffled):
        orders.append((f"seed {seed}", _shuffled(created, seed)))
    for name, arrivals in orders:
        for policy in given.policies:
            cpu = process_time()
            found = place_arrivals(statement, arrivals, ArrivalsSettings(policy, staying=True))
            spent = 1e3 * (process_time() - cpu) / len(arrivals.app)
            print(
                f"{name:8} {policy:14} placed {found.placed:,}; free {found.free:,.1f} GPUs, "
                f"{found.unusable or 0:.2%} of all fragmented; {found.milliseconds.mean():.3f} ms a pod, "
                f"at most {found.milliseconds.max():.0f} ({spent:.3f} CPU-ms with the check)",
                flush=True,
            )


def _shuffled(created: Arrivals, seed: int) -> Arrivals:
    order = np.random.default_rng(seed).permutation(len(created.app))
    return replace(created, app=created.app[order])


if __name__ == "__main__":
    main()
