"""Medea, Paragon and the program over co-location counts against their bars, on the published data.

    python benchmarks/constraint_schedulers.py               # about a minute
    python benchmarks/constraint_schedulers.py --groups 30   # medians as published, a few minutes

Seconds are of the processor (one core). Ends with 1 if a bar is missed. The published figures beside ours
were read off the paper's plots; Medea there stopped at a time limit on a simulator of its own.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from baselines.constraints import APPLIST, Constraints, find_constraints, read_constraints
from baselines.medea import MedeaSettings, medea_range, medea_scheduler, solve_medea
from baselines.pairwise import read_pairwise
from baselines.paragon import ParagonSettings, paragon_scheduler
from metis.measure.published import APPS, read_published
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups, load_groups
from metis.problem.objectives import MeanRps
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.program.colocation_program import solve_colocation_program

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "published"
PAPER = {"medea": {200: 0.920, 300: 0.892, 400: 0.839}, "paragon": {200: 0.725, 300: 0.716, 400: 0.714}}
SPACE = ColocationSpace(APPS, 8)


class Bars:
    """Prints each figure against its bar and remembers what was missed."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, what: str, figure: float, bar: float, unit: str = "s") -> None:
        """One line; the figure may not exceed the bar."""
        held = figure <= bar
        print(f"{what:64s} {figure:9.3f} {unit:5s} bar {bar:g} {'' if held else 'MISSED'}", flush=True)
        if not held:
            self.missed.append(what)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--published", type=Path, default=PUBLISHED, help="folder of the published data")
    parser.add_argument("--groups", type=int, default=5, help="groups per setting for the medians")
    options = parser.parse_args()
    if not options.published.is_dir():
        print(f"skipped: the published data is not in {options.published}")
        return 0
    bars, tables = Bars(), published_tables(options.published)
    constraints = read_constraints(options.published / APPLIST, APPS, SPACE.slots)
    same_constraints(options.published, constraints, bars)
    program(options.published, tables, bars)
    medea(options.published, constraints, tables, bars)
    paragon(options.published, constraints, tables, bars)
    medians(options.published, constraints, tables, options.groups)
    print("missed: " + ", ".join(bars.missed) if bars.missed else "every bar is held")
    return 1 if bars.missed else 0


def same_constraints(folder: Path, constraints: Constraints, bars: Bars) -> None:
    stem = "0905-7app-2008-pairwise-normed"
    curves = read_pairwise(folder / f"{stem}.csv", folder / f"{stem}-per-app.csv", APPS, SPACE.slots)
    found = find_constraints(curves, APPS)
    different = len(set(found.items) ^ set(constraints.items))
    bars.check(f"constraints that differ from the published {len(constraints)}", different, 0, "")


def program(folder: Path, tables: Tables, bars: Bars) -> None:
    """The exact optimum: 2,000 and 5,832 containers on 729 nodes, and a larger space."""
    full = draw_groups(1, 5832, len(APPS), np.random.default_rng(0))[0]
    for group, bar in ((group_of(folder, 2000, 0), 3), (full, 30)):
        optimum(f"optimum, 729 nodes / {group.sum()}", group, Cluster(SPACE, 729), tables, bars, bar)
    space = ColocationSpace(tuple("abcdefghi"), 8)
    rng = np.random.default_rng(0)
    slope = rng.uniform(-0.12, 0.1, (9, 9))
    rps = np.clip(1 + space.counts @ slope.T + rng.normal(0, 0.02, (space.size, 9)), 0.05, None)
    nine = Tables(space, {"rps": np.where(space.counts > 0, rps, 0.0)})
    group = rng.multinomial(2000, np.full(9, 1 / 9))
    optimum(f"optimum, 729 / 2000, {space.size:,} co-locations", group, Cluster(space, 729), nine, bars, 10)


def optimum(what: str, group: IntArray, cluster: Cluster, tables: Tables, bars: Bars, bar: float) -> None:
    worth = MeanRps().bind(group, cluster, tables)
    seconds, found = timed(lambda: solve_colocation_program(worth, group, cluster))
    bars.check(f"{what}: {found.value:.4f}, gap {found.gap:.0e}", seconds, bar)
    bars.check(f"{what}: unproven", float(not found.proven), 0, "")


def medea(folder: Path, constraints: Constraints, tables: Tables, bars: Bars) -> None:
    """Least violation, proven, and the range of RPS at it."""
    large = draw_groups(1, 3000, len(APPS), np.random.default_rng(0))[0]
    for nodes, group, bar in ((81, group_of(folder, 400, 0), 10), (729, large, 20)):
        cluster, size = Cluster(SPACE, nodes), int(group.sum())
        seconds, found = timed(lambda g=group, c=cluster: solve_medea(constraints, g, c, MedeaSettings()))
        bars.check(f"medea, {nodes} / {size}: extent {found.value:g}, bound {found.bound:g}", seconds, bar)
        bars.check(f"medea, {nodes} / {size}: unproven", float(not found.proven), 0, "")
        worth = MeanRps().bind(group, cluster, tables)
        place = medea_scheduler(constraints)
        seconds, _ = timed(lambda p=place, g=group, c=cluster, w=worth: p(g, c, w))
        bars.check(f"medea, {nodes} / {size}: with its 9 tie-breaks", seconds, bar)
    group, cluster = group_of(folder, 200, 0), Cluster(SPACE, 81)
    worth = MeanRps().bind(group, cluster, tables)
    found = medea_range(constraints, group, cluster, worth, MedeaSettings(weights=()))
    bars.check("medea, 81 / 200, unweighted: |extent - 60|", abs(found.minimum - 60), 0, "")
    print(f"    RPS at that extent: median {found.median:.3f}, {found.worst:.3f} to {found.best:.3f}")
    six = np.full(len(APPS), 2)
    result = solve_medea(constraints, six, Cluster(SPACE, 6), MedeaSettings())
    count = constraints.violations(result.placement, Cluster(SPACE, 6)).count
    bars.check("six nodes of the paper: violated of 468 (paper 4)", count, 4, "")


def paragon(folder: Path, constraints: Constraints, tables: Tables, bars: Bars) -> None:
    for sources in ("constraints", "profile"):
        for nodes, size, bar in ((81, 200, 0.05), (729, 2000, 1.0)):
            group, cluster = group_of(folder, size, 0), Cluster(SPACE, nodes)
            place = paragon_scheduler(constraints, ParagonSettings(sources=sources), tables)
            seconds, _ = timed(lambda p=place, g=group, c=cluster: p(g, c, np.zeros(SPACE.size)))
            bars.check(f"paragon ({sources}), {nodes} / {size}", seconds, bar)


def medians(folder: Path, constraints: Constraints, tables: Tables, groups: int) -> None:
    """Mean RPS on the full measured table, median over groups, beside the paper's."""
    places = {"medea": medea_scheduler(constraints), "paragon": paragon_scheduler(constraints)}
    for name, place in places.items():
        for size, paper in PAPER[name].items():
            values, cluster = [], Cluster(SPACE, 81)
            for group in load_groups(folder / f"batch_set_{size}.npz", f"0:{groups}", APPS):
                worth = MeanRps().bind(group, cluster, tables)
                placement, _ = place(group, cluster, worth)
                values.append(value(placement, cluster, worth))
            low, middle, high = np.percentile(values, [5, 50, 95])
            print(
                f"{name}, 81 / {size}: RPS {middle:.3f} [{low:.3f}-{high:.3f}], paper {paper:.3f}", flush=True
            )


def published_tables(folder: Path) -> Tables:
    profile = read_published(folder / "0905-6435results-normed.npz")
    rps: FloatArray = np.zeros((SPACE.size, len(APPS)))
    rps[SPACE.index(profile.colocations)] = np.nan_to_num(profile.rps)
    return Tables(SPACE, {"rps": rps})


def group_of(folder: Path, size: int, row: int) -> IntArray:
    return np.asarray(load_groups(folder / f"batch_set_{size}.npz", str(row), APPS)[0])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    answer = work()
    return time.process_time() - start, answer


if __name__ == "__main__":
    sys.exit(main())
