"""Shares of the bound, and seconds, where co-locations are too many to tabulate.

    python benchmarks/wide.py --apps 30 --nodes 81 --fill 0.6 1.0 --seeds 0 10
    python benchmarks/wide.py --apps 1000 --nodes 5000 --fill 0.75 --seeds 0 1 --seconds 400

One line per group as it goes, then means and worst cases on the synthetic testbed: `metis` with prices
learned once per seed, `unproven`, which is `columns` without proof, `quick`, which moreover rounds as little
as `metis` does and so is `metis` without learning, and the rest. The bound is that of `columns`, proven or
estimated. `--trained SEED` learns on the testbed of one seed and serves the others, applications that it
never saw, without training; `--checkpoints FOLDER` goes on where a training was stopped. `--out FILE` adds
a line per group to a file, and `--read FILE...` prints means of such files: so ten seeds can be measured in
pieces. Beside a group stands the most memory held so far.
"""

import argparse
import json
import resource
from functools import cache
from pathlib import Path

import numpy as np

from baselines.columns import ColumnsSettings
from baselines.contract import WideMaterials
from baselines.registry import make_wide_scheduler
from metis.learn.loop import Budget, train
from metis.learn.prices.learner import PricesLearner
from metis.learn.prices.settings import PricesSettings
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.kinds import problem_of
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of

SCHEDULERS = ("columns", "metis", "unproven", "quick", "greedy+local_search", "greedy")
UNLEARNED = {
    "unproven": {"prove": False},
    "quick": {"prove": False, "quick": True},
}  # columns by other settings


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, default=30)
    parser.add_argument("--nodes", type=int, default=81)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("--fill", type=float, nargs="+", default=[0.6, 1.0])
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 10), help="first, and one beyond the last")
    parser.add_argument("--schedulers", nargs="+", default=SCHEDULERS, choices=SCHEDULERS)
    parser.add_argument("--seconds", type=float, default=120.0, help="of wall time, for searching columns")
    parser.add_argument("--trained", type=int, help="seed to learn on; that of the group where not given")
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path, nargs="+")
    chosen = parser.parse_args()
    rows = [json.loads(line) for path in chosen.read or () for line in path.read_text().splitlines()]
    rows = rows or measured(chosen)
    for size in sorted({row["size"] for row in rows}):
        summary([row for row in rows if row["size"] == size])


def measured(chosen):
    make_wide_scheduler("columns").place(*problem(4, 2, 3, 4, 0))  # imports, which are not timed
    rows = []
    for seed in range(*chosen.seeds):
        for fill in chosen.fill:
            size = round(fill * chosen.nodes * chosen.slots)
            rows.append(placed(chosen, size, seed))
            shares = ", ".join(f"{name} {found[0]:.3%}" for name, found in rows[-1]["found"].items())
            took = rows[-1]["memory"]
            print(f"seed {seed}, {size} containers: {shares}; {took:.2f} GiB at most", flush=True)
            if chosen.out:
                with chosen.out.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return rows


def placed(chosen, size, seed):
    group, cluster, worth = problem(chosen.apps, chosen.nodes, chosen.slots, size, seed)
    found, bound, training, excess = {}, None, None, None
    for name in chosen.schedulers:
        weights = None
        if name == "metis":
            learned_on = seed if chosen.trained is None else chosen.trained
            weights, training = learned(chosen.apps, chosen.slots, learned_on, chosen.checkpoints)
            excess = bound_of(weights, group, cluster, worth)
        settings = ColumnsSettings(seconds=chosen.seconds, **UNLEARNED.get(name, {}))
        materials = WideMaterials({"columns": settings}, weights=lambda learner, known=weights: known)
        scheduler = make_wide_scheduler("columns" if name in UNLEARNED else name, materials)
        made = scheduler.place(group, cluster, worth)
        if bound is None:
            bound, kind = made.trace["bound"], made.trace["bound_kind"]
        found[name] = value(made.placement, cluster, worth) / bound, made.seconds, made.cpu_seconds
    predicted = None if excess is None else excess / bound - 1
    return {
        "size": size,
        "seed": seed,
        "kind": kind,
        "training": training,
        "excess": predicted,
        "found": found,
        "bound": bound,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "of": f"{chosen.apps} applications on {chosen.nodes} nodes",
    }


@cache
def learned(apps, slots, seed, folder):
    """Train prices, and return them with the CPU-seconds that took."""
    learner = PricesLearner(oracle_of(apps, slots, seed), MeanRps(), PricesSettings())
    checkpoint = None if folder is None else folder / f"prices-{apps}-{slots}-{seed}.npz"
    curve = train(learner, Budget(learner.settings.problems), key=learner.settings.key, checkpoint=checkpoint)
    return learner.weights(), curve[-1]["cpu_seconds"]


def bound_of(weights, group, cluster, worth):
    """Return the bound that predicted prices give, as far as a search finds the best column."""
    from metis.program.pool import Pool
    from metis.program.pricing import search

    problem_, _ = problem_of(group, cluster, worth)
    prices = weights.prices(problem_)
    highest = search(Pool(problem_, 0), prices, -np.inf, 512).found
    return float(prices @ group + problem_.nodes.sum() * highest)


def summary(rows):
    bounds = ", ".join(sorted({row["kind"] for row in rows}))
    print(f"{rows[0]['of']} / {rows[0]['size']} containers, {len(rows)} seeds, bounds {bounds}")
    if rows[0]["training"] is not None:
        training, excess = (np.array([row[name] for row in rows]) for name in ("training", "excess"))
        print(
            f"  prices: {training.mean():.1f} CPU-s of training, {training.max():.1f} at most; "
            f"their bound is {excess.mean():.2%} above the best, {excess.max():.2%} at most"
        )
    for name in rows[0]["found"]:
        shares, seconds, cpu = np.array([row["found"][name] for row in rows]).T
        print(
            f"  {name}: mean {shares.mean():.3%}, worst {shares.min():.3%}, {seconds.mean():.2f} s, "
            f"{cpu.mean():.2f} CPU-s, {cpu.max():.2f} at most",
            flush=True,
        )


@cache
def oracle_of(apps, slots, seed):
    return SyntheticOracle(SyntheticModel.drawn(apps, seed), slots)


def problem(apps, nodes, slots, size, seed):
    oracle = oracle_of(apps, slots, seed)
    cluster = Cluster(oracle.space, nodes)
    group = draw_groups(1, size, apps, np.random.default_rng(seed))[0]
    return group, cluster, worth_of(MeanRps(), group, cluster, oracle)


if __name__ == "__main__":
    main()
