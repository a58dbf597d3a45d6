"""Show node by node why a placement is worth what it is: read this before trusting one.

metis explain group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=greedy
metis explain placement=plan.json cluster.nodes=81      as `metis place out=plan.json` wrote it
metis explain placement=0f3a... cluster.nodes=81        of an MLflow run
metis explain problem=FOLDER profile=file profile.path=my.npz scheduler=columns     nodes as the folder states
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from baselines.constraints import constraints_of
from flows.command.placed import place
from flows.command.request import Request, Verb
from flows.command.result import Line, Result, Table, View
from flows.command.stated import stated_views
from flows.configuration.objects import make_cluster
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.live.room import live_nodes
from flows.placing.given import given_placement
from flows.placing.known import known_simulator
from flows.placing.problem import check_problem, known_space
from flows.placing.stated import Stated, stated_of
from flows.placing.tables import tables_of
from flows.placing.wide import bound_of
from flows.stages.chain import open_memo
from metis.errors import InputError
from metis.explain import HEADER, Explanation, explain
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.oracle import worth_of
from metis.problem.placement import check_placement
from metis.problem.placement_files import named_nodes, node_names, read_existing
from metis.problem.tables import Tables
from metis.wording import amount


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    if settings.problem is not None:
        from flows.command.problem_folder import stated_in_folder

        settings = stated_in_folder(request)
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        explanation, name = explained(memo)
        stated = _nodes_that_differ(memo, explanation)
    document = {"scheduler": name, **explanation.as_dict(), **(stated.document() if stated else {})}
    made = settings.placement or f"Placement by {name}"
    return Result(document, [*_views(explanation, made), *(stated_views(stated) if stated else [])])


def explained(memo: Memo) -> tuple[Explanation, str]:
    """Return the explanation of a placement, and its name: `placement`, or the scheduler that places now."""
    settings = memo.settings
    space = known_space(settings)
    if settings.placement and space is not None:  # refused before anything is explored or fitted for it
        _beside(settings, make_cluster(settings, space))
    elif not settings.placement:
        check_problem(settings)
    known = tables_of(known_simulator(memo))
    cluster = make_cluster(settings, known.space)
    if settings.placement:
        name = settings.placement
        placement, cluster = _beside(settings, cluster)
        check_placement(placement, placement.sum(axis=0), cluster, name)
    else:
        placement, name = place(memo).placement, settings.scheduler
    violated = None
    if isinstance(known, Tables) or settings.constraints.path:  # which are found in tables
        violated = constraints_of(known, settings.constraints).node_extents(placement, cluster)
    found = explain(placement, cluster, known, violated)
    return replace(found, names=_names(settings, cluster)), name


def _nodes_that_differ(memo: Memo, explanation: Explanation) -> Stated | None:
    """Return what is used of nodes that differ, and what more would be worth; None where they are alike."""
    settings = memo.settings
    if not settings.stated:
        return None
    known = tables_of(known_simulator(memo))
    cluster = replace(make_cluster(settings, known.space), existing=explanation.existing)
    placement = explanation.counts - explanation.existing
    group = placement.sum(axis=0)
    bound = bound_of(group, cluster, worth_of(settings.objective, group, cluster, known), settings)
    return stated_of(placement, group, cluster, known, bound, settings)


def _beside(settings: Settings, cluster: Cluster) -> tuple[IntArray, Cluster]:
    """Return the new containers of `placement`, and the cluster with what ran before them.

    A plan that was made with `existing=` holds both; one that was not holds the new ones.

    Raises:
        InputError: the plan is of another number of nodes, or was made beside other containers than
            `existing=` names.
    """
    placement = given_placement(settings, cluster.space)
    if len(placement) != cluster.nodes:
        raise InputError(
            f"{settings.placement}: places on {len(placement)} nodes, cluster.nodes is {cluster.nodes}: "
            f"give cluster.nodes={len(placement)}"
        )
    before = read_existing(Path(settings.placement or ""), cluster.space)
    if before is None:
        return placement, cluster
    if settings.existing and not np.array_equal(before, cluster.existing):
        raise InputError(
            f"{settings.placement}: was made beside other containers than existing={settings.existing}; "
            "leave existing= out, the plan holds them"
        )
    return placement - before, replace(cluster, existing=before)


def _names(settings: Settings, cluster: Cluster) -> tuple[str, ...]:
    """Return the names of the nodes, those of plans and exports.

    They are of the file of the placement or of what runs, or of the cluster; else `node-1`, `node-2`, ...
    """
    given = settings.placement or settings.existing
    named = named_nodes(Path(given), cluster.space.apps) if given else None
    if named is None and cluster.stated is not None:
        named = cluster.stated.nodes
    if named is None and settings.cluster.live:
        named = live_nodes(settings)
    return named if named is not None and len(named) == cluster.nodes else node_names(cluster.nodes)


def _views(explanation: Explanation, made: str) -> Sequence[View]:
    whole = explanation.as_dict()
    title = f"{made}: {amount(whole['containers'], 'container')}, mean RPS {whole['rps']:.4f}"
    violated = {rule: extent for rule, extent in whole["violated"].items() if extent > 0}
    extent = sum(violated.values())
    rules, free = amount(len(violated), "constraint"), amount(whole["free_nodes"], "node")
    checked = f"{rules} violated, extent {extent:g}"
    if not explanation.checked:
        checked = "no constraints were checked (constraints.path=FILE names some)"
    last = f"{checked}; {free} free"
    return [Table(title, HEADER, list(explanation.rows())), Line(last)]


VERB = Verb(
    run,
    settings=("scheduler", "placement", "existing", "group", "groups", "cluster.nodes", "rules", "problem"),
    stages=("simulator", "constraints", "subscheduler", "highlevel", "baselines"),
    site=True,
    one_group=True,
)
