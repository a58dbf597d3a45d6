"""One group of each of the paper's six sizes through all schedulers but the learners: seconds in all.

python benchmarks/six_sizes.py [--bar 90]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time

SIZES = ((81, 200), (81, 300), (81, 400), (729, 1000), (729, 2000), (729, 3000))
SCHEDULERS = "[optimum,greedy,greedy+local_search,medea,paragon,spread,round_robin]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bar", type=float, default=90.0)
    bar = parser.parse_args().bar
    wall, used = time.perf_counter(), os.times()
    with tempfile.TemporaryDirectory() as folder:
        for nodes, size in SIZES:
            words = [f"cluster.nodes={nodes}", f"group.size={size}", "groups.count=1"]
            words += [f"schedulers={SCHEDULERS}", f"tracking.path={folder}"]
            subprocess.run([sys.executable, "-m", "flows.command.main", "compare", *words], check=True)
    wall, now = time.perf_counter() - wall, os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, the bar is {bar:g} s")
    raise SystemExit(0 if wall <= bar else 1)


if __name__ == "__main__":
    main()
