"""Exploring for the groups of a run, on its testbed: shared by the verb and the stage."""

from pathlib import Path
from typing import Any

from baselines.colocation_program import solve_colocation_program
from flows.build import make_cluster, make_groups, make_objective, make_testbed
from flows.settings import Settings
from flows.work import Progress
from metis.explore import Exploration, explore
from metis.problem import Cluster, FloatArray
from metis.space import IntArray

PLANNING_GAP = 1e-4  # plans that only propose what to measure need no proof beyond


def explore_groups(settings: Settings, path: Path | None, progress: Progress) -> Exploration:
    """Explore `settings.testbed` for all groups of the run.

    Args:
        settings: testbed, groups, cluster, objective and `explore`.
        path: profile kept up to date after every measurement; a stopped exploration goes on from it.
        progress: called after every round.
    """
    testbed = make_testbed(settings)
    cluster = make_cluster(settings, testbed.space)
    groups = make_groups(settings, testbed.space.apps)

    def tell(row: Any) -> None:
        gain = row["gain_bound"] / row["value"] if row["value"] > 0 else 0.0
        told = f", {row['ratio']:.2%} of the true optimum" if row["ratio"] == row["ratio"] else ""
        known = f", round {row['round']}{told}, at most {gain:.1%} more to gain"
        progress("measurements", row["measurements"], row["budget"], known)

    return explore(
        testbed,
        [(group, cluster) for group in groups],
        make_objective(settings),
        _plan,
        settings.explore.made(),
        path=path,
        progress=tell,
    )


def _plan(worth: FloatArray, group: IntArray, cluster: Cluster) -> IntArray:
    return solve_colocation_program(worth, group, cluster, mip_rel_gap=PLANNING_GAP).placement
