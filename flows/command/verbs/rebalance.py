"""Improve what runs with few moves: how many pay, which ones, and in which safe order.

metis rebalance existing=running.csv moves=60 cluster.nodes=81 out=plan.json      deploy, explain read it
metis rebalance existing=running.csv cluster.nodes=81          the frontier: what each number of moves reaches
metis rebalance existing=running.csv move_cost=0.001 'rebalance.stay=[Redis]' cluster.nodes=81
metis rebalance existing=running.csv moves=60 cluster.nodes=81 why=node-7    or why_not=Redis-12

No group arrives unless one is given (`group.counts=`, `groups.path=`): then it is placed with the moves.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flows.command.request import Request, Verb
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.configuration.objects import make_cluster, one_group
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.placing.known import known_tables
from flows.stages.chain import open_memo
from metis.errors import InputError
from metis.files import written_whole
from metis.operate.prices import explain_container, explain_node
from metis.operate.rebalance import Knee, Rebalancing, rebalance
from metis.problem.placement_files import named_nodes, node_names

MOVES_SHOWN = 40  # rows of the table


@dataclass(frozen=True)
class Proposal:
    """The plans of the command.

    Attributes:
        settings: of the command.
        found: what runs, and the plans.
        single: whether one number of moves was given, or only a cost.
        knee: which of the plans is proposed.
    """

    settings: Settings
    found: Rebalancing
    single: bool
    knee: Knee

    @property
    def document(self) -> dict[str, Any]:
        """The plan, or the frontier of them with the one proposed."""
        name, before = self.settings.objective.name, self.found.before
        if self.single:
            return {"objective": name, "before": before, **self.found.document(0)}
        points = [self.found.document(i) for i in range(len(self.found.plans))]
        knee = {"moves": self.found.plans[self.knee.index].moves, "why": self.knee.why}
        return {"objective": name, "before": before, "knee": knee, "frontier": points}


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    arrives = any(word.lstrip("+").startswith(("group.", "groups.", "group=")) for word in request.overrides)
    with request.progress() as progress:
        made = propose(open_memo(settings, progress, request.command), arrives)
    document, views = made.document, _views(made)
    for reasons in _explained(made):
        document["why"] = reasons
        views.append(Line(reasons["why"]))
    if settings.out:
        chosen = made.found.document(made.knee.index)
        with written_whole(Path(settings.out)) as file:
            file.write(json.dumps(chosen, indent=1, ensure_ascii=False).encode() + b"\n")
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    return Result(document, views)


def propose(memo: Memo, arrives: bool) -> Proposal:
    """Plan moves on the cluster of the memo's settings, with its simulator.

    Raises:
        InputError: nothing runs, or what arrives does not fit.
    """
    settings = memo.settings
    if not settings.existing:
        raise InputError("existing: give what runs, a file of a placement or the id of an MLflow run")
    tables = known_tables(memo)
    apps = tables.space.apps
    cluster = make_cluster(settings, tables.space)
    if cluster.empty:
        raise InputError(f"existing {settings.existing}: nothing runs; `metis place` places on empty nodes")
    group = one_group(settings, apps) if arrives else cluster.existing[0] * 0
    single = isinstance(settings.moves, int) or (settings.moves is None and bool(settings.move_cost))
    every = int(cluster.existing.sum())
    found = rebalance(
        tables,
        settings.objective.bind(group, cluster, tables),
        cluster,
        named_nodes(Path(settings.existing), apps) or node_names(cluster.nodes),
        every if settings.moves is None and single else settings.moves,
        settings.rebalance,
        move_cost=settings.move_cost,
        arriving=group,
        report=partial(memo.progress, "plans"),
    )
    return Proposal(settings, found, single, Knee(0, "") if single else found.knee())


def _explained(made: Proposal) -> Iterator[dict[str, Any]]:
    settings, index = made.settings, made.knee.index
    if settings.why and settings.why_not:
        raise InputError("why and why_not: give one of them")
    if settings.why:
        yield explain_node(made.found, index, settings.why)
    if settings.why_not:
        yield explain_container(made.found, index, settings.why_not)


def _views(made: Proposal) -> list[View]:
    before = made.found.before
    lines: list[View] = [
        Line(f"{node} holds {held}, which a rule forbids") for node, held in before["breaks"].items()
    ]
    if made.single:
        return [*lines, *_plan_views(made.found.document(0), before)]
    frontier = made.document["frontier"]
    columns = [Column(name, right=True) for name in ("moves", "value", "RPS", "at most", "gap", "next move")]
    rows = [
        [
            str(point["moves"]),
            f"{point['value']:.4f}",
            f"{point['rps']:.4f}",
            f"{point['bound']:.4f}",
            f"{point['gap']:.3%}",
            f"{point['price']:.3g}",
        ]
        for point in frontier
    ]
    title = f"Moves, from value {before['value']:.4f}, RPS {before['rps']:.4f}"
    chosen = made.knee.index
    return [
        *lines,
        Table(
            title,
            [*columns, "waves"],
            [[*row, _waves(p)] for row, p in zip(rows, frontier, strict=True)],
            {chosen: "bold"},
        ),
        Line(f"proposed: moves={frontier[chosen]['moves']}: {made.knee.why}"),
        Line("moves=N shows one plan in its order, output=json all of them", "dim"),
    ]


def _waves(plan: dict[str, Any]) -> str:
    words = f"{len(plan['waves'])} in {plan['takes']:.0f} s"
    return f"{words}, some containers without an order" if plan["without_order"] else words


def _plan_views(plan: dict[str, Any], before: dict[str, Any]) -> list[View]:
    facts = {
        "moves": f"{plan['moves']}, {plan['detours']} more give way" if plan["detours"] else plan["moves"],
        "value": f"{before['value']:.4f} to {plan['value']:.4f}, {plan['bound']:.4f} at most",
        "gap": f"{plan['gap']:.3%}",
        "mean RPS": f"{before['rps']:.4f} to {plan['rps']:.4f} of stand-alone",
        "next move": f"gains {plan['price']:.3g}",
        "waves": _waves(plan),
    }
    if plan["down"]:
        facts["down at once"] = ", ".join(f"{count} {app}" for app, count in plan["down"].items())
    rows = [
        [str(number), move["app"], move["from"] or "(arrives)", move["to"] or "(leaves)", _mark(move)]
        for number, wave in enumerate(plan["waves"], 1)
        for move in wave
    ]
    shown = rows[:MOVES_SHOWN]
    views: list[View] = [
        Facts("Rebalancing", facts),
        Table("Moves", [Column("wave", right=True), "application", "from", "to", ""], shown),
    ]
    if len(rows) > len(shown):
        views.append(Line(f"and {len(rows) - len(shown)} more: output=json prints them all", "dim"))
    views += [Line(f"mended: {node}") for node in plan["mends"]]
    views += [
        Line(
            f"no safe order brings {held} to {node}: all slots are taken; a free slot, or "
            "rebalance.unavailable=1 for stopping first, would help",
            "red",
        )
        for node, held in plan["without_order"].items()
    ]
    return views


def _mark(move: dict[str, Any]) -> str:
    if move.get("detour"):
        return "gives way"
    return "stops first" if move.get("stop_first") else ""


VERB = Verb(
    run,
    settings=(
        "existing",
        "moves",
        "move_cost",
        "why",
        "why_not",
        "rebalance",
        "out",
        "group",
        "groups",
        "cluster.nodes",
        "rules",
        "objective",
    ),
    stages=("simulator",),
    site=True,
)
