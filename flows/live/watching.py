"""Watching a deployment: look at intervals, keep what was found, and propose; never move anything."""

import shlex
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from flows.configuration.settings import Settings
from flows.live.state import say_indented
from metis.errors import MetisError, SurroundingsError
from metis.measure.profile import Profile
from metis.operate.watch import Inspection, Knowledge, Measure, Thresholds, inspect_running
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import Objective
from metis.problem.space import ColocationSpace

if TYPE_CHECKING:
    from cluster.settings import WatchSettings
    from flows.live.session import LiveSession

# settings of a watch that mean nothing to a deployment, or that it sets itself
NOT_DEPLOYING = ("watch.", "stages=", "until=", "rerun=", "placement=", "output=", "out=", "dry_run=")

See = Callable[[], tuple[IntArray, Measure]]
Hold = Callable[[], AbstractContextManager[None]]


@dataclass
class Watch:
    """What a watch found so far.

    Attributes:
        known: what is known now.
        looks: a row per look: `look`, `at`, and `metis.operate.watch.Inspection.as_dict`, or `error`; a
            proposal also `moves`, the containers that it would start.
        proposal: of the last look, int [nodes, apps], rows placed so that most containers stay; None where
            nothing better was found.
        last: the last look that worked.
    """

    known: Knowledge
    looks: list[dict[str, Any]] = field(default_factory=list)
    proposal: IntArray | None = None
    last: Inspection | None = None


def watch(
    profile: Profile,
    see: See,
    settings: "WatchSettings",
    objective: Objective,
    cluster: Cluster,
    *,
    report: Callable[[Watch], None] = lambda found: None,
    hold: Hold = nullcontext,
    wait: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Watch:
    """Look `settings.looks` times, every `settings.interval` seconds; an interrupt ends it in good order.

    A look that fails is noted, and the next one tries again.

    Args:
        profile: what was measured before the deployment.
        see: returns what runs now, int [nodes, apps], and how to measure it.
        settings: how often, and what is news.
        objective: what a placement is worth.
        cluster: nodes and rules.
        report: called after every look.
        hold: keeps others from changing what runs, during a look and not between two.
        wait: how to pause.
        clock: seconds.

    Raises:
        MetisError: no look worked; that of the last one.
    """
    found = Watch(Knowledge.of(profile, settings.noise))
    patrol = Thresholds(settings.level, settings.noise, settings.remeasure, settings.min_gain)
    try:
        for number in count():
            begun = clock()
            failure = _look(found, see, objective, cluster, patrol, hold)
            report(found)
            if settings.looks is not None and number + 1 >= settings.looks:
                break
            wait(max(0.0, settings.interval - (clock() - begun)))
    except KeyboardInterrupt:
        failure = SurroundingsError("interrupted before its first look was done")
    if found.last is None and failure is not None:
        raise failure
    return found


def _look(
    found: Watch, see: See, objective: Objective, cluster: Cluster, patrol: Thresholds, hold: Hold
) -> MetisError | None:
    """Look once, noted in `found`; return what went wrong."""
    from cluster.deployment import aligned, moved

    row: dict[str, Any] = {"look": len(found.looks) + 1, "at": _now()}
    try:
        with hold():
            running, measure = see()
            new = inspect_running(found.known, running, cluster, measure, objective, optimum, patrol)
    except MetisError as error:
        found.looks.append(row | {"error": str(error)})
        return error
    found.last, found.known = new, new.known
    found.proposal = None if new.proposal is None else aligned(new.proposal, running)
    moves = {} if found.proposal is None else {"moves": moved(found.proposal, running)}
    found.looks.append(row | new.as_dict() | moves)
    return None


def optimum(worth: FloatArray, group: IntArray, cluster: Cluster) -> IntArray:
    """Return the best placement; see `baselines.optimum`."""
    from baselines.optimum import place_optimum

    return place_optimum(group, cluster, worth)[0]


def watched_cluster(settings: Settings, space: ColocationSpace, nodes: int) -> Cluster:
    """Return the cluster that a proposal is made for: its workers and rules, and nothing that must stay."""
    return Cluster(space, nodes, allowed=settings.rules.mask(space))


def seen_live(session: "LiveSession", alone: dict[str, float]) -> See:
    """Return what looks at a live cluster: what runs there, and how it is measured.

    Args:
        session: the cluster.
        alone: stand-alone RPS by application.
    """
    from cluster.deployment import placement_of
    from cluster.load.measurement import live_profile
    from metis.operate.watch import LiveMeasurement

    settings = session.settings
    source = session.source(settings.watch.source)
    nodes = session.nodes

    def see() -> tuple[IntArray, Measure]:
        standing = session.standing()
        placement = placement_of(standing, nodes, session.space.apps)

        def measure(rows: IntArray) -> LiveMeasurement:
            names = {nodes[int(row)] for row in rows}
            chosen = [one for one in standing if one.node in names]
            seconds = settings.load.warm_up + settings.load.duration
            say_indented(f"measuring {len(chosen)} containers, {seconds:g} s for each turn of nodes")
            results = source(chosen)
            return live_profile(session.space, nodes, placement, chosen, results, alone)

        return placement, measure

    return see


def look_line(row: dict[str, Any]) -> str:
    """Return a look as one line."""
    if "error" in row:
        return f"  look {row['look']}: failed: {row['error']}"
    words = [f"{row['colocations']} co-locations measured, mean value {row['value']:.4f}"]
    words += [f"{len(row['drifted'])} drifted"] if row["drifted"] else ["none drifted"]
    words += [f"alone {app} serves {unit:.2f} of what it did" for app, unit in row["units"].items()]
    words += [f"{len(row['silent'])} nodes silent"] if row["silent"] else []
    if row["proposed"]:
        words += [f"a placement with {row['gain']:+.1%} is proposed, {row['moves']} containers to start"]
    else:
        words += [f"nothing better to propose ({row['gain']:+.1%} at most)"]
    return f"  look {row['look']}: {', '.join(words)}"


def deploy_command(command: str, run_id: str) -> str:
    """Return the command that would deploy a proposal, given the one that made it."""
    words = [word for word in shlex.split(command)[2:] if not word.lstrip("+").startswith(NOT_DEPLOYING)]
    return shlex.join(["metis", "deploy", *words, f"placement={run_id}"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
