"""Figures of rebalancing where nodes differ: benchmarks/rebalance_types.py [--moves 50 150 500] [--seeds 0].

    OMP_NUM_THREADS=1 python benchmarks/rebalance_types.py

100 synthetic applications on 300 nodes of three types with slots, cpu and memory; 3,000 containers placed at
random within these, improved by K moves: value, gap to the bound and its kind, CPU-seconds and seconds.
"""

import argparse

import numpy as np

from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.problem.cluster import Cluster
from metis.problem.groups import draw_groups
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules
from metis.program.moves import MoveProgram

CPU, MEMORY = (0.5, 1, 2, 4), (1, 2, 4, 8, 16)  # that containers request, GiB
TYPES = (("small", 8, 16, 64), ("middle", 12, 24, 96), ("large", 16, 48, 192))  # slots, cpu, GiB


def three_types(apps, nodes, containers, seed):
    """A third of the nodes of each type, and what runs there at random: cluster and the worth of nodes."""
    oracle = SyntheticOracle(SyntheticModel.drawn(apps, seed), max(slots for _, slots, _, _ in TYPES))
    rng = np.random.default_rng(seed)
    counts = [nodes // 3, nodes // 3, nodes - 2 * (nodes // 3)]
    types = tuple(
        NodeTypeSettings(name, count=count, slots=slots, capacity={"cpu": cpu, "memory": f"{memory}Gi"})
        for (name, slots, cpu, memory), count in zip(TYPES, counts, strict=True)
    )
    requests = {
        app: {"cpu": float(rng.choice(CPU)), "memory": f"{int(rng.choice(MEMORY))}Gi"}
        for app in oracle.space.apps
    }
    group = draw_groups(1, containers, apps, rng)[0]
    stated = state_problem(types, requests, Rules(), oracle.space.apps, 16, (group > 0).astype(np.int64))
    cluster = Cluster(oracle.space, nodes, existing=at_random(group, stated, rng), stated=stated)
    return cluster, worth_of(MeanRps(), group * 0, cluster, oracle)


def at_random(group, stated, rng):
    """Containers on nodes drawn among those with room, the largest first, int [nodes, apps]."""
    placement = np.zeros((len(stated.nodes), len(group)), dtype=np.int64)
    room = stated.capacity.copy()
    size = (stated.requests / stated.capacity.mean(axis=0)).max(axis=1)
    drawn = rng.permutation(np.repeat(np.arange(len(group)), group))
    for app in drawn[np.argsort(-size[drawn], kind="stable")]:
        fits = np.flatnonzero((room >= stated.requests[app]).all(axis=1))
        node = rng.choice(fits)
        placement[node, app] += 1
        room[node] -= stated.requests[app]
    return placement


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--containers", type=int, default=3000)
    parser.add_argument("--moves", type=int, nargs="+", default=[50, 150, 500, 1500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    for seed in chosen.seeds:
        cluster, worth = three_types(chosen.apps, chosen.nodes, chosen.containers, seed)
        before = float(worth.of(cluster.existing).sum())
        print(f"seed {seed}: value {before:.5f} before")
        for moves in chosen.moves:
            plan = MoveProgram(worth, cluster, time_limit=chosen.seconds).plan(moves)
            print(
                f"  {moves:5d} moves ({plan.moves} made): {plan.value:.5f}, {plan.gap:.3%} below the bound "
                f"({plan.bound_kind}), {plan.cpu_seconds:.1f} CPU-s, {plan.seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
