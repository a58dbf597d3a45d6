"""Place one group.

metis place group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=optimum
metis place 'group.counts={Redis:10,MMS:20}' cluster.nodes=9 out=plan.json    explain, deploy, export read it
metis place group.size=60 existing=plan.json profile=file profile.path=my.npz output=json

With `existing=` (a file, or the id of an MLflow run) the group is placed beside what runs already. On a live
cluster what others run on its nodes takes slots, and nodes that are drained, paused or down get nothing.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from baselines.registry import check_name, timed_place
from flows.command.request import Request, Verb
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.live.room import Room, open_part, room_of
from flows.placing.decisions import scheduler_for
from flows.placing.known import known_tables, known_weights, trained, unmeasured_apps, unmeasured_line
from flows.stages.chain import open_memo
from flows.stages.shared import OPTIMUM
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray, describe_colocation
from metis.problem.evaluation import Evaluation, evaluate, gap
from metis.problem.groups import check_group
from metis.problem.placement_files import as_named, write_plan
from metis.problem.scheduler import Decision

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
            **as_named(self.placement, self.cluster.space.apps, self.room.nodes),
        }


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        placed = place(memo, chosen=request.typed("scheduler"))
    document, views = placed.document, _views(placed)
    if settings.out:
        write_plan(Path(settings.out), placed.placement, placed.cluster.space.apps, placed.room.nodes)
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    return Result(document, views)


def place(memo: Memo, *, chosen: bool = True) -> Placed:
    """Place the group of the memo's settings with its simulator and weights.

    Args:
        memo: of the command.
        chosen: whether the user named the scheduler; else a live cluster's group is placed by the optimum
            where that takes seconds and the scheduler would have to be trained first.
    """
    settings = memo.settings
    check_name(settings.scheduler)  # before a simulator is fitted for it
    tables = known_tables(memo)
    if not chosen and settings.cluster.live and tables.space.size <= EXACT and not trained(memo):
        settings = replace(settings, scheduler=OPTIMUM)
    group = one_group(settings, tables.space.apps)
    room = room_of(settings)
    part = open_part(make_cluster(settings, tables.space), room, tables)
    cluster = part.cluster
    check_group(group, cluster)
    objective = settings.objective
    worth = objective.bind(group, cluster, tables)
    scheduler = scheduler_for(settings, settings.scheduler, tables, known_weights(memo, tables))
    decision = timed_place(scheduler, group, cluster, worth)
    judged = evaluate(decision.placement, cluster, tables, worth)
    proven = settings.scheduler == OPTIMUM
    bound = float(decision.trace["bound"]) if proven else _bound(group, cluster, worth)
    placed = [app for app, count in zip(tables.space.apps, group, strict=True) if count]
    unmeasured = tuple(app for app in unmeasured_apps(memo) if app in placed)
    whole = part.whole(decision.placement, len(room.nodes))
    return Placed(settings, objective.name, cluster, decision, judged, bound, unmeasured, room, whole)


def _bound(group: Any, cluster: Cluster, worth: Any) -> float:
    """Return the linear relaxation's bound: a few milliseconds, and tight to three or four digits."""
    from metis.program.relaxation import relax  # with scipy, which placing alone does not need

    return relax(worth, group, cluster).bound


def _views(placed: Placed) -> list[View]:
    found, cluster = placed.document, placed.cluster
    facts = {
        "mean RPS": f"{found['rps']:.4f} of stand-alone",
        "objective": f"{found['objective']}: {found['value']:.4f}, {found['bound']:.4f} at most",
        "gap": f"{found['gap']:.3%}",
        "seconds": f"{found['seconds']:.4f}, {found['cpu_seconds']:.4f} of CPU",
        "free nodes": f"{found['free_nodes']} of {cluster.nodes}",
        "SLO": ", ".join(f"{share:.1%} at {level}" for level, share in found["slo"].items()),
    }
    total = placed.placement + make_cluster(placed.settings, cluster.space).existing
    alike = Counter(describe_colocation(row, cluster.space.apps) for row in total)
    rows = [[str(nodes), held] for held, nodes in alike.most_common()]
    return [
        Facts(f"Placement by {found['scheduler']}", facts),
        Table("Nodes", [Column("nodes", right=True), "each holds"], rows),
        *(Line(f"in the way: {line}") for line in placed.room.notes),
        *(Line(unmeasured_line(placed.unmeasured), "red") for _ in placed.unmeasured[:1]),
        Line("output=json prints the placement node by node, out=plan.json writes it", "dim"),
    ]


VERB = Verb(
    run,
    settings=("scheduler", "out", "existing", "group", "groups", "cluster.nodes", "rules", "objective"),
    stages=("simulator", "subscheduler", "highlevel", "baselines"),
    site=True,
)
