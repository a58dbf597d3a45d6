"""Figures of rebalancing: benchmarks/rebalance.py [--published FOLDER] [--sizes 0 1 2] [--frontier].

A cluster of containers placed at random, improved by K moves: value as a share of the optimum from nothing,
gap to the proven bound, CPU-seconds (a shared machine is noisy), beside the best swap or move taken again and
again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from schedulers import tables_at_hand

from metis.operate.waves import WaveOrder
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import MeanRps
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import solve_colocation_program
from metis.program.moves import MoveProgram

SIZES = (
    (81, 400, (10, 20, 50, 100, 200), "0.1 %, 3 s"),
    (300, 1500, (30, 150, 400), "0.3 %, 20 s"),
    (729, 3000, (100, 500, 1500), "0.3 %, 20 s"),
)


def scrambled(space: ColocationSpace, nodes: int, containers: int, seed: int) -> IntArray:
    """Containers of applications as likely each, on slots drawn at random, int [nodes, apps]."""
    rng = np.random.default_rng(seed)
    group = rng.multinomial(containers, np.full(len(space.apps), 1 / len(space.apps)))
    node = rng.permutation(nodes * space.slots)[:containers] // space.slots
    placement = np.zeros((nodes, len(space.apps)), dtype=np.int64)
    np.add.at(placement, (node, np.repeat(np.arange(len(space.apps)), group)), 1)
    return placement


def best_swaps(placement: IntArray, space: ColocationSpace, worth: FloatArray, moves: int) -> float:
    """The value after the best move, or swap of two containers for two moves, is taken again and again.

    Of one move and one swap the one that gains more for each move is taken.
    """
    ids = space.index(placement)
    plus, minus, apps = space.plus, space.minus, len(space.apps)
    held = worth[ids]
    while moves > 0:
        fewer = np.where(minus[ids] >= 0, worth[minus[ids]] - held[:, None], -np.inf)  # [nodes, apps]
        more = np.where(plus[ids] >= 0, worth[plus[ids]] - held[:, None], -np.inf)
        gain = fewer[:, None, :] + more[None, :, :]  # source, target, app
        gain[np.arange(len(ids)), np.arange(len(ids))] = -np.inf
        best, kind = gain.max(), 1
        where = np.unravel_index(int(gain.argmax()), gain.shape)
        if moves > 1:
            for a in range(apps):
                for b in range(apps):
                    if a == b:
                        continue
                    there = np.where(minus[ids, a] >= 0, plus[minus[ids, a], b], -1)  # gives a, gets b
                    back = np.where(minus[ids, b] >= 0, plus[minus[ids, b], a], -1)
                    swap = np.where(there >= 0, worth[there] - held, -np.inf)[:, None] + np.where(
                        back >= 0, worth[back] - held, -np.inf
                    )
                    np.fill_diagonal(swap, -np.inf)
                    if swap.max() / 2 > best:
                        best, kind = swap.max() / 2, 2
                        where = (*np.unravel_index(int(swap.argmax()), swap.shape), a, b)
        if best <= 0:
            break
        if kind == 1:
            n, m, a = where
            ids[n], ids[m] = minus[ids[n], a], plus[ids[m], a]
        else:
            n, m, a, b = where
            ids[n], ids[m] = plus[minus[ids[n], a], b], plus[minus[ids[m], b], a]
        held = worth[ids]
        moves -= kind
    return float(held.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--frontier", action="store_true", help="all points of a frontier of 81 nodes instead"
    )
    options = parser.parse_args()
    tables, source = tables_at_hand(options.published)
    shown = Table(
        "nodes/containers", "moves", "of optimum", "gap", "bar", "best swaps", "waves", "CPU s", "wall s",
        title=f"Scrambled placements, seed {options.seed}, {source}",
    )  # fmt: skip
    for size in [0] if options.frontier else options.sizes:
        nodes, containers, budgets, bar = SIZES[size]
        existing = scrambled(tables.space, nodes, containers, options.seed)
        cluster = Cluster(tables.space, nodes, existing=existing)
        worth = MeanRps().bind(np.zeros(len(tables.space.apps), dtype=np.int64), cluster, tables)
        top = solve_colocation_program(worth, existing.sum(axis=0), Cluster(tables.space, nodes)).value
        rules = WaveOrder(tables.space, cluster.allowed)
        start = time.process_time()
        if options.frontier:
            plans = MoveProgram(worth, cluster).frontier()
        else:
            plans = [MoveProgram(worth, cluster).plan(moves) for moves in budgets]
        spent = time.process_time() - start
        for plan in plans:
            swaps = best_swaps(existing, tables.space, worth, plan.moves)
            order = rules.order(existing, plan.placement)
            shown.add_row(
                f"{nodes}/{containers}", str(plan.moves), f"{plan.value / top:.2%}", f"{plan.gap:.4%}", bar,
                f"{swaps / top:.2%}", f"{len(order.waves)}{'' if order.complete else '+'}",
                f"{plan.cpu_seconds:.2f}", f"{plan.seconds:.2f}",
            )  # fmt: skip
        before = worth[tables.space.index(existing)].sum() / top
        shown.add_section()
        print(f"{nodes}/{containers}: {before:.2%} before; all plans {spent:.2f} CPU-s")
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
