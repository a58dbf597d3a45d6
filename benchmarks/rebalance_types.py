"""Figures of rebalancing where nodes differ: benchmarks/rebalance_types.py [--moves 50 150 500] [--seeds 0].

    OMP_NUM_THREADS=1 python benchmarks/rebalance_types.py

100 synthetic applications on 300 nodes of three types with slots, cpu and memory; 3,000 containers placed at
random within these, improved by K moves: value, gap to the bound and its kind, CPU-seconds and seconds,
beside taking the best move or swap of two containers again and again.
"""

import argparse
import time

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


class BestSwaps:
    """The best move, or swap of two containers for two moves, taken again and again within capacity.

    Of one move and one swap the one that gains more for each move is taken. A thing is 0 for nothing, a + 1
    for a container of application a; a move is a container given for nothing.
    """

    def __init__(self, cluster, worth):
        self._stated, self._worth = cluster.stated, worth
        self.placement = cluster.existing.copy()
        nodes, things = len(self.placement), self.placement.shape[1] + 1
        # what a node gains that gives one thing and takes another
        self._change = np.full((nodes, things, things), -np.inf, dtype=np.float32)
        for node in range(nodes):
            self._look(node)

    def _look(self, node):
        held, requests = self.placement[node], self._stated.requests
        things = np.vstack([held * 0, np.eye(len(held), dtype=np.int64)])
        given = np.concatenate([[0], np.flatnonzero(held) + 1])
        after = held - things[given][:, None, :] + things[None, :, :]
        fits = (after @ requests <= self._stated.capacity[node] + 1e-9).all(axis=-1)
        self._change[node] = -np.inf
        found = np.full(fits.shape, -np.inf)
        found[fits] = self._worth.of(after[fits]) - self._worth.of(held[None])[0]
        self._change[node, given] = found

    def make(self, moves):
        """Make at most so many moves, and return the value."""
        while moves > 0:
            first = self._change.argmax(axis=0)
            once = np.take_along_axis(self._change, first[None], axis=0)[0]
            np.put_along_axis(self._change, first[None], -np.inf, axis=0)
            second = self._change.argmax(axis=0)
            twice = np.take_along_axis(self._change, second[None], axis=0)[0]
            np.put_along_axis(self._change, first[None], once[None], axis=0)
            # two different nodes: the best of one and the second best of the other where both are the same
            same = first == first.T
            gain = np.where(same, np.maximum(once + twice.T, twice + once.T), once + once.T)
            gain[1:, 1:] /= 2  # a swap is two moves
            if moves == 1:
                gain[1:, 1:] = -np.inf
            np.fill_diagonal(gain, -np.inf)
            x, y = np.unravel_index(int(gain.argmax()), gain.shape)
            if gain[x, y] <= 0:
                break
            i, j = int(first[x, y]), int(first[y, x])
            if i == j and once[x, y] + twice[y, x] >= twice[x, y] + once[y, x]:
                j = int(second[y, x])
            elif i == j:
                i = int(second[x, y])
            for node, gives, takes in ((i, x, y), (j, y, x)):
                for thing, by in ((gives, -1), (takes, 1)):
                    if thing:
                        self.placement[node, thing - 1] += by
                self._look(node)
            moves -= 2 if x and y else 1
        return float(self._worth.of(self.placement).sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--apps", type=int, default=100)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--containers", type=int, default=3000)
    parser.add_argument("--moves", type=int, nargs="+", default=[50, 150, 500, 1500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only-swaps", action="store_true", help="no plans of ours")
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    for seed in chosen.seeds:
        cluster, worth = three_types(chosen.apps, chosen.nodes, chosen.containers, seed)
        before = float(worth.of(cluster.existing).sum())
        print(f"seed {seed}: value {before:.5f} before")
        for moves in chosen.moves:
            start = time.process_time()
            swaps = BestSwaps(cluster, worth).make(moves)
            print(f"  {moves:5d} moves: {swaps:.5f} by best swaps, {time.process_time() - start:.1f} CPU-s")
            if chosen.only_swaps:
                continue
            plan = MoveProgram(worth, cluster, time_limit=chosen.seconds).plan(moves)
            kind = plan.bound_kind if plan.ended else f"{plan.bound_kind}, search not ended"
            print(
                f"  {moves:5d} moves ({plan.moves} made): {plan.value:.5f}, {plan.gap:.3%} below the bound "
                f"({kind}), {plan.cpu_seconds:.1f} CPU-s, {plan.seconds:.1f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
