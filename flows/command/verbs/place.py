"""Place one group.

metis place group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=optimum
metis place group.counts={Redis:10,MMS:20} cluster.nodes=9 profile=file profile.path=my.npz output=json
"""

from collections.abc import Sequence
from typing import Any

from baselines.registry import timed_place
from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.objects import make_cluster, make_objective, one_group
from flows.configuration.settings import Settings, validated
from flows.engine.console import progress_bar
from flows.engine.materials import fitted_simulator, weights_for
from flows.placing.decisions import OPTIMUM, scheduler_for
from metis.problem.cluster import Cluster
from metis.problem.counts import describe_colocation
from metis.problem.evaluation import Evaluation, evaluate, gap
from metis.problem.groups import check_group
from metis.problem.scheduler import Decision


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        result, cluster, decision = place(settings)
        if settings.output == "json":
            answer(result)
        else:
            _show(result, cluster, decision)
    return 0


def place(settings: Settings) -> tuple[dict[str, Any], Cluster, Decision]:
    """Place the group of `settings`; the result as JSON-able values."""
    tables = fitted_simulator(settings).tables
    group = one_group(settings, tables.space.apps)
    cluster = make_cluster(settings, tables.space)
    check_group(group, cluster)
    objective = make_objective(settings)
    worth = objective.bind(group, cluster, tables)
    with progress_bar() as progress:
        weights = weights_for(settings, tables, progress)
        scheduler = scheduler_for(settings, settings.scheduler, tables, weights)
    decision = timed_place(scheduler, group, cluster, worth)
    judged: Evaluation = evaluate(decision.placement, cluster, tables, worth)
    proven = settings.scheduler == OPTIMUM
    bound = float(decision.trace["bound"]) if proven else _bound(group, cluster, worth)
    result = {
        "scheduler": settings.scheduler,
        "objective": objective.name,
        "rps": judged.rps,
        "value": judged.value,
        "bound": bound,
        "gap": gap(judged.value, bound),
        "seconds": decision.seconds,
        "placement": decision.placement.tolist(),
        "free_nodes": judged.free_nodes,
        "slo": judged.slo,
    }
    return result, cluster, decision


def _bound(group: Any, cluster: Cluster, worth: Any) -> float:
    """The linear relaxation's bound: a few milliseconds, and tight to three or four digits."""
    from metis.program.relaxation import relax  # with scipy, which placing alone does not need

    return relax(worth, group, cluster).bound


def _show(result: dict[str, Any], cluster: Cluster, decision: Decision) -> None:
    from collections import Counter

    from rich.table import Table

    from flows.engine.console import facts_table, stdout

    facts = {
        "mean RPS": f"{result['rps']:.4f} of stand-alone",
        "objective": f"{result['objective']}: {result['value']:.4f}, {result['bound']:.4f} at most",
        "gap": f"{result['gap']:.3%}",
        "seconds": f"{result['seconds']:.4f}",
        "free nodes": f"{result['free_nodes']} of {cluster.nodes}",
        "SLO": ", ".join(f"{share:.1%} at {level}" for level, share in result["slo"].items()),
    }
    stdout.print(facts_table(f"Placement by {result['scheduler']}", facts))
    apps = cluster.space.apps
    total = decision.placement + cluster.existing
    alike = Counter(describe_colocation(row, apps) for row in total)
    table = Table(title="Nodes", title_justify="left", title_style="bold")
    table.add_column("nodes", justify="right")
    table.add_column("each holds")
    for held, nodes in alike.most_common():
        table.add_row(str(nodes), held)
    stdout.print(table)
    stdout.print("output=json prints the placement node by node", style="dim")
