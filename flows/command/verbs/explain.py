"""Show node by node why a placement is worth what it is: read this before trusting one.

metis explain group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=greedy
metis explain placement=plan.json cluster.nodes=81      as `metis place out=plan.json` wrote it
metis explain placement=0f3a... cluster.nodes=81        of an MLflow run
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from baselines.constraints import constraints_of
from flows.command.placed import place
from flows.command.request import Request, Verb
from flows.command.result import Line, Result, Table, View
from flows.configuration.objects import make_cluster
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.live.room import live_nodes
from flows.placing.given import given_placement
from flows.placing.known import known_tables
from flows.stages.chain import open_memo
from metis.explain import HEADER, Explanation, explain
from metis.problem.placement import check_placement
from metis.problem.placement_files import named_nodes


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    with request.progress() as progress:
        explanation, name = explained(open_memo(settings, progress, request.command))
    return Result({"scheduler": name, **explanation.as_dict()}, _views(explanation, name))


def explained(memo: Memo) -> tuple[Explanation, str]:
    """Return the explanation of a placement, and its name: `placement`, or the scheduler that places now."""
    settings = memo.settings
    tables = known_tables(memo)
    cluster = make_cluster(settings, tables.space)
    if settings.placement:
        placement, name = given_placement(settings, tables.space), settings.placement
        if placement.shape == cluster.existing.shape:
            check_placement(placement, placement.sum(axis=0), cluster, name)
    else:
        placement, name = place(memo).placement, settings.scheduler
    constraints = constraints_of(tables, settings.constraints)
    found = explain(placement, cluster, tables, constraints.node_extents(placement, cluster))
    return replace(found, names=_names(settings, len(placement), tables.space.apps)), name


def _names(settings: Settings, rows: int, apps: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the nodes: those of the placement's file, else of the live cluster; else none."""
    named = named_nodes(Path(settings.placement), apps) if settings.placement else None
    if named is None and settings.cluster.live:
        named = live_nodes(settings)
    return named if named is not None and len(named) == rows else ()


def _views(explanation: Explanation, name: str) -> Sequence[View]:
    whole = explanation.as_dict()
    title = f"{name}: {whole['containers']} containers, mean RPS {whole['rps']:.4f}"
    violated = {rule: extent for rule, extent in whole["violated"].items() if extent > 0}
    extent = sum(violated.values())
    last = f"{len(violated)} constraints violated, extent {extent:g}; {whole['free_nodes']} nodes free"
    return [Table(title, HEADER, list(explanation.rows())), Line(last)]


VERB = Verb(
    run,
    settings=("scheduler", "placement", "existing", "group", "groups", "cluster.nodes", "rules"),
    stages=("simulator", "constraints", "subscheduler", "highlevel", "baselines"),
    site=True,
)
