"""What an exploration leaves to gain: python benchmarks/confirm.py --seeds 0,1,2 [explore.confirm=0 ...].

Explores for the default groups, 150 measurements of the embedded testbed, and places them by the exact
optimum and by greedy + local search on what it believes, at several `simulator.caution`: shares of the true
optimum and the lead of the first, with 95 % intervals over the groups.
"""

import argparse
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.configuration.compose import compose_plain
from flows.configuration.objects import make_cluster, make_groups, make_testbed
from flows.configuration.settings import validated
from flows.engine.work import no_progress
from flows.placing.decisions import scheduler_for
from flows.placing.exploring import explore_groups
from flows.report.intervals import interval
from flows.stages.explore import explored_problem
from metis.problem.evaluation import value
from metis.problem.objectives import tabulated
from metis.simulate.simulator import FittedSimulator

CAUTIONS = (0.0, 0.25, 0.5)


def shown(shares: list[float]) -> str:
    """A mean and the half width of its interval, in per cent."""
    found = interval(shares)
    return f"{found.mean:.2%} ± {found.half:.2%}"


def add_seed(table: Table, seed: int, words: list[str]) -> None:
    """Explore under a seed, and add a row per caution."""
    settings = validated(compose_plain([f"seed={seed}", *words]))
    testbed = make_testbed(settings)
    start = time.process_time()
    found = explore_groups(explored_problem(settings), testbed, None, no_progress)
    spent = time.process_time() - start
    cluster, truth = make_cluster(settings, testbed.space), testbed.truth(tabulated(settings.objective))
    groups = make_groups(settings, testbed.space.apps)
    true = [settings.objective.bind(group, cluster, truth) for group in groups]
    exact = scheduler_for(settings, "optimum", truth)
    pairs = list(zip(groups, true, strict=True))
    best = [value(exact.place(g, cluster, w).placement, cluster, w) for g, w in pairs]
    for caution in CAUTIONS:
        doubts = found.belief.doubts(seed)
        tables = FittedSimulator(found.belief.tables, {}, doubts).cautious(caution).tables
        reached: dict[str, list[float]] = {}
        for name in ("optimum", "greedy+local_search"):
            scheduler = scheduler_for(settings, name, tables)
            worths = [settings.objective.bind(group, cluster, tables) for group in groups]
            placed = [scheduler.place(g, cluster, w).placement for g, w in zip(groups, worths, strict=True)]
            values = [value(p, cluster, w) for p, w in zip(placed, true, strict=True)]
            reached[name] = [own / most for own, most in zip(values, best, strict=True)]
        first, second = reached.values()
        lead = (np.array(first) - np.array(second)).tolist()
        runs = f"{len(found.profile)} of {found.measurements}"
        table.add_row(
            str(seed), f"{caution:g}", shown(first), shown(second), shown(lead), runs, f"{spent:.0f}"
        )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("words", nargs="*", help="overrides, such as explore.confirm=0")
    options = parser.parse_args()
    columns = ("seed", "caution", "optimum (belief)", "greedy+local_search", "ahead by", "distinct", "CPU-s")
    table = Table(*columns)
    for seed in map(int, options.seeds.split(",")):
        add_seed(table, seed, options.words)
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
