"""Figures of rebalancing: benchmarks/rebalance.py [--published FOLDER] [--sizes 0 1 2] [--frontier].

A cluster of containers placed at random, improved by K moves: value as a share of the optimum from nothing,
gap to the proven bound, CPU-seconds (a shared machine is noisy), beside the best swap or move taken again and
again.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from rich import table as rich_table
from rich.console import Console
from schedulers import tables_at_hand

from metis.operate.rebalance import rebalance
from metis.operate.settings import RebalanceSettings
from metis.operate.waves import WaveOrder
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import MeanRps
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
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
    ids, apps = space.index(placement), len(space.apps)
    plus, minus = space.plus, space.minus
    pairs = [(a, b) for a in range(apps) for b in range(a)]
    while moves > 0:
        found = []
        for a in range(apps):
            found.append((1, *best_pair(ids, minus[ids, a], plus[ids, a], worth)))
        for a, b in pairs if moves > 1 else []:
            gives_a = np.where(minus[ids, a] >= 0, plus[minus[ids, a], b], -1)
            gives_b = np.where(minus[ids, b] >= 0, plus[minus[ids, b], a], -1)
            found.append((2, *best_pair(ids, gives_a, gives_b, worth)))
        kind, gain, n, m, first, second = max(found, key=lambda one: one[1] / one[0])
        if gain <= 0:
            break
        ids[n], ids[m] = first, second
        moves -= kind
    return float(worth[ids].sum())


def best_pair(
    ids: IntArray, first: IntArray, second: IntArray, worth: FloatArray
) -> tuple[float, int, int, int, int]:
    """The two nodes that gain most if one becomes `first` and one `second`, [nodes] each; -1: cannot."""
    gains = [np.where(one >= 0, worth[one] - worth[ids], -np.inf) for one in (first, second)]
    best = (-np.inf, 0, 0, 0, 0)
    for n in np.argsort(-gains[0])[:2]:
        for m in np.argsort(-gains[1])[:2]:
            if n != m and gains[0][n] + gains[1][m] > best[0]:
                best = (float(gains[0][n] + gains[1][m]), int(n), int(m), int(first[n]), int(second[m]))
    return best


def draw(path: Path, tables: Tables, worth: FloatArray, cluster: Cluster) -> None:
    """Draw the frontier as the stage does."""
    from flows.report.frontier import frontier_figure

    nodes = tuple(f"node-{n + 1}" for n in range(cluster.nodes))
    found = rebalance(tables, worth, cluster, nodes, None, RebalanceSettings())
    knee = {"moves": found.plans[found.knee().index].moves, "why": found.knee().why}
    points = [found.document(i) for i in range(len(found.plans))]
    document = {"objective": "rps", "before": found.before, "knee": knee, "frontier": points}
    path.write_bytes(frontier_figure(document))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--frontier", action="store_true", help="all points of a frontier of 81 nodes instead"
    )
    parser.add_argument("--figure", type=Path, help="also draw the frontier into this SVG")
    options = parser.parse_args()
    tables, source = tables_at_hand(options.published)
    shown = rich_table.Table(
        "nodes/containers", "moves", "of optimum", "gap", "bar", "best swaps", "waves", "CPU s", "wall s",
        title=f"Scrambled placements, seed {options.seed}, {source}",
    )  # fmt: skip
    for size in [0] if options.frontier else options.sizes:
        nodes, containers, budgets, bar = SIZES[size]
        existing = scrambled(tables.space, nodes, containers, options.seed)
        cluster = Cluster(tables.space, nodes, existing=existing)
        worth = MeanRps().bind(np.zeros(len(tables.space.apps), dtype=np.int64), cluster, tables)
        top = solve_colocation_program(worth, existing.sum(axis=0), Cluster(tables.space, nodes)).value
        rules = WaveOrder(cluster)
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
        if options.frontier and options.figure:
            draw(options.figure, tables, worth, cluster)
        before = worth[tables.space.index(existing)].sum() / top
        shown.add_section()
        print(f"{nodes}/{containers}: {before:.2%} before; all plans {spent:.2f} CPU-s")
    Console(width=120).print(shown)


if __name__ == "__main__":
    main()
