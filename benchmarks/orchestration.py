"""What orchestration costs: per stage beyond the work, and the seconds of the command.

usage: python benchmarks/orchestration.py [--runs 3]

Starts a Prefect server, runs the shrunk chain against it in one process that has imported everything (one
run to warm up), and compares the wall time of the whole with the time spent inside the stages. Then times
`metis --help` and `metis place scheduler=greedy` (simulator fitted) from the shell. Tracking is SQLite in a
temporary folder.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

CHAIN = [
    "experiment=quick",
    "cluster.nodes=9",
    "cluster.slots=4",
    "group.size=20",
    "groups.count=2",
    "simulator.trees=10",
    "simulator.held_out=0.1",
    "schedulers=[greedy,greedy+local_search]",
]
INNER = "METIS_BENCHMARK_FOLDER"
METIS = [sys.executable, "-m", "flows.command.main"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    if INNER in os.environ:
        chains(Path(os.environ[INNER]), runs)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
        print(f"metis --help: {timed([*METIS, '--help'], runs)} (bar 0.3)")
        place = [*METIS, "place", "scheduler=greedy", f"tracking.path={folder / 'place'}", "output=json"]
        timed(place, 1)  # fits the simulator
        print(f"metis place scheduler=greedy, fitted: {timed(place, runs)} (bar 1.5)")
        under_a_server(folder / "runs", runs)


def timed(command: list[str], runs: int) -> str:
    """Median wall and CPU-seconds of a command, in words."""
    wall, cpu = [], []
    for _ in range(runs):
        begun, used = time.perf_counter(), os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
        wall.append(time.perf_counter() - begun)
        now = os.times()
        cpu.append(now.children_user + now.children_system - used.children_user - used.children_system)
    return f"{median(wall):.2f} s, {median(cpu):.2f} CPU-s"


def under_a_server(folder: Path, runs: int) -> None:
    """The chain in a process of its own, which Prefect's engine must be imported into first."""
    from flows.prefect import server as prefect_server

    folder.mkdir()
    with prefect_server.server(folder, 4299) as url:
        environment = os.environ | {INNER: str(folder), "PREFECT_API_URL": url}
        command = [sys.executable, __file__, "--runs", str(runs)]
        subprocess.run(command, check=True, env=environment, timeout=1800)


def chains(folder: Path, runs: int) -> None:
    """Run the chain with other groups each time; print the overhead with Prefect and without."""
    import prefect.main  # noqa: F401  before everything else

    from flows.configuration.compose import compose_plain
    from flows.configuration.settings import validated
    from flows.engine import memo
    from flows.prefect.run import run_chain

    work: list[tuple[float, float]] = []  # wall and CPU-seconds of each stage
    run_logged = memo._run_logged

    def watched(step, given, store):
        begun = clocks()
        run_logged(step, given, store)
        work.append(since(begun))

    memo._run_logged = watched
    found: dict[str, list[tuple[float, float]]] = {"true": [], "false": []}
    for i in range(runs + 1):
        for orchestrate, overheads in found.items():
            seed = f"profile.seed={100 * i + len(orchestrate)}"
            words = [*CHAIN, f"tracking.path={folder}", f"tracking.orchestrate={orchestrate}", seed]
            settings = validated(compose_plain(words))
            work.clear()
            begun = clocks()
            run_chain(settings)
            whole = since(begun)
            if i:  # the first one imports
                beyond = [(whole[k] - sum(each[k] for each in work)) / len(work) for k in (0, 1)]
                overheads.append((beyond[0], beyond[1]))
    found_by = {"tracking and Prefect": found["true"], "tracking alone": found["false"]}
    for what, overheads in found_by.items():
        wall, cpu = (median(each[k] for each in overheads) for k in (0, 1))
        print(f"{what}: {wall:.3f} s a stage beyond the work (bar 0.3), {cpu:.3f} CPU-s of this process")


def clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(begun: tuple[float, float]) -> tuple[float, float]:
    now = clocks()
    return now[0] - begun[0], now[1] - begun[1]


if __name__ == "__main__":
    main()
