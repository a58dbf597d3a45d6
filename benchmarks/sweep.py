"""A sweep of many jobs against their plain Python loop, both in two processes: python benchmarks/sweep.py.

A job's work is a scheduler that keeps a core busy. The chain calls a scheduler twice (once to warm up), so
each call does half of the work; the plain loop calls it twice as well. Bar: 60 jobs of 5 s at most 1.3 times
their loop.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

SCHEDULER = '''"""A scheduler that keeps a core busy for a given number of steps."""

import os

from baselines.greedy import place_greedy


def work(steps):
    total = 0
    for i in range(steps):
        total += i * i % 7
    return total


def place(group, cluster, worth):
    work(int(os.environ["METIS_BENCH_STEPS"]))
    return place_greedy(group, cluster, worth)
'''


def work(steps: int) -> int:
    total = 0
    for i in range(steps):
        total += i * i % 7
    return total


def twice(steps: int) -> None:
    work(steps)
    work(steps)


def steps_for(seconds: float) -> int:
    """Steps of `work` that take so many CPU-seconds here, by the median of five trials."""
    trial = 10_000_000
    spent = []
    for _ in range(5):
        start = time.process_time()
        work(trial)
        spent.append(time.process_time() - start)
    return int(trial * seconds / median(spent))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=5.0, help="of work per job")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    steps = steps_for(options.seconds / 2)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "busy.py").write_text(SCHEDULER)
        metis = [sys.executable, "-m", "flows.cli", "run"]
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
            env=environment(steps),
            capture_output=True,
            text=True,
        )
        assert first.returncode == 0, first.stderr
        loop = looped(options.jobs // 2, steps, options.processes)
        start = time.perf_counter()
        swept = subprocess.run(
            [*metis, "-m", *fixed, "scheduler=busy:place", f"groups.seed=range(0,{options.jobs})",
             f"runner.jobs={options.processes}"],
            cwd=folder,
            env=environment(steps),
            capture_output=True,
            text=True,
        )  # fmt: skip
        sweep = time.perf_counter() - start
        assert swept.returncode == 0, swept.stderr
    loop += looped(options.jobs - options.jobs // 2, steps, options.processes)
    print(f"{options.jobs} jobs of {options.seconds:g} s in {options.processes} processes")
    print(f"sweep {sweep:.1f} s, plain loop {loop:.1f} s, ratio {sweep / loop:.2f} (bar 1.3)")


def looped(jobs: int, steps: int, processes: int) -> float:
    """Seconds of the plain loop; half of it runs before the sweep and half after, for the machine's moods."""
    start = time.perf_counter()
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(twice, [steps] * jobs))
    return time.perf_counter() - start


def environment(steps: int) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    return {**os.environ, "METIS_BENCH_STEPS": str(steps), "PYTHONPATH": root}


if __name__ == "__main__":
    main()
