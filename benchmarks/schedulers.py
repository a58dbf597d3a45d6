"""Figures of the schedulers that do not learn: benchmarks/schedulers.py [--published FOLDER] [--repeats N].

Seconds are medians over repeats after one warm-up, with CPU-seconds beside them, because a shared machine
is noisy. On the published table where it is at hand, else on the embedded testbed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from baselines.greedy import place_greedy
from baselines.local_search import improve
from baselines.optimum import OptimumSettings, place_optimum
from baselines.round_robin import place_round_robin
from baselines.spread import place_spread
from metis.measure.profile_files import load_profile
from metis.measure.testbed import load_embedded
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.evaluation import evaluate
from metis.problem.groups import draw_groups, load_groups
from metis.problem.objectives import MeanRps
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.program.colocation_program import solve_colocation_program
from metis.program.relaxation import relax
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings

SIZES = ((81, 200), (81, 300), (81, 400), (729, 1000), (729, 2000))


def timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median wall and CPU seconds of `work` after one warm-up."""
    work()
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return statistics.median(walls), statistics.median(cpus)


def tables_at_hand(published: Path) -> tuple[Tables, str]:
    path = published / "0905-6435results-normed.npz"
    if path.is_file():
        return fit_simulator(load_profile(path), SimulatorSettings(kind="table")).tables, "published table"
    return load_embedded().truth(), "embedded testbed (published data not at hand)"


def group_of(published: Path, size: int, apps: tuple[str, ...]) -> IntArray:
    path = published / f"batch_set_{size}.npz"
    if path.is_file():
        return load_groups(path, "0", apps)[0]
    return draw_groups(1, size, len(apps), np.random.default_rng(size))[0]


def ratios(tables: Tables, published: Path, repeats: int) -> Table:
    shown = Table(
        "nodes/containers", "scheduler", "RPS", "of optimum", "wall s", "CPU s", title="Row 0 of each size"
    )
    for nodes, size in SIZES:
        group = group_of(published, size, tables.space.apps)
        cluster = Cluster(tables.space, nodes)
        worth = MeanRps().bind(group, cluster, tables)
        best = place_optimum(group, cluster, worth)[0]
        greedy = place_greedy(group, cluster, worth)[0]
        runs: dict[str, Callable[[], tuple[IntArray, Any]]] = {
            "optimum": lambda: place_optimum(group, cluster, worth)[0],  # noqa: B023 - called in this turn
            "greedy": lambda: place_greedy(group, cluster, worth)[0],  # noqa: B023
            "local search after greedy": lambda: improve(greedy, cluster, worth)[0],  # noqa: B023
            "spread": lambda: place_spread(group, cluster, worth)[0],  # noqa: B023
            "round_robin": lambda: place_round_robin(group, cluster, worth)[0],  # noqa: B023
        }
        top = evaluate(best, cluster, tables, worth).value
        for name, run in runs.items():
            judged = evaluate(run(), cluster, tables, worth)
            wall, cpu = timed(run, repeats)
            shown.add_row(
                f"{nodes}/{size}",
                name,
                f"{judged.rps:.4f}",
                f"{judged.value / top:.2%}",
                f"{wall:.4f}",
                f"{cpu:.4f}",
            )
    return shown


def proofs(tables: Tables, published: Path, repeats: int) -> Table:
    shown = Table("optimum, gap 1e-6", "bar s", "wall s", "CPU s", "proven", "LP bound s", title="Proofs")
    wide = ColocationSpace(tuple(f"app-{i}" for i in range(9)), 8)
    rng = np.random.default_rng(0)
    # nine applications with smooth made-up interference: only the size of the space matters here
    harm = rng.uniform(0.02, 0.25, size=(9, 9))
    wide_rps = np.where(wide.counts > 0, np.exp(-(wide.counts @ harm) + np.diag(harm)), 0.0)
    wide_tables = Tables(wide, {"rps": wide_rps})
    full = np.full(len(tables.space.apps), 5832 // len(tables.space.apps))
    full[0] += 5832 - full.sum()
    cases = [
        ("729 nodes, 2,000 containers", 3.0, tables, group_of(published, 2000, tables.space.apps), 729),
        ("729 nodes, full load 5,832", 30.0, tables, full, 729),
        ("space of 24,310, 81 nodes, 300", 10.0, wide_tables, draw_groups(1, 300, 9, rng)[0], 81),
        ("space of 24,310, 729 nodes, 2,000", 10.0, wide_tables, draw_groups(1, 2000, 9, rng)[0], 729),
    ]
    for title, bar, of, group, nodes in cases:
        cluster = Cluster(of.space, nodes)
        worth = MeanRps().bind(group, cluster, of)
        found = solve_colocation_program(worth, group, cluster, mip_rel_gap=1e-6, time_limit=120)
        wall, cpu = timed(
            lambda w=worth, g=group, c=cluster: solve_colocation_program(w, g, c, mip_rel_gap=1e-6), repeats
        )
        bound, _ = timed(lambda w=worth, g=group, c=cluster: relax(w, g, c), repeats)
        shown.add_row(title, f"{bar:g}", f"{wall:.2f}", f"{cpu:.2f}", str(found.proven), f"{bound:.3f}")
    return shown


def limits(tables: Tables, seconds: float = 20.0) -> Table:
    """Largest problems: CPU seconds, and ratio to the bound of the relaxation; each once."""
    shown = Table("problem", "scheduler", "of bound", "wall s", "CPU s", title="Large problems, no warm-up")
    wide = ColocationSpace(tuple(f"app-{i}" for i in range(12)), 8)
    harm = np.random.default_rng(0).normal(0.05, 0.08, (12, 12))
    rps = np.where(wide.counts > 0, np.exp(-(wide.counts @ harm) + np.diag(harm)), 0.0)
    wide_tables = Tables(wide, {"rps": rps})
    sizes = ((81, 400), (81, 648), (729, 2000))
    cases = [(59_049, 180_000, tables), *((nodes, size, wide_tables) for nodes, size in sizes)]
    for nodes, size, of in cases:
        group = draw_groups(1, size, len(of.space.apps), np.random.default_rng(1))[0]
        cluster = Cluster(of.space, nodes)
        worth = MeanRps().bind(group, cluster, of)
        bound, greedy = relax(worth, group, cluster).bound, place_greedy(group, cluster, worth)[0]
        settings = OptimumSettings(time_limit=seconds)
        runs: dict[str, Callable[[], IntArray]] = {
            "greedy": partial(place_greedy, group, cluster, worth),
            "local search after it": partial(improve, greedy, cluster, worth),
            "optimum": partial(place_optimum, group, cluster, worth, settings),
        }
        for name, run in runs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            reached = evaluate(run()[0], cluster, of, worth).value / bound
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            title = f"{len(of.space.apps)} applications, {nodes:,} nodes, {size:,}"
            shown.add_row(title, name, f"{reached:.3%}", f"{wall:.2f}", f"{cpu:.2f}")
    return shown


def fits(published: Path) -> Table:
    shown = Table(
        "simulator", "fit and R2 held out, CPU s", "tabulate, CPU s", "R2 held out", title="Simulators, 20 %"
    )
    path = published / "0905-2008results-median-normed.npz"
    testbed = load_embedded()
    profile = load_profile(path) if path.is_file() else testbed.measure(testbed.space.counts[1::5], 0)
    from metis.simulate.regressed import RegressedSimulator

    for kind, trees in (("forest", 100), ("boosted", 300)):
        settings = SimulatorSettings(kind=kind, trees=trees)
        start = time.process_time()
        fitted = fit_simulator(profile, settings)
        spent = time.process_time() - start
        model = RegressedSimulator(settings, profile.colocations, profile.rps)
        start = time.process_time()
        model.predict(profile.space.counts)
        told = time.process_time() - start
        shown.add_row(kind, f"{spent:.2f}", f"{told:.2f}", f"{fitted.report['r2']:.4f}")
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    tables, source = tables_at_hand(options.published)
    console = Console(width=120)
    console.print(f"Tables: {source}")
    console.print(ratios(tables, options.published, options.repeats))
    console.print(proofs(tables, options.published, max(1, options.repeats // 2)))
    console.print(limits(tables))
    console.print(fits(options.published))


if __name__ == "__main__":
    main()
