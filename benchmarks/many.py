"""Measurements until 99 % of the true optimum where co-locations are too many to tabulate.

    OMP_NUM_THREADS=1 python benchmarks/many.py --seeds 0 3 --budget 150

The synthetic testbed of 30 applications on 8 slots, 81 nodes, 60 % full: explored by plans on a low-rank
belief, and beside it the same number of random mixes without exploring. The last plan is by `columns` on what
is believed; its true value is a share of the bound of the truth.
"""

import argparse
import time

import numpy as np

from metis.explore.planners import ColumnPlanner
from metis.explore.plans import explore_by_plans
from metis.explore.settings import ExploreSettings
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.measure.testbed import EmbeddedTestbed, list_colocations
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.simulate.lowrank_oracle import fit_lowrank_oracle
from metis.simulate.settings import SimulatorSettings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=81)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--fill", type=float, default=0.6)
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--per-round", type=int, default=ExploreSettings.per_round)
    parser.add_argument("--acquisition", default=ExploreSettings.acquisition)
    parser.add_argument("--members", type=int, default=SimulatorSettings.members)
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 3), help="first, and one beyond the last")
    parser.add_argument("--mixes", action="store_true", help="also without exploring")
    chosen = parser.parse_args()
    found = []
    for seed in range(*chosen.seeds):
        begun = time.process_time()
        explored, mixes = one_seed(chosen, seed)
        found.append(explored.ratio)
        beside = f", random mixes {mixes:.3%}" if chosen.mixes else ""
        seconds = time.process_time() - begun
        print(
            f"seed {seed}: {explored.ratio:.3%} of the bound after {explored.measurements}{beside}, "
            f"{seconds:.0f} CPU-s",
            flush=True,
        )
    print(f"mean {np.mean(found):.3%}, worst {np.min(found):.3%} after {chosen.budget} measurements")


def one_seed(chosen, seed):
    model = SyntheticModel.drawn(chosen.apps, seed)
    testbed, truth = EmbeddedTestbed(model, chosen.slots, chosen.noise), SyntheticOracle(model, chosen.slots)
    cluster = Cluster(truth.space, chosen.nodes)
    size = round(chosen.fill * chosen.nodes * chosen.slots)
    group = draw_groups(1, size, chosen.apps, np.random.default_rng(seed))[0]
    planner, objective = ColumnPlanner(seconds=60.0), MeanRps()
    settings = ExploreSettings(
        budget=chosen.budget, per_round=chosen.per_round, acquisition=chosen.acquisition, seed=seed
    )

    def report(row):
        share = f"{row['ratio']:.3%}, 80 % intervals hold {row['coverage']:.0%}"
        print(f"  {row['measurements']} measurements: {share}", flush=True)

    explored = explore_by_plans(
        testbed,
        [(group, cluster)],
        objective,
        planner,
        settings,
        simulator=SimulatorSettings(members=chosen.members),
        truth=truth,
        progress=report,
    )
    if not chosen.mixes:
        return explored, float("nan")
    listed = list_colocations(truth.space, "mixes", seed=seed, mixes=chosen.budget - chosen.apps)
    profile = testbed.measure(listed, seed)
    oracle, _ = fit_lowrank_oracle(profile, noise=chosen.noise, members=1, held_out=0, seed=seed)
    placement = planner.best(worth_of(objective, group, cluster, oracle), group, cluster)
    true = worth_of(objective, group, cluster, truth)
    return explored, value(placement, cluster, true) / planner.bound(true, group, cluster)


if __name__ == "__main__":
    main()
