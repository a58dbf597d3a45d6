"""Moves made on the live cluster for `metis rebalance apply=true`: planned, made, shown."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.memo import Memo
from flows.engine.work import Progress
from flows.live.running import LIVE
from flows.live.session import alone_rps, check_live, connected, known_profile
from flows.placing.rebalancing import Proposal
from flows.stages.chain import open_memo
from metis.errors import InputError, SurroundingsError

Plan = Callable[[Memo], Proposal]


def check_apply(settings: Settings) -> None:
    """Refuse settings under which moves cannot be made.

    Raises:
        InputError: says which, and what would be right.
    """
    if not settings.apply:
        if settings.rebalance.back:
            raise InputError("rebalance.back: takes moves back on the cluster, so add apply=true")
        return
    check_live(settings)
    if settings.existing != LIVE:
        raise InputError(f"existing {settings.existing}: apply=true moves what runs, so give existing=live")
    single = isinstance(settings.moves, int) or (settings.moves is None and bool(settings.move_cost))
    if not single and not settings.rebalance.back:
        raise InputError(
            f"moves {_listed(settings.moves)}: apply=true makes one plan, so give moves=N, or move_cost="
        )
    if settings.why or settings.why_not:
        raise InputError("why and why_not: explain a plan, and have no effect with apply=true")


def _listed(moves: Any) -> str:
    return "are not given" if moves is None else f"[{','.join(map(str, moves))}]"


def refuse_half_made(settings: Settings) -> None:
    """Refuse to plan from what runs while moves are under way there: some containers run twice.

    Raises:
        SurroundingsError: they are; says what ends them.
    """
    if settings.existing != LIVE or not settings.cluster.live:
        return
    from flows.live.rebalancing import under_way

    going = under_way(settings)
    if going:
        raise SurroundingsError(
            f"moves are under way here (wave {going.made + 1} of {len(going.steps)}): the command that began "
            "them goes on, with rebalance.back=true it takes them back"
        )


def applied(settings: Settings, command: str, progress: Progress, plan: Plan) -> Result:
    """Make the moves of one plan, or go on with those under way, or take the last ones back.

    Args:
        settings: with `apply`, and what a problem folder states.
        command: that is repeated to go on.
        progress: receives how far it is.
        plan: makes the plan, where none is under way.
    """
    from flows.live.moves import Moves
    from flows.live.rebalancing import check_same, made_last, new_record, rules_of, under_way
    from flows.live.record import STOPPED, document_of

    back = settings.rebalance.back
    known = made_last(settings) if back else under_way(settings)
    if known:
        check_same(known, settings)
        memo, proposal = open_memo(replace(settings, existing=None), progress, command), None
    else:
        memo = open_memo(settings, progress, command)
        proposal = plan(memo)
        document = proposal.document
        if not document["waves"]:
            return Result({**document, "applied": None}, [Line("nothing to do: no move gains anything")])
        if document["without_order"]:
            raise InputError(
                "these moves have no safe order: all slots are taken; rebalance.unavailable=1 admits that "
                "containers are stopped before they start elsewhere"
            )
    inputs = {name: memo.obtain(name).folder for name in ("setup", "build")}
    with connected(memo.settings, inputs, "rebalance") as session:
        record = made_last(settings) if back else under_way(settings)
        if record is not None:
            check_same(record, settings)
            record.back = back
        elif proposal is None:
            raise SurroundingsError(
                "the moves that were under way have been ended by another metis meanwhile"
            )
        else:
            profile = memo.records.get("profile")
            alone = alone_rps(known_profile({"profile": profile.folder} if profile else {}))
            found = proposal.found
            record = new_record(session, proposal.document, found, rules_of(found.cluster), alone)
        Moves(session, record, progress).run()
    made = document_of(record, settings.rebalance.guard)
    if record.state == STOPPED:
        say(f"metis: {record.reason}; {_undone(made)}")
    return Result(
        {**record.plan, "applied": made}, _views(record.state, made, settings), int(record.state == STOPPED)
    )


def _undone(made: dict[str, Any]) -> str:
    notes = "".join(f"; {note}" for note in made["notes"])
    return f"the wave was undone, {made['made']} of {made['of']} are made{notes}"


def _views(state: str, made: dict[str, Any], settings: Settings) -> list[View]:
    level = f"{settings.rebalance.guard:.0%}"
    rows = [
        [
            str(number),
            f"{wave['moves']}, {wave['anew']} anew" if wave["anew"] else str(wave["moves"]),
            f"{wave['expected_seconds']:.0f} s",
            f"{wave['seconds']:.0f} s",
            f"{wave['rps']:.3f}",
            _change(wave),
            f"{wave['predicted_change']:+.3f}",
        ]
        for number, wave in enumerate(made["waves"], 1)
    ]
    headings = ("wave", "moves", "expected", "took", "mean RPS", f"change ({level})", "predicted")
    facts = {
        "waves made": f"{made['made']} of {made['of']}",
        "mean RPS": f"{made['before']:.3f} before, {made['after']:.3f} after: {_change(made)} ({level})",
        "requests failed": f"{made['failures']} of {made['requests']} in the moves ({made['failed']:.2%})",
    }
    views: list[View] = [Facts(f"Moves {state}", facts)]
    if rows and made["made"]:
        views.append(Table("Waves", [Column(name, right=True) for name in headings], rows))
    return [*views, *(Line(note, "red") for note in made["notes"])]


def _change(found: dict[str, Any]) -> str:
    half = found["half_width"]
    return f"{found['change']:+.3f}" + ("" if half is None else f" ± {half:.3f}")
