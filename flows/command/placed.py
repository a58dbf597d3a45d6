"""One group placed and judged, for the verbs that place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from baselines.registry import check_name, timed_place
from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.live.room import Room, open_part, room_of
from flows.placing.decisions import Midway, scheduler_for
from flows.placing.known import known_simulator, known_weights, trained, unmeasured_apps
from flows.stages.shared import OPTIMUM
from metis.errors import MetisError
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import Evaluation, evaluate, gap, value
from metis.problem.groups import check_group
from metis.problem.placement_files import as_named
from metis.problem.scheduler import Decision, Scheduler
from metis.simulate.simulator import error_of

SPREAD = "spread"  # what Docker Swarm does by itself
EXACT = 20_000  # co-locations up to which the optimum takes seconds


@dataclass(frozen=True)
class Placed:
    """A group placed and judged.

    Attributes:
        settings: of the command.
        objective: its name.
        cluster: the nodes that have room, and what runs there.
        decision: of the scheduler, on these nodes.
        judged: on the simulator.
        bound: that no placement exceeds.
        unmeasured: applications of the group of which the profile holds no measurement.
        room: of the whole cluster.
        placement: on all its nodes, int [nodes, apps].
        error: half width of the 95 % interval of the value, by what the simulator knows of its own errors;
            None where it knows nothing.
        gain: predicted gain over what Docker Swarm does by itself, as a share, and the half width of its
            interval; None where that is not known.
    """

    settings: Settings
    objective: str
    cluster: Cluster
    decision: Decision
    judged: Evaluation
    bound: float
    unmeasured: tuple[str, ...]
    room: Room
    placement: IntArray
    error: float | None = None
    gain: tuple[float, float] | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The placement by names, and its figures."""
        found = {"occupied": list(self.room.notes)} if self.settings.cluster.live else {}
        found |= {"never_measured": list(self.unmeasured)} if self.unmeasured else {}
        return {
            "scheduler": self.settings.scheduler,
            "objective": self.objective,
            "rps": self.judged.rps,
            "value": self.judged.value,
            "bound": self.bound,
            "gap": gap(self.judged.value, self.bound),
            "seconds": self.decision.seconds,
            "cpu_seconds": self.decision.cpu_seconds,
            "free_nodes": self.judged.free_nodes,
            "slo": self.judged.slo,
            **found,
            **self._erring(),
            **as_named(self.placement, self.cluster.space.apps, self.room.nodes),
        }

    def _erring(self) -> dict[str, Any]:
        if self.error is None:
            return {}
        known = {"simulator_error": self.error}
        if self.gain is None:
            return known
        gain, half = self.gain
        over = {"scheduler": SPREAD, "mean": gain, "half_width": half}
        return known | {"predicted_gain": over | {"within_simulator_error": abs(gain) <= half}}


def place(memo: Memo, *, chosen: bool = True) -> Placed:
    """Place the group of the memo's settings with its simulator and weights.

    Args:
        memo: of the command.
        chosen: whether the user named the scheduler; else a live cluster's group is placed by the optimum
            where that takes seconds and the scheduler would have to be trained first.
    """
    settings = memo.settings
    check_name(settings.scheduler)  # before a simulator is fitted for it
    simulator = known_simulator(memo)
    tables = simulator.tables
    if not chosen and settings.cluster.live and tables.space.size <= EXACT and not trained(memo):
        settings = replace(settings, scheduler=OPTIMUM)
    group = one_group(settings, tables.space.apps)
    room = room_of(settings)
    part = open_part(make_cluster(settings, tables.space), room, tables)
    cluster = part.cluster
    check_group(group, cluster)
    objective = settings.objective
    worth = objective.bind(group, cluster, tables)
    midway = Midway(partial(memo.progress, settings.scheduler))
    weights = known_weights(memo, tables)
    scheduler = scheduler_for(settings, settings.scheduler, tables, weights, progress=midway)
    midway.begin(0, 1, group, cluster, worth)
    decision = timed_place(scheduler, group, cluster, worth)
    midway.end(1, 1)
    judged = evaluate(decision.placement, cluster, tables, worth)
    proven = settings.scheduler == OPTIMUM
    bound = float(decision.trace["bound"]) if proven else _bound(group, cluster, worth)
    placed = [app for app, count in zip(tables.space.apps, group, strict=True) if count]
    drawn = [objective.bind(group, cluster, could_be) for could_be in simulator.drawn()]
    own = np.array([value(decision.placement, cluster, one) for one in drawn])
    gain = None
    if drawn:
        swarm = scheduler_for(settings, SPREAD, tables)
        gain = _gain(judged.value, own, drawn, swarm, group, cluster, worth)
    return Placed(
        settings=settings,
        objective=objective.name,
        cluster=cluster,
        decision=decision,
        judged=judged,
        bound=bound,
        unmeasured=tuple(app for app in unmeasured_apps(memo) if app in placed),
        room=room,
        placement=part.whole(decision.placement, len(room.nodes)),
        error=error_of(own) if drawn else None,
        gain=gain,
    )


def _gain(
    own: float,
    own_drawn: FloatArray,
    drawn: Sequence[FloatArray],
    swarm: Scheduler,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
) -> tuple[float, float] | None:
    """Return the predicted gain over `swarm` and its error; None where that finds no placement."""
    try:
        placement = swarm.place(group, cluster, worth).placement
    except MetisError:
        return None
    before = value(placement, cluster, worth)
    gains = own_drawn / np.array([value(placement, cluster, one) for one in drawn]) - 1
    return (own / before - 1, error_of(gains)) if before > 0 else None


def _bound(group: Any, cluster: Cluster, worth: Any) -> float:
    """Return the linear relaxation's bound: a few milliseconds, and tight to three or four digits."""
    from metis.program.relaxation import relax  # with scipy, which placing alone does not need

    return relax(worth, group, cluster).bound
