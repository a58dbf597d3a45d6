"""Place one group.

metis place group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=optimum
metis place 'group.counts={Redis:10,MMS:20}' cluster.nodes=9 out=plan.json    explain, deploy, export read it
metis place group.size=60 existing=plan.json profile=file profile.path=my.npz output=json

metis place problem=FOLDER seconds=300 out=plan.csv     nodes.csv, apps.csv, rules.yaml, existing.csv

With `existing=` (a file, or the id of an MLflow run) the group is placed beside what runs already.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines.registry import check_name, timed_place
from flows.command.request import Request, Verb
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.placing.decisions import scheduler_for
from flows.placing.known import known_tables, known_weights
from flows.stages.chain import open_memo
from flows.stages.shared import OPTIMUM
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import describe_colocation
from metis.problem.evaluation import Evaluation, evaluate, gap
from metis.problem.groups import check_group
from metis.problem.placement_files import as_named, node_names, write_plan
from metis.problem.scheduler import Decision


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
    """

    settings: Settings
    objective: str
    cluster: Cluster
    decision: Decision
    judged: Evaluation
    bound: float

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
    if settings.problem is not None:
        from flows.command.problem_folder import placed_problem

        return placed_problem(request)
    refuse_without_problem(request)
    with request.progress() as progress:
        placed = place(open_memo(settings, progress, request.command))
    document, views = placed.document, _views(placed)
    if settings.out:
        apps, nodes = placed.cluster.space.apps, node_names(placed.cluster.nodes)
        write_plan(Path(settings.out), placed.decision.placement, apps, nodes)
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    return Result(document, views)


def refuse_without_problem(request: Request) -> None:
    """Refuse settings that only a problem folder gives an effect.

    Raises:
        InputError: names the setting.
    """
    for word in request.overrides:
        key = word.partition("=")[0].lstrip("+~")
        if key.partition(".")[0] in ("seconds", "load_cost"):
            raise InputError(f"{key}: has no effect without problem=FOLDER")


def place(memo: Memo) -> Placed:
    """Place the group of the memo's settings with its simulator and weights."""
    settings = memo.settings
    check_name(settings.scheduler)  # before a simulator is fitted for it
    tables = known_tables(memo)
    group = one_group(settings, tables.space.apps)
    cluster = make_cluster(settings, tables.space)
    check_group(group, cluster)
    objective = settings.objective
    worth = objective.bind(group, cluster, tables)
    scheduler = scheduler_for(settings, settings.scheduler, tables, known_weights(memo, tables))
    decision = timed_place(scheduler, group, cluster, worth)
    judged = evaluate(decision.placement, cluster, tables, worth)
    proven = settings.scheduler == OPTIMUM
    bound = float(decision.trace["bound"]) if proven else _bound(group, cluster, worth)
    return Placed(settings, objective.name, cluster, decision, judged, bound)


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
    settings=(
        *("scheduler", "out", "existing", "group", "groups", "cluster.nodes", "rules", "objective"),
        *("problem", "seconds", "load_cost"),
    ),
    stages=("simulator", "subscheduler", "highlevel", "baselines"),
    site=True,
)
