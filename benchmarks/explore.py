"""Measurements until 99 % and 99.5 % of the true optimum, against the bars: python benchmarks/explore.py.

One loop explores for two groups of each size (rows 0:2): 200 and 400 containers on 81 nodes, 2,000 on 729.
On the published table where it is at hand, or with --embedded on the embedded testbed with noise.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from metis.explore.loop import Exploration, ExploreSettings, explore
from metis.measure.profile_files import load_profile
from metis.measure.testbed import Testbed, load_embedded
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import value
from metis.problem.groups import draw_groups, load_groups
from metis.problem.objectives import MeanRps
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.program.colocation_program import solve_colocation_program
from metis.simulate.replay import FileTestbed

SIZES = ((81, 200), (81, 400), (729, 2000))
PLANNING_GAP = 1e-4  # proposals and ratios to four digits need no proof beyond


def plan(worth: FloatArray, group: IntArray, cluster: Cluster) -> IntArray:
    """The optimum, to `PLANNING_GAP`."""
    return solve_colocation_program(worth, group, cluster, mip_rel_gap=PLANNING_GAP).placement


def groups_of(published: Path, space: ColocationSpace, rows: str) -> list[tuple[IntArray, Cluster]]:
    """(group, cluster) of every size for the given rows; drawn where the published files are absent."""
    wanted = []
    for nodes, size in SIZES:
        path = published / f"batch_set_{size}.npz"
        first, last = (int(part) for part in rows.split(":"))
        if path.is_file():
            groups = load_groups(path, rows, space.apps)
        else:
            groups = draw_groups(last, size, len(space.apps), np.random.default_rng(size))[first:]
        wanted += [(group, Cluster(space, nodes)) for group in groups]
    return wanted


def mean_ratio(belief: Tables, truth: Tables, wanted: Sequence[tuple[IntArray, Cluster]]) -> float:
    """Mean over groups: the plan on `belief`, valued on the truth, to the true optimum."""
    ratios = []
    for group, cluster in wanted:
        worth, true = (MeanRps().bind(group, cluster, tables) for tables in (belief, truth))
        reached, best = (value(plan(w, group, cluster), cluster, true) for w in (worth, true))
        ratios.append(reached / best)
    return float(np.mean(ratios))


def reached(history: Sequence[dict[str, Any]], ratio: float) -> float:
    """Measurements of the first round at or above `ratio`; infinite where there is none."""
    return next((row["measurements"] for row in history if row["ratio"] >= ratio), np.inf)


@dataclass(frozen=True)
class Outcome:
    """One seed's figures."""

    seed: int
    to_99: float
    to_995: float
    last: float
    others: float
    round_seconds: float
    coverage: float


def one_seed(
    testbed: Testbed, published: Path, settings: ExploreSettings, others: str
) -> tuple[Outcome, Exploration]:
    wanted = groups_of(published, testbed.space, "0:2")
    found = explore(testbed, wanted, MeanRps(), plan, settings)
    unseen = mean_ratio(found.belief.tables, testbed.truth(), groups_of(published, testbed.space, others))
    seconds = float(np.mean([row["seconds"] for row in found.history]))
    outcome = Outcome(
        settings.seed,
        reached(found.history, 0.99),
        reached(found.history, 0.995),
        found.ratio,
        unseen,
        seconds,
        found.belief.covered(testbed.truth()),
    )
    return outcome, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path, default=Path(__file__).parents[2] / "shared" / "published")
    parser.add_argument("--embedded", action="store_true", help="explore the embedded testbed, with noise")
    parser.add_argument("--noise", type=float, default=0.02, help="of the embedded testbed")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=320)
    parser.add_argument("--acquisition", default="optimistic")
    parser.add_argument("--start", default="spread")
    parser.add_argument("--start-size", type=int, default=ExploreSettings.start_size)
    parser.add_argument("--repeats", type=int, default=ExploreSettings.repeats)
    parser.add_argument("--per-round", type=int, default=ExploreSettings.per_round)
    parser.add_argument("--optimism", type=float, default=ExploreSettings.optimism)
    parser.add_argument("--imagined", type=int, default=ExploreSettings.imagined)
    parser.add_argument("--others", default="10:20", help="rows of groups never explored")
    parser.add_argument("--csv", type=Path, help="write the history of all seeds here")
    options = parser.parse_args()
    testbed: Testbed
    full = options.published / "0905-6435results-normed.npz"
    if options.embedded or not full.is_file():
        testbed, source = load_embedded(noise=options.noise), f"embedded testbed, noise {options.noise:g}"
    else:
        testbed, source = FileTestbed(load_profile(full)), "published table"
    console = Console(width=120)
    outcomes, rows = [], []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        settings = ExploreSettings(
            budget=options.budget,
            acquisition=options.acquisition,
            start=options.start,
            start_size=options.start_size,
            repeats=options.repeats,
            per_round=options.per_round,
            optimism=options.optimism,
            imagined=options.imagined,
            seed=seed,
        )
        outcome, found = one_seed(testbed, options.published, settings, options.others)
        console.print(outcome, soft_wrap=True)
        outcomes.append(outcome)
        rows += [
            {k: v for k, v in row.items() if k != "proposed"}
            | {"seed": seed, "acquisition": options.acquisition}
            for row in found.history
        ]
    console.print(against_bars(outcomes, f"{source}, {options.acquisition}, {options.seeds} seeds"))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def against_bars(outcomes: Sequence[Outcome], title: str) -> Table:
    shown = Table("figure", "bar", "goal", "mean", "worst", title=title)
    for name, field, bar, goal, worst in (
        ("measurements until 99 %", "to_99", "200", "120", max),
        ("measurements until 99.5 %", "to_995", "320", "180", max),
        ("ratio, groups explored", "last", "", "", min),
        ("ratio, groups never explored", "others", "0.985", "0.993", min),
        ("CPU s a round, 729 nodes included", "round_seconds", "10", "2", max),
        ("coverage of 80 % intervals, true", "coverage", "", "", min),
    ):
        values = [float(getattr(outcome, field)) for outcome in outcomes]
        shown.add_row(name, bar, goal, f"{np.mean(values):.4g}", f"{worst(values):.4g}")
    return shown


if __name__ == "__main__":
    main()
