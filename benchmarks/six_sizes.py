"""One group of each of the paper's six sizes through all schedulers but the learners: seconds in all.

python benchmarks/six_sizes.py [--bar 90]
"""

import argparse
import time
from tempfile import TemporaryDirectory

from flows.command.presenter import present
from flows.command.request import request_of
from flows.command.verbs.compare import VERB

SIZES = ((81, 200), (81, 300), (81, 400), (729, 1000), (729, 2000), (729, 3000))
SCHEDULERS = "[optimum,greedy,greedy+local_search,medea,paragon,spread,round_robin]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bar", type=float, default=90.0)
    bar = parser.parse_args().bar
    wall, cpu = time.perf_counter(), time.process_time()
    with TemporaryDirectory() as folder:  # a store of its own: nothing of earlier runs is reused
        for nodes, size in SIZES:
            words = [f"cluster.nodes={nodes}", f"group.size={size}", f"tracking.path={folder}"]
            words += ["groups.count=1", f"schedulers={SCHEDULERS}"]
            print(f"{size} containers")
            present(VERB.run(request_of("compare", VERB, words)), as_json=False)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, the bar is {bar:g} s")
    raise SystemExit(0 if wall <= bar else 1)


if __name__ == "__main__":
    main()
