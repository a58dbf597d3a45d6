"""Exploring for the groups of a run: by ensembles on tables, or by plans on a low-rank belief."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.configuration.objects import knows_truth, make_cluster, make_groups, make_oracle
from flows.configuration.settings import Settings
from flows.engine.work import Progress
from flows.placing.tables import FILE, LOWRANK
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import tabulated

if TYPE_CHECKING:
    from metis.explore.newcomer import Newcomer
    from metis.explore.planners import Planner
    from metis.explore.rounds import Explored
    from metis.measure.testbed import Testbed
    from metis.problem.oracle import Oracle
    from metis.problem.tables import Tables


def by_plans(settings: Settings) -> bool:
    """Whether plans on a low-rank belief explore, not ensembles on tables.

    They do where co-locations are too many to tabulate, and for a newcomer.
    """
    return settings.wide or settings.newcomer is not None


def explore_groups(
    settings: Settings, testbed: "Testbed", path: Path | None, progress: Progress
) -> "Explored":
    """Explore a testbed for all groups of the run.

    Args:
        settings: groups, cluster, objective and `explore`.
        testbed: what is measured.
        path: profile kept up to date after every measurement; a stopped exploration goes on from it.
        progress: called after every round; on a live cluster after every measurement, too.
    """
    from metis.explore.loop import explore
    from metis.explore.plans import explore_by_plans

    cluster = make_cluster(settings, testbed.space)
    wanted = [(group, cluster) for group in make_groups(settings, testbed.space.apps)]
    again = settings.testbed.kind == "swarm"

    def report(row: Any) -> None:
        if "pending" in row:
            if again:  # a measurement there takes half a minute, elsewhere nothing
                progress("measurements", row["measurements"], row["budget"], f", {row['pending']} pending")
            return
        gain = row["gain_bound"] / row["value"] if row["value"] > 0 else 0.0
        truly = f", {row['ratio']:.2%} of the true optimum" if row["ratio"] == row["ratio"] else ""
        known = f", round {row['round']}{truly}, at most {gain:.1%} more to gain"
        progress("measurements", row["measurements"], row["budget"], known)

    if not by_plans(settings):
        return explore(
            testbed,
            wanted,
            settings.objective,
            _plan,
            settings.explore,
            path=path,
            again=again,
            progress=report,
        )
    return explore_by_plans(
        testbed,
        wanted,
        settings.objective,
        _planner(settings),
        settings.explore,
        simulator=settings.simulator,
        newcomer=_newcomer(settings),
        truth=_truth(settings, testbed),
        path=path,
        again=again,
        progress=report,
    )


def write_believed(found: "Explored", folder: Path, seed: int) -> None:
    """Write `profile.npz`, and what is believed: `simulator.npz`, or `lowrank.npz` of wide spaces.

    Args:
        found: the exploration.
        folder: where to.
        seed: of draws from the belief.
    """
    from metis.explore.beliefs import TableBelief
    from metis.explore.loop import Exploration
    from metis.explore.plans import PlannedExploration
    from metis.simulate.simulator import FittedSimulator

    if isinstance(found, Exploration):
        found.profile.save(folder / "profile.npz")
        report = {
            "measured": len(found.profile) / found.profile.space.size,
            "coverage80": found.belief.coverage,
        }
        FittedSimulator(found.belief.tables, report, found.belief.doubts(seed)).save(folder / FILE)
        return
    assert isinstance(found, PlannedExploration)  # the only other one
    found.known.save(folder / "profile.npz")
    space = found.known.space
    report = {"measured": len(found.known) / space.size}
    if isinstance(found.belief, TableBelief):
        found.belief.simulator(report, seed).save(folder / FILE)
    else:
        found.belief.oracle.save(folder / LOWRANK)


def _plan(worth: FloatArray, group: IntArray, cluster: Cluster) -> IntArray:
    from metis.explore.planners import TablePlanner

    return TablePlanner().best(worth, group, cluster)


def _planner(settings: Settings) -> "Planner":
    from metis.explore.planners import ColumnPlanner, TablePlanner

    chosen = settings.columns
    return ColumnPlanner(chosen.width, chosen.seconds) if settings.wide else TablePlanner()


def _newcomer(settings: Settings) -> "Newcomer | None":
    """Return the application to learn, with the profile of the others."""
    if settings.newcomer is None:
        return None
    from metis.explore.newcomer import Newcomer
    from metis.measure.profile_files import load_profile
    from metis.measure.testbed import refuse_types

    assert settings.profile.onto is not None  # the settings are refused without
    known = load_profile(Path(settings.profile.onto))
    refuse_types(known, "newcomer")
    return Newcomer(settings.newcomer, known)


def _truth(settings: Settings, testbed: "Testbed") -> "Oracle | Tables | None":
    """Return what would really happen, where the testbed knows it."""
    if not knows_truth(settings):
        return None
    return make_oracle(settings) if settings.wide else testbed.truth(tabulated(settings.objective))
