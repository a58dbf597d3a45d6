"""Place one group.

metis place group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=optimum
metis place 'group.counts={Redis:10,MMS:20}' cluster.nodes=9 out=plan.json    explain, deploy, export read it
metis place group.size=60 existing=plan.json profile=file profile.path=my.npz output=json

With `existing=` (a file, or the id of an MLflow run) the group is placed beside what runs already.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from baselines.registry import check_name, check_wide, timed_place
from flows.command.request import Request, Verb
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.placing.decisions import scheduler_for
from flows.placing.known import known_simulator, known_weights
from flows.placing.wide import COLUMNS, bound_of
from flows.stages.chain import open_memo
from flows.stages.shared import OPTIMUM
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import Evaluation, evaluate, gap
from metis.problem.groups import check_group
from metis.problem.oracle import worth_of
from metis.problem.placement_files import as_named, node_names, write_plan
from metis.problem.scheduler import Decision
from metis.problem.tables import Tables
from metis.problem.worth import Worth


@dataclass(frozen=True)
class Placed:
    """A group placed and judged.

    Attributes:
        settings: of the command.
        objective: its name.
        cluster: where.
        decision: of the scheduler.
        judged: on the simulator.
        bound: that no placement exceeds.
        bound_kind: `proven` or `estimated`, where co-locations are too many to tabulate.
    """

    settings: Settings
    objective: str
    cluster: Cluster
    decision: Decision
    judged: Evaluation
    bound: float
    bound_kind: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The placement by names, and its figures."""
        nodes, apps = node_names(self.cluster.nodes), self.cluster.space.apps
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
            **as_named(self.decision.placement, apps, nodes),
        }


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    with request.progress() as progress:
        placed = place(open_memo(settings, progress, request.command))
    document, views = placed.document, _views(placed)
    if settings.out:
        apps, nodes = placed.cluster.space.apps, node_names(placed.cluster.nodes)
        write_plan(Path(settings.out), placed.decision.placement, apps, nodes)
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    return Result(document, views)


def place(memo: Memo) -> Placed:
    """Place the group of the memo's settings with its simulator and weights."""
    settings = memo.settings
    # before a simulator is fitted for it
    (check_wide if settings.wide else check_name)(settings.scheduler)
    known = known_simulator(memo)
    group = one_group(settings, known.space.apps)
    cluster = make_cluster(settings, known.space)
    check_group(group, cluster)
    objective = settings.objective
    worth = worth_of(objective, group, cluster, known)
    weights = known_weights(memo, known) if isinstance(known, Tables) else None
    scheduler = scheduler_for(settings, settings.scheduler, known, weights)
    decision = timed_place(scheduler, group, cluster, worth)
    judged = evaluate(decision.placement, cluster, known, worth)
    bound, kind = _bound(settings, decision, group, cluster, worth)
    return Placed(settings, objective.name, cluster, decision, judged, max(bound, judged.value), kind)


def _bound(
    settings: Settings, decision: Decision, group: IntArray, cluster: Cluster, worth: FloatArray | Worth
) -> tuple[float, str | None]:
    """Return a bound, and whether it is proven or estimated where that is not always so.

    In a tabulated space it is the linear relaxation's: a few milliseconds, and tight to three or four digits.
    """
    if settings.scheduler == OPTIMUM:
        return float(decision.trace["bound"]), None
    if isinstance(worth, np.ndarray):
        from metis.program.relaxation import relax  # with scipy, which placing alone does not need

        return relax(worth, group, cluster).bound, None
    if settings.scheduler == COLUMNS:
        return float(decision.trace["bound"]), str(decision.trace["bound_kind"])
    return bound_of(group, cluster, worth, settings)


def _views(placed: Placed) -> list[View]:
    found, cluster = placed.document, placed.cluster
    facts = {
        "mean RPS": f"{found['rps']:.4f} of stand-alone",
        "objective": f"{found['objective']}: {found['value']:.4f}, {found['bound']:.4f} at most",
        "gap": f"{found['gap']:.3%}" + (f", bound {placed.bound_kind}" if placed.bound_kind else ""),
        "seconds": f"{found['seconds']:.4f}, {found['cpu_seconds']:.4f} of CPU",
        "free nodes": f"{found['free_nodes']} of {cluster.nodes}",
        "SLO": ", ".join(f"{share:.1%} at {level}" for level, share in found["slo"].items()),
    }
    total = placed.decision.placement + cluster.existing
    alike = Counter(describe_colocation(row, cluster.space.apps) for row in total)
    rows = [[str(nodes), held] for held, nodes in alike.most_common()]
    return [
        Facts(f"Placement by {found['scheduler']}", facts),
        Table("Nodes", [Column("nodes", right=True), "each holds"], rows),
        Line("output=json prints the placement node by node, out=plan.json writes it", "dim"),
    ]


VERB = Verb(
    run,
    settings=("scheduler", "out", "existing", "group", "groups", "cluster.nodes", "rules", "objective"),
    stages=("simulator", "subscheduler", "highlevel", "baselines"),
    site=True,
)
