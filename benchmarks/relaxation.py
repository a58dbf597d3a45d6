"""CPU-ms of the relaxation by column generation and as one program: python benchmarks/relaxation.py.

In turn in one process, on the embedded testbed's true tables; both give the same bound.
"""

import argparse
from statistics import median
from time import process_time

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from metis.measure.testbed import load_embedded
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.groups import draw_groups
from metis.problem.objectives import MeanRps
from metis.program.relaxation import relax

SIZES = ((81, 200), (81, 400), (729, 2000))


def whole(worth: FloatArray, group: IntArray, cluster: Cluster) -> float:
    """The bound of one program over all co-locations."""
    fits = (cluster.space.counts <= group).all(axis=1)
    columns = cluster.space.counts[fits]
    rows = np.hstack([columns, np.ones((len(columns), 1))]).T
    matrix = sparse.csc_array(rows.astype(np.float64))
    right = np.append(group, cluster.nodes).astype(np.float64)
    scale = float(np.abs(worth).max())
    return float(-linprog(-worth[fits] / scale, A_eq=matrix, b_eq=right, method="highs").fun * scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=10)
    repeats = parser.parse_args().repeats
    tables = load_embedded(None, 8, 0.0).truth()
    for nodes, size in SIZES:
        cluster = Cluster(tables.space, nodes)
        spent: dict[str, list[float]] = {"columns": [], "whole": []}
        for group in draw_groups(repeats, size, len(tables.space.apps), np.random.default_rng(0)):
            worth = MeanRps().bind(group, cluster, tables)
            start = process_time()
            bound = relax(worth, group, cluster).bound
            spent["columns"].append(process_time() - start)
            start = process_time()
            other = whole(worth, group, cluster)
            spent["whole"].append(process_time() - start)
            assert abs(bound - other) < 1e-7 * abs(other), (bound, other)
        columns, all_at_once = (1000 * median(times) for times in spent.values())
        print(
            f"{nodes} nodes, {size} containers: {columns:.1f} CPU-ms by column generation, {all_at_once:.1f} "
            f"over all at once, ratio {columns / all_at_once:.2f} (medians of {repeats}, same bounds)"
        )


if __name__ == "__main__":
    main()
