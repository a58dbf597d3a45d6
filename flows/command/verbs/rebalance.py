"""Improve what runs with few moves: how many pay, which ones, and in which safe order.

metis rebalance existing=running.csv moves=60 cluster.nodes=81 out=plan.json      deploy, explain read it
metis rebalance existing=running.csv cluster.nodes=81          the frontier: what each number of moves reaches
metis rebalance existing=running.csv move_cost=0.001 'rebalance.stay=[Redis]' cluster.nodes=81
metis rebalance existing=running.csv moves=60 cluster.nodes=81 why=node-7    or why_not=Redis-12
metis rebalance existing=live moves=5 cluster=lab                            what `metis deploy` started there
metis rebalance existing=live moves=5 cluster=lab apply=true       make the moves, wave by wave, each measured
metis rebalance existing=live cluster=lab apply=true rebalance.back=true                        take them back
metis rebalance problem=FOLDER existing=running.csv profile=file profile.path=my.npz     nodes that differ

No group arrives unless one is given (`group.counts=`, `groups.path=`): then it is placed with the moves.
"""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flows.command.applied import applied, check_apply, refuse_half_made
from flows.command.problem_folder import stated_in_folder
from flows.command.request import Request, Verb
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.engine.memo import Memo
from flows.placing.known import known_simulator
from flows.placing.rebalancing import Proposal, check_rebalancing, group_given, propose
from flows.placing.tables import tables_of
from flows.stages.chain import open_memo
from metis.errors import InputError
from metis.files import written_whole
from metis.operate.prices import explain_container, explain_node
from metis.operate.rebalance import shown_points

MOVES_SHOWN = 40  # rows of the table
STARTS_SHOWN = 12
GROUP = ("group.", "groups.", "group=")  # what says that one arrives


def run(request: Request) -> Result:
    """See the module's text."""
    check_apply(request.settings)
    out = request.settings.out
    if out and Path(out).suffix.lower() != ".json":
        raise InputError(f"out {out!r}: a plan with its waves is JSON; use a name that ends in .json")

    def plan(memo: Memo) -> Proposal:
        arrives = group_given(memo.settings) or any(
            word.lstrip("+").startswith(GROUP) for word in request.overrides
        )
        check_rebalancing(memo.settings, arrives)
        known = tables_of(known_simulator(memo))
        return propose(memo.settings, known, arrives, partial(progress, "plans"))

    given = request.settings
    if given.problem is not None:
        given = stated_in_folder(request, "existing")
    with request.progress() as progress:
        if given.apply:
            return applied(given, request.command, progress, plan)
        refuse_half_made(given)
        memo = open_memo(given, progress, request.command)
        settings = memo.settings  # `existing` is a file there, also where a run was named
        made = plan(memo)
    document, views = made.document, _views(made)
    for reasons in _explained(made, settings.why, settings.why_not):
        document["why"] = reasons
        views.append(Line(reasons["why"]))
    if settings.out:
        with written_whole(Path(settings.out)) as file:
            file.write(json.dumps(made.chosen, indent=1, ensure_ascii=False).encode() + b"\n")
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    return Result(document, views)


def _explained(made: Proposal, why: str | None, why_not: str | None) -> Iterator[dict[str, Any]]:
    if why:
        yield explain_node(made.found, made.knee.index, why)
    if why_not:
        yield explain_container(made.found, made.knee.index, why_not)


def _views(made: Proposal) -> list[View]:
    before = made.found.before
    lines: list[View] = [
        Line(f"{node} holds {held}, which a rule forbids") for node, held in before["breaks"].items()
    ]
    lines += [Line(f"exceeded already: {words}") for words in before.get("exceeds", ())]
    running, after = made.found.cluster.existing.sum(), made.found.plans[0].placement.sum()
    if running != after:
        lines.append(Line(f"values count the {after} containers in the end, of which {running} run now"))
    if made.single:
        gains = "gains its cost" if made.found.cost.any() else "gains"
        nothing = f"nothing to do: no move that may be made {gains}"
        return [*lines, *_plan_views(made.found.document(0), before, nothing)]
    frontier, chosen = made.document["frontier"], made.knee.index
    shown, ends = shown_points(frontier, chosen)
    columns = [Column(name, right=True) for name in ("moves", "value", "RPS", "at most", "gap", "price")]
    rows = [
        [
            str(point["moves"]),
            f"{point['value']:.4f}",
            f"{point['rps']:.4f}",
            f"{point['bound']:.4f}",
            f"{point['gap']:.3%}{_estimated(point)}",
            f"{point['price']:.3g}",
        ]
        for point in frontier[:shown]
    ]
    title = f"Moves, from value {before['value']:.4f}, RPS {before['rps']:.4f}"
    return [
        *lines,
        Table(
            title,
            [*columns, "waves"],
            [[*row, _waves(p)] for row, p in zip(rows, frontier[:shown], strict=True)],
            {chosen: "bold"},
        ),
        *([Line(ends)] if ends else []),
        Line(f"proposed: moves={frontier[chosen]['moves']}: {made.knee.why}"),
        Line("moves=N shows one plan in its order, output=json all of them", "dim"),
    ]


def _estimated(plan: dict[str, Any]) -> str:
    if not plan.get("ended", True):
        return " (estimated too low: the search took rebalance.time_limit and did not end)"
    return " (estimated)" if plan["bound_kind"] == "estimated" else ""


def _waves(plan: dict[str, Any]) -> str:
    words = f"{len(plan['waves'])} in {plan['takes']:.0f} s"
    return f"{words}, some containers without an order" if plan["without_order"] else words


def _starts(plan: dict[str, Any]) -> dict[str, str]:
    """Return how long each wave takes, in words, where there are several."""
    seconds = [f"{one:.0f} s" for one in plan["starts"]]
    shown = [*seconds[:STARTS_SHOWN], *(["..."] if len(seconds) > STARTS_SHOWN else [])]
    return {"starts, by wave": ", ".join(shown)} if len(seconds) > 1 else {}


def _plan_views(plan: dict[str, Any], before: dict[str, Any], nothing: str) -> list[View]:
    facts = {
        "moves": f"{plan['moves']}, {plan['detours']} more give way" if plan["detours"] else plan["moves"],
        "value": f"{before['value']:.4f} to {plan['value']:.4f}, {plan['bound']:.4f} at most",
        "gap": f"{plan['gap']:.3%}{_estimated(plan)}",
        "mean RPS": f"{before['rps']:.4f} to {plan['rps']:.4f} of stand-alone",
        "price of a move": f"{plan['price']:.3g}",
        "waves": _waves(plan),
        **_starts(plan),
    }
    if plan["down"]:
        facts["down at once"] = ", ".join(f"{count} {app}" for app, count in plan["down"].items())
    rows = [
        [str(number), move["app"], move["from"] or "(arrives)", move["to"] or "(leaves)", _mark(move)]
        for number, wave in enumerate(plan["waves"], 1)
        for move in wave
    ]
    shown = rows[:MOVES_SHOWN]
    columns: list[Column | str] = [Column("wave", right=True), "application", "from", "to", ""]
    none = Line("moves=0: nothing is moved" if plan["limit"] == 0 else nothing)
    moves = Table("Moves", columns, shown) if rows or plan["moves"] else none
    views: list[View] = [Facts("Rebalancing", facts), moves]
    if len(rows) > len(shown):
        views.append(Line(f"and {len(rows) - len(shown)} more: output=json prints them all", "dim"))
    views += [Line(f"mended: {node}") for node in plan["mends"]]
    views += [
        Line(
            f"no safe order brings {held} to {node}: there is no room, or a rule's limit is reached, while "
            "both copies run; a free slot, or rebalance.unavailable=1 for stopping first, would help",
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
        "apply",
        "problem",
        "why",
        "why_not",
        "rebalance",
        "out",
        "group",
        "groups",
        "cluster.nodes",
        "deploy.session",
        "profile.at_once",
        "rules",
        "objective",
    ),
    stages=("simulator",),
    site=True,
)
