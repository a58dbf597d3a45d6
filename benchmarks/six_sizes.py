"""One group of each of the paper's six sizes through all schedulers but the learners: seconds in all.

python benchmarks/six_sizes.py [--bar 90]
"""

import argparse
import time

from rich.console import Console

from flows.command.verbs.compare import compare, title_of
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.console import comparison_table
from flows.engine.work import no_progress

SIZES = ((81, 200), (81, 300), (81, 400), (729, 1000), (729, 2000), (729, 3000))
SCHEDULERS = "[optimum,greedy,greedy+local_search,medea,paragon,spread,round_robin]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bar", type=float, default=90.0)
    bar = parser.parse_args().bar
    console = Console(width=120)
    wall, cpu = time.perf_counter(), time.process_time()
    for nodes, size in SIZES:
        words = [f"cluster.nodes={nodes}", f"group.size={size}", "groups.count=1", f"schedulers={SCHEDULERS}"]
        settings = validated(compose_plain(words))
        results = compare(settings, no_progress)
        console.print(comparison_table(results, f"{size} containers: {title_of(settings, results)}"))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    console.print(f"{wall:.1f} s wall, {cpu:.1f} s CPU, the bar is {bar:g} s")
    raise SystemExit(0 if wall <= bar else 1)


if __name__ == "__main__":
    main()
