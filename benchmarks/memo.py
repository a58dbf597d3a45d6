"""What verbs do again after a finished chain: python benchmarks/memo.py [--words experiment=quick].

Runs the chain in a temporary folder, then each verb on the same settings: wall and CPU-seconds, and the steps
that it made (nothing is to be fitted or trained). Then a step is done again whose output comes out the same.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

METIS = [sys.executable, "-m", "flows.command.main"]
VERBS = ("place scheduler=greedy", "place", "compare", "explain", "constraints", "status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--words", nargs="*", default=[])
    words = parser.parse_args().words
    print(f"cores {os.cpu_count()}, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        common = [*words, f"tracking.path={folder}", "output=json"]
        timed("run, cold", ["run", *common])
        made = timed("run, warm", ["run", *common])
        assert json.loads(made)["done"] == []
        for verb in VERBS:
            name, *own = verb.split()
            timed(verb, [name, *own, *common])
        again = timed("run rerun=[simulator]", ["run", *common, "rerun=[simulator]"])
        print(f"done again with rerun=[simulator]: {json.loads(again)['done']}")


def timed(what: str, words: list[str]) -> str:
    """Run the command, print what it took and which steps it made; return its document."""
    begun, used = time.perf_counter(), os.times()
    ended = subprocess.run([*METIS, *words], capture_output=True, text=True, check=False, timeout=1800)
    if ended.returncode:
        raise SystemExit(ended.stderr)
    wall, now = time.perf_counter() - begun, os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    steps = [line.split(":")[0].strip() for line in ended.stderr.splitlines() if " CPU s" in line]
    print(f"{what}: {wall:.2f} s, {cpu:.2f} CPU-s, {len(steps)} steps made", flush=True)
    return ended.stdout


if __name__ == "__main__":
    main()
