"""A sweep of many jobs against their plain Python loop, both in two processes: python benchmarks/sweep.py.

A job's work is a scheduler that keeps a core busy for so many CPU-seconds. The chain calls a scheduler twice
(once to warm up), so each call does half of the work; the plain loop calls it twice as well. Bar: 60 jobs of
5 s at most 1.3 times their loop.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

SCHEDULER = '''"""A scheduler that keeps a core busy for a given time."""

import os

from baselines.greedy import place_greedy
from benchmarks.sweep import work


def place(group, cluster, worth):
    work(float(os.environ["METIS_BENCH_SECONDS"]))
    return place_greedy(group, cluster, worth)
'''


def work(seconds: float) -> None:
    """Keep a core busy for so many CPU-seconds: the same work whatever the machine's mood is."""
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(10_000))


def twice(seconds: float) -> None:
    work(seconds)
    work(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0, help="of work per job")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    seconds = options.seconds / 2
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "busy.py").write_text(SCHEDULER)
        metis = [sys.executable, "-m", "flows.command.main", "run"]
        fixed = [
            "until=evaluate",
            "group.size=60",
            "cluster.nodes=27",
            "groups.count=1",
            "simulator.trees=50",
        ]
        first = subprocess.run(  # what all jobs share (database, profile, simulator) is no job's work
            [*metis, *fixed, "schedulers=[optimum]", "tracking.orchestrate=false"],
            cwd=folder,
            env=environment(seconds),
            capture_output=True,
            text=True,
        )
        assert first.returncode == 0, first.stderr
        loop = looped(options.jobs // 2, seconds, options.processes)
        start = time.perf_counter()
        swept = subprocess.run(
            [*metis, "-m", *fixed, "scheduler=busy:place", f"groups.seed=range(0,{options.jobs})",
             f"runner.jobs={options.processes}"],
            cwd=folder,
            env=environment(seconds),
            capture_output=True,
            text=True,
        )  # fmt: skip
        sweep = time.perf_counter() - start
        assert swept.returncode == 0, swept.stderr
    loop += looped(options.jobs - options.jobs // 2, seconds, options.processes)
    print(f"{options.jobs} jobs of {options.seconds:g} s in {options.processes} processes")
    print(f"sweep {sweep:.1f} s, plain loop {loop:.1f} s, ratio {sweep / loop:.2f} (bar 1.3)")


def looped(jobs: int, seconds: float, processes: int) -> float:
    """Seconds of the plain loop; half of it runs before the sweep and half after, for the machine's moods."""
    start = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(twice, [seconds] * jobs))
    return time.perf_counter() - start


def environment(seconds: float) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "METIS_BENCH_SECONDS": str(seconds), "PYTHONPATH": root}


if __name__ == "__main__":
    main()
