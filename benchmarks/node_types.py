"""Shares of the bound, and seconds, on nodes of three types with resources; and George's constraints.

    OMP_NUM_THREADS=1 python benchmarks/node_types.py --apps 100 --nodes 300 --containers 1400 --seeds 0 1
    OMP_NUM_THREADS=1 python benchmarks/node_types.py --george 81 729 --testbed 6435results.npz

A line per scheduler as it goes. The bound is that of the first scheduler, as of `columns`; `--prove` asks for
a proof of it. Seconds are wall time and CPU time. `metis` has the prices of one network for each seed's
simulator, or `--trained` names one, learned on sub-problems of 30 applications at most; `--checkpoints` keeps
them. With `--george` also the value without the constraints; that each placement keeps them is checked as
every scheduler's placement is.
"""

import argparse
from pathlib import Path

import numpy as np
from wide import learned

from baselines.columns import ColumnsSettings
from baselines.contract import WideMaterials
from baselines.registry import make_wide_scheduler
from flows.configuration.compose import compose_plain
from flows.configuration.objects import make_cluster, make_groups, make_testbed
from flows.configuration.settings import validated
from metis.errors import PlacementError
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules

SCHEDULERS = ("columns", "metis", "greedy+local_search", "greedy", "spread", "optimum")
SLOTS = 8
CPU, MEMORY = (0.5, 1, 2, 4), (1, 2, 4, 8, 16)  # that containers request, GiB


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--apps", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--containers", type=int, default=1400)
    parser.add_argument("--seconds", type=float, default=60.0, help="of searching columns")
    parser.add_argument("--seeds", type=int, nargs=2, default=(0, 1), help="first, and one beyond the last")
    parser.add_argument("--schedulers", nargs="+", default=SCHEDULERS[:-1], choices=SCHEDULERS)
    parser.add_argument("--trained", type=int, help="testbed that prices are learned on; else the seed's own")
    parser.add_argument("--checkpoints", type=Path, help="folder of trained prices")
    parser.add_argument("--prove", action="store_true")
    parser.add_argument("--george", type=int, nargs="*", choices=(27, 81, 729))
    parser.add_argument(
        "--testbed", type=Path, help="the full published profile; the embedded testbed without"
    )
    chosen = parser.parse_args()
    if chosen.george is not None:
        george(chosen)
        return
    for seed in range(*chosen.seeds):
        group, cluster, worth = three_types(chosen, seed)
        print(f"seed {seed}: {group.sum()} containers, {cluster.nodes} nodes; {load(group, cluster)}")
        weights = None
        if "metis" in chosen.schedulers:
            learned_on = seed if chosen.trained is None else chosen.trained
            weights, seconds = learned(chosen.apps, SLOTS, learned_on, chosen.checkpoints)
            print(f"  prices learned on testbed {learned_on} in {seconds:.1f} CPU-s", flush=True)
        placed(chosen, group, cluster, worth, weights)


def three_types(chosen, seed):
    """A third of the nodes each with 4, 8 and 8 slots, 8, 16 and 32 cpu, 16, 64 and 128 GiB."""
    oracle = SyntheticOracle(SyntheticModel.drawn(chosen.apps, seed), SLOTS)
    rng = np.random.default_rng(seed)
    third = chosen.nodes // 3
    sizes = (
        ("small", third, 4, 8, 16),
        ("middle", third, 8, 16, 64),
        ("large", chosen.nodes - 2 * third, 8, 32, 128),
    )
    types = tuple(
        NodeTypeSettings(name, count=count, slots=slots, capacity={"cpu": cpu, "memory": f"{memory}Gi"})
        for name, count, slots, cpu, memory in sizes
    )
    requests = {
        app: {"cpu": float(rng.choice(CPU)), "memory": f"{int(rng.choice(MEMORY))}Gi"}
        for app in oracle.space.apps
    }
    group = draw_groups(1, chosen.containers, chosen.apps, rng)[0]
    stated = state_problem(types, requests, Rules(), oracle.space.apps, SLOTS, (group > 0).astype(np.int64))
    cluster = Cluster(oracle.space, chosen.nodes, stated=stated)
    return group, cluster, worth_of(MeanRps(), group, cluster, oracle)


def load(group, cluster):
    used = group @ cluster.stated.requests / cluster.stated.capacity.sum(axis=0)
    return ", ".join(
        f"{name} {share:.0%}" for name, share in zip(cluster.stated.dimensions, used, strict=True)
    )


def placed(chosen, group, cluster, worth, weights=None):
    """Place by every scheduler; return the value of the first."""
    options = {"columns": ColumnsSettings(seconds=chosen.seconds, prove=chosen.prove)}
    bound, best = None, None
    for name in chosen.schedulers:
        try:
            materials = WideMaterials(options, weights=lambda learner: weights)
            decision = make_wide_scheduler(name, materials).place(group, cluster, worth)
        except PlacementError as error:
            print(f"  {name:20s} {error}")
            continue
        reached = value(decision.placement, cluster, worth)
        if bound is None:
            bound, best = max(decision.trace["bound"], reached), reached
            print(
                f"  bound {bound:.6f} ({decision.trace['bound_kind']}, "
                f"{decision.trace.get('rounds', 0)} searches)"
            )
        print(
            f"  {name:20s} {reached:.6f} {reached / bound:8.3%}  {decision.seconds:7.2f} s, "
            f"{decision.cpu_seconds:7.2f} of CPU",
            flush=True,
        )
    return best


def george(chosen):
    for nodes in chosen.george or (27, 81, 729):
        words = [f"experiment=george{'' if nodes == 27 else f'_{nodes}'}"]
        if chosen.testbed:
            words += ["testbed=file", f"testbed.path={chosen.testbed}"]
        settings = validated(compose_plain(words))
        tables = make_testbed(settings).truth(("rps",))
        cluster = make_cluster(settings, tables.space)
        free = Cluster(tables.space, cluster.nodes)
        for i, group in enumerate(make_groups(settings, tables.space.apps)):
            print(f"{nodes} nodes, group {i}, {group.sum()} containers: the constraints are kept")
            kept = placed(chosen, group, cluster, settings.objective.bind(group, cluster, tables))
            decision = make_wide_scheduler("columns").place(
                group, free, settings.objective.bind(group, free, tables)
            )
            without = value(decision.placement, free, settings.objective.bind(group, free, tables))
            print(f"  without constraints {without:.6f}: they cost {1 - kept / without:.2%}", flush=True)


if __name__ == "__main__":
    main()
