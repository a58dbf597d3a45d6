"""One group placed and judged, for the verbs that place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from baselines.registry import timed_place
from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.live.room import Room, open_part, room_of
from flows.placing.decisions import Midway, scheduler_for
from flows.placing.known import known_simulator, known_weights, trained, unmeasured_apps
from flows.placing.problem import check_problem, check_scheduler
from flows.placing.stated import Stated, stated_of
from flows.placing.tables import tables_of
from flows.placing.wide import BOUNDING, Bound, bound_in, bound_of
from flows.stages.shared import OPTIMUM
from metis.errors import MetisError
from metis.files import save_arrays, written_whole
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import Evaluation, evaluate, gap, value
from metis.problem.folders import write_rows
from metis.problem.groups import check_group
from metis.problem.oracle import Oracle, worth_of
from metis.problem.placement_files import as_named, names_of_nodes, write_plan
from metis.problem.scheduler import Decision, Scheduler
from metis.problem.tables import Tables
from metis.problem.worth import Worth
from metis.simulate.model_oracle import ModelOracle
from metis.simulate.simulator import FittedSimulator, error_of

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
        bound_kind: `proven` or `estimated`, where co-locations are too many to tabulate or nodes differ.
        stated: what is used of nodes that differ, and what more of them would be worth; else None.
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
    bound_kind: str | None = None
    stated: Stated | None = None

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
            **({"bound_kind": self.bound_kind} if self.bound_kind else {}),
            "gap": gap(self.judged.value, self.bound),
            "seconds": self.decision.seconds,
            "cpu_seconds": self.decision.cpu_seconds,
            "free_nodes": self.judged.free_nodes,
            "slo": self.judged.slo,
            **found,
            **self._erring(),
            **(self.stated.document() if self.stated else {}),
            **as_named(self.placement, self.cluster.space.apps, self.room.nodes),
        }

    @property
    def before(self) -> IntArray:
        """The containers that ran before, on all nodes, int [nodes, apps]."""
        return make_cluster(self.settings, self.cluster.space).existing

    def save(self, path: Path) -> None:
        """Write a plan of all that runs then, existing containers among them, as the file's ending says."""
        before, apps, nodes = self.before, self.cluster.space.apps, self.room.nodes
        stated = self.cluster.stated
        if path.suffix == ".csv" and self.settings.problem and stated is not None:
            node, app = np.nonzero(self.placement + before)
            rows = np.column_stack([node, app, (self.placement + before)[node, app]])
            write_rows(path, stated, rows)
        elif path.suffix == ".csv":
            from cluster.export import placement_csv

            with written_whole(path) as file:
                file.write(placement_csv(self.placement + before, nodes, apps).encode())
        elif path.suffix == ".npz":
            held = {"placement": self.placement + before, "apps": np.array(apps), "nodes": np.array(nodes)}
            save_arrays(path, held | ({"existing": before} if before.any() else {}))
        else:
            write_plan(path, self.placement, apps, nodes, before)

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
    # before a simulator is fitted for it
    check_scheduler(settings, settings.scheduler)
    check_problem(settings)
    simulator = known_simulator(memo)
    known = tables_of(simulator)
    if not chosen and settings.cluster.live and known.space.size <= EXACT and not trained(memo):
        settings = replace(settings, scheduler=OPTIMUM)
    group = one_group(settings, known.space.apps)
    whole, room = make_cluster(settings, known.space), room_of(settings)
    if not settings.cluster.live:
        named = None if whole.stated is None else whole.stated.nodes
        room = replace(room, nodes=named or names_of_nodes(settings.existing, whole))
    part = open_part(whole, room, known)
    cluster, objective = part.cluster, settings.objective
    check_group(group, cluster)
    worth = worth_of(objective, group, cluster, known)
    decision = _decision(memo, settings, known, group, cluster, worth)
    judged = evaluate(decision.placement, cluster, known, worth)
    bound = _bound(settings, decision, group, cluster, worth)
    placed = [app for app, count in zip(known.space.apps, group, strict=True) if count]
    error, gain = _doubts(simulator, settings, decision.placement, group, cluster, judged.value)
    return Placed(
        settings=settings,
        objective=objective.name,
        cluster=cluster,
        decision=decision,
        judged=judged,
        bound=max(bound.value, judged.value),
        unmeasured=tuple(app for app in unmeasured_apps(memo) if app in placed),
        room=room,
        placement=part.whole(decision.placement, len(room.nodes)),
        error=error,
        gain=gain,
        bound_kind=bound.kind or None,
        stated=stated_of(decision.placement, group, cluster, known, bound, settings),
    )


def _decision(
    memo: Memo,
    settings: Settings,
    known: Tables | Oracle,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray | Worth,
) -> Decision:
    midway = Midway(partial(memo.progress, settings.scheduler))
    weights = known_weights(memo, known)
    scheduler = scheduler_for(settings, settings.scheduler, known, weights, progress=midway)
    midway.begin(0, 1, group, cluster, worth)
    decision = timed_place(scheduler, group, cluster, worth)
    midway.end(1, 1)
    return decision


def _doubts(
    simulator: FittedSimulator | Oracle,
    settings: Settings,
    placement: IntArray,
    group: IntArray,
    cluster: Cluster,
    predicted: float,
) -> tuple[float | None, tuple[float, float] | None]:
    """Return the simulator's own error of the value, and the predicted gain over `SPREAD` with its error."""
    if not isinstance(simulator, FittedSimulator | ModelOracle):
        return None, None
    objective, known = settings.objective, tables_of(simulator)
    drawn = [worth_of(objective, group, cluster, could_be) for could_be in simulator.drawn()]
    if not drawn:
        return None, None
    own = np.array([value(placement, cluster, one) for one in drawn])
    worth = worth_of(objective, group, cluster, known)
    swarm = scheduler_for(settings, SPREAD, known)
    return error_of(own), _gain(predicted, own, drawn, swarm, group, cluster, worth)


def _gain(
    own: float,
    own_drawn: FloatArray,
    drawn: Sequence[FloatArray | Worth],
    swarm: Scheduler,
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray | Worth,
) -> tuple[float, float] | None:
    """Return the predicted gain over `swarm` and its error; None where that may be worth nothing."""
    try:
        placement = swarm.place(group, cluster, worth).placement
    except MetisError:
        return None
    before = value(placement, cluster, worth)
    before_drawn = np.array([value(placement, cluster, one) for one in drawn])
    if not before > 0 or not (before_drawn > 0).all():
        return None  # a share of nothing, as where no container may reach its objective
    return own / before - 1, error_of(own_drawn / before_drawn - 1)


def _bound(
    settings: Settings, decision: Decision, group: IntArray, cluster: Cluster, worth: FloatArray | Worth
) -> Bound:
    """Return a bound, and whether it is proven or estimated where that is not always so.

    In a tabulated space it is the linear relaxation's: a few milliseconds, and tight to three or four digits.
    """
    if settings.scheduler == OPTIMUM and not settings.by_oracle:
        return Bound(float(decision.trace["bound"]), "")
    if isinstance(worth, np.ndarray) and cluster.stated is None:
        from metis.program.relaxation import relax  # with scipy, which placing alone does not need

        return Bound(relax(worth, group, cluster).bound, "")
    if settings.scheduler in BOUNDING:
        return bound_in(decision.trace)
    return bound_of(group, cluster, worth, settings)
