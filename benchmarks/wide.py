"""Shares of the bound, and seconds, where co-locations are too many to tabulate.

    python benchmarks/wide.py --apps 30 --nodes 81 --fill 0.6 1.0 --seeds 0 10

One line per group as it goes, then means and worst cases of `greedy`, `greedy+local_search` and `columns` on
the synthetic testbed; the bound is that of `columns`, proven or estimated.
"""

import argparse

import numpy as np

from baselines.registry import make_wide_scheduler
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of

SCHEDULERS = ("columns", "greedy+local_search", "greedy")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=81)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--fill", type=float, nargs="+", default=[0.6, 1.0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), help="first, and one beyond the last")
    chosen = parser.parse_args()
    make_wide_scheduler("columns").place(*problem(4, 2, 3, 4, 0))  # imports, which are not timed
    for fill in chosen.fill:
        size = round(fill * chosen.nodes * chosen.slots)
        found = {name: [] for name in SCHEDULERS}
        kinds = []
        for seed in range(*chosen.seeds):
            group, cluster, worth = problem(chosen.apps, chosen.nodes, chosen.slots, size, seed)
            for name in SCHEDULERS:
                made = make_wide_scheduler(name).place(group, cluster, worth)
                if name == "columns":
                    bound = made.trace["bound"]
                    kinds.append(made.trace["bound_kind"])
                share = value(made.placement, cluster, worth) / bound
                found[name].append((share, made.seconds, made.cpu_seconds))
            shares = ", ".join(f"{name} {found[name][-1][0]:.3%}" for name in SCHEDULERS)
            print(f"seed {seed}: {shares}", flush=True)
        bounds = ", ".join(sorted(set(kinds)))
        print(f"{chosen.nodes} nodes / {size} containers of {chosen.apps} applications, bounds {bounds}")
        for name in SCHEDULERS:
            shares, seconds, cpu = np.array(found[name]).T
            print(
                f"  {name}: mean {shares.mean():.3%}, worst {shares.min():.3%}, {seconds.mean():.2f} s, "
                f"{cpu.mean():.2f} CPU-s, {cpu.max():.2f} at most",
                flush=True,
            )


def problem(apps, nodes, slots, size, seed):
    oracle = SyntheticOracle(SyntheticModel.drawn(apps, seed), slots)
    cluster = Cluster(oracle.space, nodes)
    group = draw_groups(1, size, apps, np.random.default_rng(seed))[0]
    return group, cluster, worth_of(MeanRps(), group, cluster, oracle)


if __name__ == "__main__":
    main()
