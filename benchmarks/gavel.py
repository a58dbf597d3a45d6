"""Training jobs on three types of GPU (Gavel's measured pairs): shares of the bound; what types are worth.

    OMP_NUM_THREADS=1 python benchmarks/gavel.py ../shared/instances/gavel_oracle_throughputs.json

A line per seed and scheduler. RPS are shares of what a job does alone on the type where that is most. "v100
for all" and the like place by columns as if the profile of that type held on all nodes, "all together" as if
the median of the three did; nodes are then alike, so which type gets what is drawn: the mean over 20 draws.
All are judged by what each type really does.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from baselines.contract import WideMaterials
from baselines.registry import make_wide_scheduler
from metis.measure.gavel import SHARING, read_gavel
from metis.measure.profile import profile_of_sheet
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings

SCHEDULERS = ("columns", "greedy+local_search", "greedy", "spread")
DEALT = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rates", type=Path)
    parser.add_argument("--nodes", type=int, default=36, help="of each type")
    parser.add_argument("--containers", type=int, default=160)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), help="first, and one beyond the last")
    chosen = parser.parse_args()
    profile = profile_of_sheet(read_gavel(chosen.rates))
    truth = table_of(profile)
    ignoring = {f"{name} for all": table_of(one) for name, one in profile.types.items()}
    ignoring["all together"] = replace(truth, by_type={})
    shares = {}
    for seed in range(*chosen.seeds):
        group, cluster = drawn(profile, chosen, seed)
        worth = worth_of(MeanRps(), group, cluster, truth)
        bound = None
        for name, known in [*((one, truth) for one in SCHEDULERS), *ignoring.items()]:
            scheduler = name if known is truth else "columns"
            seen = worth_of(MeanRps(), group, cluster, known)
            decision = make_wide_scheduler(scheduler, WideMaterials({})).place(group, cluster, seen)
            if bound is None:
                bound, kind = decision.trace["bound"], decision.trace["bound_kind"]
                print(f"seed {seed}: {group.sum()} jobs, {cluster.nodes} GPUs, bound {bound:.6f} ({kind})")
            placements = [decision.placement] if known is truth else dealt(decision.placement, seed)
            reached = float(np.mean([value(one, cluster, worth) for one in placements]))
            shares.setdefault(name, []).append(reached / bound)
            print(
                f"  {name:20s} {reached:.6f} {reached / bound:8.3%}  {decision.seconds:6.2f} s, "
                f"{decision.cpu_seconds:6.2f} of CPU",
                flush=True,
            )
    for name, found in shares.items():
        print(f"{name:20s} mean {np.mean(found):8.3%}, worst {min(found):8.3%}")


def table_of(profile):
    """Every pair as measured."""
    return fit_simulator(profile, SimulatorSettings(kind="table")).tables


def dealt(placement, seed):
    """The same with its nodes dealt to the types at random."""
    rng = np.random.default_rng(seed)
    return [rng.permutation(placement) for _ in range(DEALT)]


def drawn(profile, chosen, seed):
    """A group of random jobs, and the nodes of the three types."""
    group = draw_groups(1, chosen.containers, len(profile.apps), np.random.default_rng(seed))[0]
    types = tuple(NodeTypeSettings(name, count=chosen.nodes, slots=SHARING) for name in profile.types)
    stated = state_problem(types, {}, Rules(), profile.apps, SHARING, (group > 0).astype(np.int64))
    return group, Cluster(profile.space, len(stated.nodes), stated=stated)


if __name__ == "__main__":
    main()
