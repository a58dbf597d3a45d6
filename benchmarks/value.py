"""The value learner against the exact optimum: training seconds, ratios, decision seconds.

    python benchmarks/value.py ../shared/published/0905-6435results-normed.npz --groups 10

Trains once on the profile's worth table, then places groups it has never seen: even and skewed mixes, 27 to
729 nodes, existing containers, every high level; the last rows time 6,561 nodes. A ratio is value / value
of the exact optimum; "+ search" is after local search.
"""

import argparse
import resource
from pathlib import Path
from time import perf_counter, process_time
from typing import Literal

import numpy as np

from baselines.local_search import improve
from baselines.optimum import place_optimum
from metis.learn.loop import Budget, train
from metis.learn.value.dealer_learner import DealerLearner
from metis.learn.value.learner import ValueLearner
from metis.learn.value.problem import ValueProblem
from metis.learn.value.scheduler import ValueScheduler
from metis.learn.value.settings import DealerSettings, DecodeSettings, ValueSettings
from metis.learn.value.weights import ValueWeights
from metis.measure.published import read_published
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups, draw_skewed_groups
from metis.problem.objectives import FreeNodes, MeanRps, Objective, SloShare
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings

OBJECTIVES = {"rps": MeanRps(), "slo": SloShare(0.95), "free": FreeNodes(1.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile", type=Path, help="a published profile, full for --simulator table")
    parser.add_argument("--simulator", choices=("table", "forest"), default="table")
    parser.add_argument("--groups", type=int, default=10, help="groups per setting")
    parser.add_argument("--steps", type=int, default=ValueSettings().steps, help="training steps")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--objective", choices=OBJECTIVES, default="rps")
    parser.add_argument("--plain", action="store_true", help="without sharpening prices on the group")
    parser.add_argument("--only", default="", help="only settings whose name holds this")
    args = parser.parse_args()
    tables, objective = read_tables(args.profile, args.simulator), OBJECTIVES[args.objective]
    weights = trained(tables, objective, args.steps, args.seed)
    for name, highlevel, cluster, groups in settings(tables.space, args.groups):
        if args.only in name:
            scheduler = ValueScheduler(weights, highlevel, DecodeSettings(sharpen=not args.plain))
            report(name, scheduler, cluster, groups, tables, objective)


def read_tables(path: Path, kind: Literal["table", "forest"]) -> Tables:
    return fit_simulator(read_published(path), SimulatorSettings(kind=kind, held_out=0.0)).tables


def trained(tables: Tables, objective: Objective, steps: int, seed: int) -> ValueWeights:
    cluster, group = Cluster(tables.space, 81), np.full(len(tables.space.apps), 40)
    worth = objective.bind(group, cluster, tables)
    bonus = float(worth[0]) / (group.sum() / (cluster.nodes * tables.space.slots))  # at a load of 1
    problem = ValueProblem.of(tables.space, objective.name, worth, bonus)
    learner = ValueLearner(problem, ValueSettings(steps=steps, seed=seed))
    start = process_time()
    train(learner, Budget(steps))
    middle = process_time()
    dealer_settings = DealerSettings(seed=seed)
    dealer = DealerLearner(learner.network, problem, learner.settings.max_nodes, dealer_settings)
    curve = train(dealer, Budget(dealer_settings.steps))
    print(f"training: {middle - start:.1f} CPU-seconds, {steps} steps, objective {objective.name}")
    print(
        f"learned high level: {process_time() - middle:.1f} CPU-seconds, {curve[-1]['over_even']:+.4f} of V"
    )
    return learner.weights(dealer.dealer)


def settings(space: ColocationSpace, count: int) -> list[tuple[str, str, Cluster, IntArray]]:
    rng, apps = np.random.default_rng(2026), len(space.apps)
    medium, large = Cluster(space, 81), Cluster(space, 729)
    rows = [(f"81/{n}", "flat", medium, draw_groups(count, n, apps, rng)) for n in (200, 300, 400, 648)]
    sizes = rng.integers(50, 649, count)
    skewed = np.concatenate([draw_skewed_groups(1, int(n), apps, rng) for n in sizes])
    rows.append(("81/50-648 skewed", "flat", medium, skewed))
    rows.append(("81/648 skewed", "flat", medium, draw_skewed_groups(count, 648, apps, rng)))
    small = np.concatenate([draw_groups(1, int(n), apps, rng) for n in rng.integers(1, 217, count)])
    rows.append(("27/1-216", "flat", Cluster(space, 27), small))
    rows += [(f"729/{n}", "flat", large, draw_groups(count, n, apps, rng)) for n in (1000, 2000, 3000, 5832)]
    for highlevel in ("deal", "learned"):
        rows.append((f"81/300 {highlevel}", highlevel, medium, draw_groups(count, 300, apps, rng)))
        rows.append((f"729/2000 {highlevel}", highlevel, large, draw_groups(count, 2000, apps, rng)))
    for held in (1, 3):
        there = np.stack([rng.multinomial(held, np.full(apps, 1 / apps)) for _ in range(81)])
        rows.append(
            (
                f"81/200 beside {held} a node",
                "flat",
                Cluster(space, 81, there),
                draw_groups(count, 200, apps, rng),
            )
        )
    there = np.zeros((81, apps), dtype=np.int64)
    there[:40] = [rng.multinomial(3, np.full(apps, 1 / apps)) for _ in range(40)]
    rows.append(
        ("81/200 beside 3 on half", "flat", Cluster(space, 81, there), draw_groups(count, 200, apps, rng))
    )
    there = np.stack([rng.multinomial(2, np.full(apps, 1 / apps)) for _ in range(729)])
    rows.append(
        ("729/2000 beside 2 a node", "flat", Cluster(space, 729, there), draw_groups(count, 2000, apps, rng))
    )
    huge = Cluster(space, 6561)
    for highlevel in ("flat", "deal", "learned"):
        rows.append((f"6561/20000 {highlevel}", highlevel, huge, draw_groups(2, 20_000, apps, rng)))
    return rows


def report(
    name: str,
    scheduler: ValueScheduler,
    cluster: Cluster,
    groups: IntArray,
    tables: Tables,
    objective: Objective,
) -> None:
    found, searched, walls, processors, bounds = [], [], [], [], []
    for group in groups:
        worth = objective.bind(group, cluster, tables)
        wall, processor = perf_counter(), process_time()
        decision = scheduler.place(group, cluster, worth)
        walls.append(perf_counter() - wall)
        processors.append(process_time() - processor)
        reached = value(decision.placement, cluster, worth)
        bounds.append(reached / decision.trace.get("bound", np.nan))
        if cluster.nodes <= 729:
            best, _ = place_optimum(group, cluster, worth)
            optimum = value(best, cluster, worth)
            better, _ = improve(decision.placement, cluster, worth)
            found.append(reached / optimum)
            searched.append(value(better, cluster, worth) / optimum)
    line = f"{name:26s} "
    if found:
        line += f"mean {100 * np.mean(found):7.3f} % worst {100 * np.min(found):7.3f} %, + search "
        line += f"{100 * np.mean(searched):7.3f} % {100 * np.min(searched):7.3f} %"
    else:
        line += f"of its own bound {100 * np.mean(bounds):7.3f} %"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{line}; {np.mean(walls):.3f} s, {np.mean(processors):.3f} CPU-s, peak {peak:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
