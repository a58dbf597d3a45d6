"""Kill first starts of `metis run`: no folder may be broken for good, and no Prefect server left behind.

python benchmarks/kills.py --kills 50 --within 20

Each kill hits a fresh folder at a random moment of its first seconds; then the same command must complete.
"""

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = ["experiment=quick", "cluster.nodes=9", "cluster.slots=4", "group.size=20", "groups.count=2"]
WORDS += ["simulator.trees=5", "schedulers=[greedy]"]


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a run into a folder."""
    command = [sys.executable, "-m", "flows.command.main", "run", *WORDS, f"tracking.path={folder}"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )


def left_behind(folder: Path) -> list[int]:
    """Return the processes that work in a folder still."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in path.read_bytes() and int(path.parent.name) != os.getpid():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def main() -> None:
    """Kill, complete, and report what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--within", type=float, default=20.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    drawn = random.Random(asked.seed)
    broken = orphans = 0
    for number in range(asked.kills):
        folder = Path(tempfile.mkdtemp(prefix="metis-kills-")) / "mlruns"
        process, after = start(folder), drawn.uniform(0.5, asked.within)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(2.0)
        orphans += len(left_behind(folder))
        found = "no database"
        if (folder / "mlflow.db").is_file():
            with sqlite3.connect(folder / "mlflow.db") as connection:
                found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        again = start(folder)
        _, err = again.communicate()
        broken += again.returncode != 0
        print(f"{number + 1}: killed after {after:.1f} s, {found}; then exit {again.returncode}", flush=True)
        if again.returncode:
            print(err, flush=True)
        shutil.rmtree(folder.parent)
    print(f"{asked.kills} kills: {broken} folders broken, {orphans} processes left behind")


if __name__ == "__main__":
    main()
