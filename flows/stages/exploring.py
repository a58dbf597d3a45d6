"""Exploring for the groups of a run, on its testbed: shared by the verb and the stage."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.configuration.objects import make_cluster, make_groups, make_objective, make_testbed
from flows.configuration.settings import Settings
from flows.engine.work import Progress
from metis.explore.loop import Exploration, explore
from metis.measure.testbed import Testbed
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.program.colocation_program import solve_colocation_program

PLANNING_GAP = 1e-4  # plans that only propose what to measure need no proof beyond


@contextmanager
def testbed_for(settings: Settings, inputs: Mapping[str, Path]) -> Iterator[Testbed]:
    """The testbed of a run; of a live cluster the hosts and images that `inputs` tell of.

    Args:
        settings: of the run.
        inputs: output folders of the steps `setup` and `build`, by name, where the cluster is live.
    """
    if settings.testbed.kind != "swarm":
        yield make_testbed(settings)
        return
    from flows.live.profile import swarm_testbed

    with swarm_testbed(settings, inputs) as testbed:
        yield testbed


def ready_inputs(settings: Settings) -> dict[str, Path]:
    """Output folders of setup and build, done now, for verbs on a live cluster; nothing for others."""
    if not settings.cluster.live:
        return {}
    from flows.engine.chain import run_chain  # with MLflow, which nothing else here needs
    from flows.stages.hosts import hosts_steps

    steps = [step.name for step in hosts_steps(settings)]
    outcome = run_chain(settings.model_copy(update={"stages": steps, "rerun": [], "until": None}))
    return {name: outcome.records[name].folder for name in steps}


def explore_groups(
    settings: Settings, testbed: Testbed, path: Path | None, progress: Progress
) -> Exploration:
    """Explore `testbed` for all groups of the run.

    Args:
        settings: groups, cluster, objective and `explore`.
        testbed: what is measured.
        path: profile kept up to date after every measurement; a stopped exploration goes on from it.
        progress: called after every round.
    """
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
