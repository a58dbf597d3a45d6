"""Caution where only a random profile exists: python benchmarks/caution.py PUBLISHED --seeds 0,1,2,3,4.

A random fifth of the published table is profiled, an ensemble fitted to it, and the groups of 200 containers
on 81 nodes are placed by the optimum on mean - caution x spread of what it believes. Of each caution: the
true value as a share of the true optimum, the lead over caution 0 (paired, 95 %), and how far the prediction,
the mean of the belief, lies above the truth: what is gained by optimising errors.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from flows.report.intervals import Interval, interval
from metis.measure.profile_files import load_profile
from metis.measure.testbed import list_colocations
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import load_groups
from metis.problem.objectives import MeanRps
from metis.problem.tables import Tables
from metis.program.colocation_program import solve_colocation_program
from metis.simulate.belief import simulate_by_ensemble
from metis.simulate.replay import FileTestbed

NODES, ROWS, SHARE, GAP = 81, "0:10", 0.2, 1e-5
CAUTIONS = (0.0, 0.25, 0.5, 1.0, 2.0)
Shares = list[float]


def one_seed(testbed: FileTestbed, groups: np.ndarray, seed: int) -> dict[float, tuple[Shares, Shares]]:
    """By caution, of every group: true share of the optimum, and prediction over truth less 1."""
    space, truth = testbed.space, testbed.truth(("rps",))
    profile = testbed.measure(list_colocations(space, "share", share=SHARE, seed=seed), seed)
    mean, belief = simulate_by_ensemble(profile, held_out=0.0, seed=seed)
    spread = belief.first.beliefs[1].copy()
    spread[space.index(profile.colocations)] = 0.0  # measured exactly
    found: dict[float, tuple[Shares, Shares]] = {caution: ([], []) for caution in CAUTIONS}
    cluster = Cluster(space, NODES)
    for group in groups:
        true, expected = (MeanRps().bind(group, cluster, tables) for tables in (truth, mean.tables))
        best = value(solve_colocation_program(true, group, cluster, mip_rel_gap=GAP).placement, cluster, true)
        for caution, (shares, excess) in found.items():
            table = mean.tables.rps * np.exp(-caution * spread)
            worth = MeanRps().bind(group, cluster, Tables(space, {"rps": table}))
            plan = solve_colocation_program(worth, group, cluster, mip_rel_gap=GAP).placement
            reached = value(plan, cluster, true)
            shares.append(reached / best)
            excess.append(value(plan, cluster, expected) / reached - 1)
    return found


def shown(found: Interval) -> str:
    """A mean and the half width of its interval, in per cent."""
    return f"{found.mean:.2%} ± {found.half:.2%}"


def main() -> None:
    """Print a row per seed and caution, and one per caution over all seeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("published", type=Path)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    options = parser.parse_args()
    testbed = FileTestbed(load_profile(options.published / "0905-6435results-normed.npz"))
    groups = load_groups(options.published / "batch_set_200.npz", ROWS, testbed.space.apps)
    table = Table("seed", "caution", "of the true optimum", "lead over 0", "predicted above true")
    everything: dict[float, list[tuple[Shares, Shares]]] = {caution: [] for caution in CAUTIONS}
    for seed in map(int, options.seeds.split(",")):
        start = time.process_time()
        found = one_seed(testbed, groups, seed)
        for caution, (shares, excess) in found.items():
            everything[caution].append((shares, excess))
            lead = interval(np.array(shares) - np.array(found[0.0][0]))
            table.add_row(
                str(seed), f"{caution:g}", shown(interval(shares)), shown(lead), shown(interval(excess))
            )
        print(f"seed {seed}: {time.process_time() - start:.0f} CPU-s", flush=True)
    means = {c: [(np.mean(s), np.mean(e)) for s, e in rows] for c, rows in everything.items()}
    for caution, rows in means.items():
        lead = interval([own[0] - none[0] for own, none in zip(rows, means[0.0], strict=True)])
        shares, excess = (interval([row[i] for row in rows]) for i in (0, 1))
        table.add_row("all", f"{caution:g}", shown(shares), shown(lead), shown(excess))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
