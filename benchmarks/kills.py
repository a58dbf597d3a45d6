"""Kill first starts of `metis run`: no folder may be broken for good, and no Prefect server left behind.

python benchmarks/kills.py --kills 50
python benchmarks/kills.py --kills 5 --seed 3      a piece of it, some two minutes
python benchmarks/kills.py --kills 10 --creating --within 5      while the databases are made

Each kill hits a fresh folder at a random moment of its first CPU-seconds, so that a busy machine is hit at
the same places: imports, both databases, Prefect's server, the first steps. Then the same command must
complete.
"""

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path

# what starts and is recorded is as in every run; little is measured, so that fifty fit into half an hour
WORDS = ["experiment=quick", "cluster.nodes=9", "cluster.slots=4", "group.size=20", "groups.count=2"]
WORDS += ["profile=testbed", "profile.share=0.2", "simulator=boosted", "stages=[setup,profile]"]


def start(folder: Path) -> subprocess.Popen[str]:
    """Start a run into a folder."""
    command = [sys.executable, "-m", "flows.command.main", "run", *WORDS, f"tracking.path={folder}"]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )


def complete(folder: Path) -> int:
    """Return the exit code of the same command, begun in a copy of this process: its imports are done."""
    process = multiprocessing.get_context("fork").Process(target=_main, args=(folder,))
    process.start()
    process.join()
    return process.exitcode or 0


def _main(folder: Path) -> None:
    from flows.command.main import main

    with (folder.parent / "errors.txt").open("w", encoding="utf-8") as errors:
        os.dup2(errors.fileno(), 2)
        sys.exit(main(["run", *WORDS, f"tracking.path={folder}"]))


def cpu_seconds(process: int) -> float:
    """Return the CPU-seconds that a process has taken, its threads included."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
    parser.add_argument("--within", type=float, default=10.0, help="CPU-seconds of the command")
    parser.add_argument("--creating", action="store_true", help="count from when the store's folder appears")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    drawn = random.Random(asked.seed)
    broken = orphans = late = 0
    for name in ("mlflow.store.tracking.sqlalchemy_store", "flows.command.verbs.run"):
        import_module(name)
    for number in range(asked.kills):
        folder = Path(tempfile.mkdtemp(prefix="metis-kills-")) / "mlruns"
        process, after = start(folder), drawn.uniform(0.0 if asked.creating else 0.5, asked.within)
        while asked.creating and process.poll() is None and not folder.exists():
            time.sleep(0.002)
        after += cpu_seconds(process.pid) if asked.creating and process.returncode is None else 0.0
        while process.poll() is None and cpu_seconds(process.pid) < after:
            time.sleep(0.01)
        late += process.returncode is not None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        time.sleep(2.0)
        orphans += len(left_behind(folder))
        found = "no database"
        if (folder / "mlflow.db").is_file():
            with sqlite3.connect(folder / "mlflow.db") as connection:
                found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        code = complete(folder)
        broken += code != 0
        print(f"{number + 1}: killed after {after:.1f} CPU-s, {found}; then exit {code}", flush=True)
        if code:
            print((folder.parent / "errors.txt").read_text(encoding="utf-8"), flush=True)
        shutil.rmtree(folder.parent)
    print(
        f"{asked.kills - late} kills, {late} runs at their end: {broken} folders broken, "
        f"{orphans} processes left behind"
    )


if __name__ == "__main__":
    main()
