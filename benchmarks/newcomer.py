"""Measurements of an application that joins others which were profiled, until 99 % of the true optimum.

    OMP_NUM_THREADS=1 python benchmarks/newcomer.py --budget 16

Each of the seven applications in turn is left out of the published table; the co-locations of the other six
are known. One loop explores for the published groups of 200 and 400 containers on 81 nodes and 2,000 on 729
(rows 0:2).
"""

import argparse
import time
from pathlib import Path

import numpy as np
from explore import groups_of, reached

from metis.explore.newcomer import Newcomer
from metis.explore.planners import TablePlanner
from metis.explore.plans import explore_by_plans
from metis.explore.settings import ExploreSettings
from metis.measure.profile_files import load_profile
from metis.problem.objectives import MeanRps
from metis.simulate.replay import FileTestbed
from metis.simulate.settings import SimulatorSettings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--budget", type=int, default=16)
    parser.add_argument("--per-round", type=int, default=3)
    parser.add_argument("--optimism", type=float, default=1.0)
    parser.add_argument("--members", type=int, default=SimulatorSettings.members)
    parser.add_argument("--apps", nargs="+", help="only these")
    parser.add_argument("--small", action="store_true", help="81 nodes alone")
    chosen = parser.parse_args()
    profile = load_profile(chosen.published / "0905-6435results-normed.npz")
    testbed = FileTestbed(profile)
    truth = testbed.truth()
    wanted = groups_of(chosen.published, profile.space, "0:2")
    if chosen.small:
        wanted = [pair for pair in wanted if pair[1].nodes < 729]
    settings = ExploreSettings(
        budget=chosen.budget, per_round=chosen.per_round, repeats=0, optimism=chosen.optimism, noise=0.0
    )
    after, last = [], []
    for app in chosen.apps or profile.apps:
        begun = time.process_time()
        others = profile.rows(profile.colocations[:, profile.apps.index(app)] == 0)
        found = explore_by_plans(
            testbed,
            wanted,
            MeanRps(),
            TablePlanner(),
            settings,
            simulator=SimulatorSettings(members=chosen.members),
            newcomer=Newcomer(app, others),
            truth=truth,
        )
        after.append(reached(found.history, 0.99))
        last.append(found.ratio)
        way = ", ".join(f"{row['measurements']}: {row['ratio']:.2%}" for row in found.history)
        print(f"{app}: {way}; {time.process_time() - begun:.0f} CPU-s", flush=True)
    print(f"mean after {chosen.budget}: {np.mean(last):.3%}, worst {np.min(last):.3%}; until 99 %: {after}")


if __name__ == "__main__":
    main()
