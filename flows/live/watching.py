"""Watching a deployment: look at intervals, keep what was found, and propose; never move anything."""

import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from flows.configuration.settings import Settings
from flows.live.state import say_indented
from metis.errors import MetisError, SurroundingsError
from metis.measure.profile import Profile
from metis.operate.memory import LOOKS, Memory
from metis.operate.proposal import Planning, Proposed, propose_moves
from metis.operate.rebalance import move_costs
from metis.operate.watch import Inspection, Knowledge, Measure, Thresholds, inspect_running
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import Objective
from metis.problem.placement_files import node_names
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.settings import WatchSettings
    from flows.live.session import LiveSession

# settings of a watch that mean nothing to a deployment, or that it sets itself
NOT_DEPLOYING = ("watch.", "stages=", "until=", "rerun=", "placement=", "output=", "out=", "dry_run=")

See = Callable[[], tuple[IntArray, Measure]]
PLAN = ("moves", "value", "bound", "gap", "price", "waves", "takes", "without_order")
REMEMBERED = (
    "at",
    "value",
    "gain",
    "gain_interval",
    "cost",
    "proposed",
    "moves",
    "bad_nodes",
    "everything",
    "changed",
)
Hold = Callable[[], AbstractContextManager[None]]


@dataclass
class Watch:
    """What a watch found so far.

    Attributes:
        known: what is known now.
        looks: a row per look: `look`, `at`, and `metis.operate.watch.Inspection.as_dict`, or `error`; a
            proposal also `moves`, the containers that it would start.
        proposal: of the last look, int [nodes, apps]; None where no plan of moves pays.
        plan: its moves in waves, and their figures.
        last: the last look that worked.
    """

    known: Knowledge
    looks: list[dict[str, Any]] = field(default_factory=list)
    proposal: IntArray | None = None
    plan: dict[str, Any] | None = None
    last: Inspection | None = None


def watch(
    profile: Profile,
    see: See,
    settings: "WatchSettings",
    objective: Objective,
    cluster: Cluster,
    *,
    nodes: Sequence[str] = (),
    planning: Planning | None = None,
    memory: Memory | None = None,
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
        nodes: names of the nodes; numbers where none are given.
        planning: how many moves are proposed; None for as many as the knee of the frontier.
        memory: what was seen before; None for nothing. It is kept up to date, and not saved.
        report: called after every look.
        hold: keeps others from changing what runs, during a look and not between two.
        wait: how to pause.
        clock: seconds.

    Raises:
        MetisError: no look worked; that of the last one.
    """
    memory = memory or Memory(Knowledge.of(profile, settings.noise))
    planning = planning or Planning()
    found = Watch(memory.known)
    names = tuple(nodes) or node_names(cluster.nodes)
    patrol = Thresholds(
        settings.level,
        settings.noise,
        settings.remeasure,
        settings.min_gain,
        settings.confidence,
        move_costs(planning.move_cost, planning.settings.stay, cluster.space.apps),
    )
    looking = _Looking(see, objective, cluster, names, planning, memory, patrol, settings.rest, hold)
    try:
        for number in count():
            begun = clock()
            failure = _look(found, looking)
            report(found)
            if settings.looks is not None and number + 1 >= settings.looks:
                break
            wait(max(0.0, settings.interval - (clock() - begun)))
    except KeyboardInterrupt:
        failure = SurroundingsError("interrupted before its first look was done")
    if found.last is None and failure is not None:
        raise failure
    return found


@dataclass(frozen=True)
class _Looking:
    """What a look needs; see `watch`."""

    see: See
    objective: Objective
    cluster: Cluster
    nodes: tuple[str, ...]
    planning: Planning
    memory: Memory
    patrol: Thresholds
    rest: float
    hold: Hold


def _look(found: Watch, looking: _Looking) -> MetisError | None:
    """Look once, noted in `found` and in the memory; return what went wrong."""
    memory, nodes = looking.memory, looking.nodes
    row: dict[str, Any] = {"look": len(found.looks) + 1, "at": _now()}
    made: list[Proposed] = []

    def plan(worth: FloatArray, group: IntArray, cluster: Cluster, free: NDArray[np.bool_]) -> IntArray:
        del group
        part = Cluster(cluster.space, int(free.sum()), running[free], cluster.allowed)
        names = tuple(name for name, one in zip(nodes, free, strict=True) if one)
        empty = Tables(cluster.space, {"rps": np.zeros((cluster.space.size, len(cluster.space.apps)))})
        made[:] = [propose_moves(empty, worth, part, names, gave[free], looking.planning)]
        placement = running.copy()
        placement[free] = made[0].placement
        return placement

    try:
        with looking.hold():
            running, measure = looking.see()
            now = time.time()
            memory.saw(nodes, running, now)
            gave = memory.lately(nodes, now, looking.rest)
            new = inspect_running(
                found.known, running, looking.cluster, measure, looking.objective, plan, looking.patrol, nodes
            )
    except MetisError as error:
        found.looks.append(row | {"error": str(error)})
        return error
    found.last, found.known, memory.known = new, new.known, new.known
    found.proposal, found.plan = new.proposal, None
    row |= new.as_dict()
    if new.proposal is not None:
        document = made[0].found.document(made[0].index)
        found.plan = {name: document[name] for name in PLAN}
        row["moves"] = document["moves"]
    found.looks.append(row)
    memory.looks = [*memory.looks, {name: row[name] for name in REMEMBERED if name in row}][-LOOKS:]
    return None


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
            loaded = amount(len(chosen), "container")
            say_indented(f"measuring {loaded}, {seconds:g} s for each turn of nodes")
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
    words += [f"{amount(len(row['silent']), 'node')} silent"] if row["silent"] else []
    words += _causes(row)
    if row["proposed"]:
        low, high = row["gain_interval"]
        words += [f"{row['moves']} moves are proposed: {row['gain']:+.1%} ({low:+.1%} to {high:+.1%})"]
    else:
        words += [f"no moves to propose ({row['gain']:+.1%} at most)"]
    return f"  look {row['look']}: {', '.join(words)}"


def _causes(row: dict[str, Any]) -> list[str]:
    """What changed as a whole, in words: a node, an application, or what all share."""
    words = [
        f"{node} serves {share:.2f} of what it should, all applications on it alike: a bad machine, of which "
        "nothing is learned and to or from which nothing is moved"
        for node, share in row["bad_nodes"].items()
    ]
    words += [f"{app} serves {share:.2f} of what it did, everywhere" for app, share in row["changed"].items()]
    if row["everything"] is not None:
        words.append(
            f"everything serves {row['everything']:.2f} of what it did: what all nodes share changed (a "
            "core, the network, the load generator), so nothing is learned and no move could help"
        )
    return words


def deploy_command(command: str, run_id: str) -> str:
    """Return the command that would deploy a proposal, given the one that made it."""
    words = [word for word in shlex.split(command)[2:] if not word.lstrip("+").startswith(NOT_DEPLOYING)]
    return shlex.join(["metis", "deploy", *words, f"placement={run_id}"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
