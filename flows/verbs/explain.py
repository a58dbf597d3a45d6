"""Tell node by node why a placement is worth what it is: read this before trusting one.

metis explain group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=greedy
metis explain placement=placement.json cluster.nodes=81      as `metis place output=json` printed it
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.build import make_cluster, make_objective, one_group
from flows.compose import compose_plain
from flows.console import progress_bar, stdout
from flows.materials import fitted_simulator, weights_for
from flows.output import only_json
from flows.settings import Settings, validated
from rich.table import Table

from baselines.registry import Materials, constraints_of
from flows.placing import scheduler_for
from metis.explain import Explanation, explain
from metis.problem.placement import check_placement
from metis.problem.placement_files import read_placement


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        explanation, name = explained(settings)
        if settings.output == "json":
            answer({"scheduler": name, **explanation.as_dict()})
        else:
            _show(explanation, name)
    return 0


def explained(settings: Settings) -> tuple[Explanation, str]:
    """The explanation of `placement`, or of what the scheduler places now; and whose it is."""
    tables = fitted_simulator(settings).tables
    cluster = make_cluster(settings, tables.space)
    if settings.placement:
        placement, name = read_placement(Path(settings.placement), tables.space), settings.placement
        if placement.shape == cluster.existing.shape:
            check_placement(placement, placement.sum(axis=0), cluster, name)
    else:
        group, name = one_group(settings, tables.space.apps), settings.scheduler
        worth = make_objective(settings).bind(group, cluster, tables)
        with progress_bar() as progress:
            scheduler = scheduler_for(settings, name, tables, weights_for(settings, tables, progress))
        placement = scheduler.place(group, cluster, worth).placement
    options: dict[str, dict[str, Any]] = {"constraints": settings.constraints.model_dump(mode="json")}
    constraints = constraints_of(Materials(tables, options))
    extents = constraints.node_extents(placement, cluster)
    return explain(placement, cluster, tables, extents, make_objective(settings).needs), name


def _show(explanation: Explanation, name: str) -> None:
    whole = explanation.as_dict()
    title = f"{name}: {whole['containers']} containers, mean RPS {whole['rps']:.4f}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for heading in explanation.header:
        table.add_column(heading, overflow="fold")
    for row in explanation.rows():
        table.add_row(*row, end_section=False)
    stdout.print(table)
    violated = {rule: extent for rule, extent in whole["violated"].items() if extent > 0}
    extent = sum(violated.values())
    stdout.print(f"{len(violated)} constraints violated, extent {extent:g}; {whole['free_nodes']} nodes free")
