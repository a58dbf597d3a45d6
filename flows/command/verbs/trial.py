"""Try schedulers against one another: deploy what each places in turn, load it, and compare what it serves.

metis trial cluster=lab schedulers=[metis,spread,greedy+local_search] group.counts='{Redis:2,MMS:2}'
metis trial cluster=hosts cluster.inventory=hosts.yaml schedulers=[metis,spread] trial.rounds=30
metis trial schedulers=[metis,spread] group.size=200 cluster.nodes=81       rehearsed on the embedded testbed
metis trial ... --dry-run                                                   what would be tried

Every round deploys and measures each placement once, in a random balanced order. The trial ends as soon as
all 95 % intervals have separated from 0, or with `trial.rounds` or `trial.seconds`; then what ran before runs
again. After a kill the same command goes on.
"""

from collections.abc import Mapping
from typing import Any

from flows.command.request import Request, Verb
from flows.command.result import Column, Line, Result, Table, View
from flows.configuration.settings import Settings
from flows.engine.memo import Memo
from flows.engine.runs import ABOUT
from flows.engine.work import read_json
from flows.placing.known import known_simulator
from flows.placing.problem import check_problem, check_scheduler
from flows.placing.tables import tables_of
from flows.placing.trial import Contest, check_units, contenders, contest_of, of_first_group, trial_steps
from flows.stages.chain import open_memo
from flows.stages.trial import PAGE, RESULT
from metis.wording import amount

ENDED = {
    "separated": "all intervals have separated from 0",
    "rounds": "all rounds were made",
    "seconds": "its time was up",
}
NUMBERS = ("mean RPS", "more than {beside}", "", "predicted RPS", "predicted more", "rounds")


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    for name in contenders(settings):
        check_scheduler(settings, name)
    if settings.cluster.live:
        from flows.live.session import check_live

        check_live(settings)
    settings = of_first_group(settings)
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        check_problem(memo.settings)
        check_units(memo.settings)
        # placements that are all alike are refused before any host is touched
        contest = _contest(memo)
        if settings.dry_run:
            return _planned(memo, contest)
        record = memo.obtain("trial")
    found = read_json(record.folder / RESULT)
    page = record.folder / ABOUT / PAGE
    shown = [Line(f"page: {page}")] if page.is_file() else []
    document = {"run": record.run_id, "page": str(page) if shown else None, **found}
    return Result(document, [*trial_views(found), *shown, Line(f"MLflow run: {record.run_id}")])


def _contest(memo: Memo) -> Contest:
    space = tables_of(known_simulator(memo)).space
    inputs = {name: memo.obtain(name).folder for name in trial_steps(memo.settings)}
    return contest_of(inputs, memo.settings, space)


def _planned(memo: Memo, contest: Contest) -> Result:
    """Return what would be tried; no host is touched."""
    from metis.problem.counts import describe_colocation

    settings, chosen = memo.settings, memo.settings.trial
    apps = tables_of(known_simulator(memo)).space.apps
    rows = [
        [" = ".join(names), ", ".join(describe_colocation(row, apps) for row in placement if row.any())]
        for names, placement in zip(contest.schedulers, contest.placements, strict=True)
    ]
    a_round, at_start = _load_seconds(settings, contest)
    document = {
        "placements": [
            {"schedulers": list(names), "placement": placement.tolist()}
            for names, placement in zip(contest.schedulers, contest.placements, strict=True)
        ],
        "rounds": chosen.rounds,
        "load_seconds_a_round": a_round,
        "load_seconds_at_start": at_start,
    }
    limit = f", or {chosen.seconds:.0f} s" if chosen.seconds is not None else ""
    line = f"at most {amount(chosen.rounds, 'round')}{limit}; a round loads for {a_round:.0f} s"
    if at_start:
        line += f", and the start, each application alone, for {at_start:.0f} s"
    views: list[View] = [Table("Would be tried", ["scheduler", "nodes"], rows)]
    return Result(document, [*views, Line(line)])


def _load_seconds(settings: Settings, contest: Contest) -> tuple[float, float]:
    """Return for how many seconds a round loads, and the start, where each application is loaded alone."""
    chosen, load, turns = settings.trial, settings.load, 1
    if settings.cluster.live and settings.profile.at_once:
        turns = -(-settings.cluster.nodes // settings.profile.at_once)
    once = load.warm_up + load.duration
    placed = sum(any(column) for column in contest.placements[0].T.tolist())
    apps = placed if chosen.alone else 0
    loads = len(contest.placements) * chosen.repeats * turns + min(chosen.units_a_round, apps)
    return loads * once, apps * once


def trial_views(found: Mapping[str, Any]) -> list[View]:
    """Return the table of a trial, and what else it says, for a person."""
    beside = found["beside"]
    columns: list[Column | str] = ["scheduler"]
    columns += [Column(name.format(beside=beside), right=bool(name)) for name in NUMBERS]
    rows = [_row(row) for row in found["schedulers"]]
    views: list[View] = [Table(_title(found), columns, rows)]
    views += [Line(line) for line in notes(found)]
    return views


def notes(found: Mapping[str, Any]) -> list[str]:
    """Return what a trial says beside its table, a line each."""
    lines = []
    groups = {tuple(sorted([row["scheduler"], *row["as"]])) for row in found["schedulers"] if row["as"]}
    lines += [f"{' and '.join(names)} place alike, and share measurements" for names in sorted(groups)]
    if covered := found["coverage"]:
        lines.append(
            f"predicted {covered['level']:.0%} intervals hold {covered['held']} of {covered['of']} measured "
            f"RPS ({covered['held'] / covered['of']:.0%})"
        )
    if alone := found["alone"]:
        fewest = min(one["runs"] for one in alone.values())
        worst = max(one["error"] for one in alone.values())
        error = f"a standard error of {worst:.1%} at most, which is part of the predicted intervals"
        if not worst:
            error = "whose error is not known, as nothing was repeated"
        lines.append(f"what counts as 1: at least {amount(fewest, 'run')} of each application alone, {error}")
    disturbed = sum({tuple(map(tuple, r["placement"])): r["disturbed"] for r in found["schedulers"]}.values())
    if disturbed:
        lines.append(f"{disturbed} measurements were disturbed by something else, also when made again")
    return lines


def _title(found: Mapping[str, Any]) -> str:
    rounds, seconds = amount(found["rounds"], "round"), found["seconds"]
    return (
        f"Trial beside {found['beside']}, {rounds} in {seconds:.0f} s: {ENDED[found['ended']]}\n"
        f"shares of stand-alone RPS; ±: 95 % interval, paired by round; a tie where it holds 0"
    )


def _row(row: Mapping[str, Any]) -> list[str]:
    difference = row["difference"]
    few = "one round" if row["rounds"] == 1 else "no round"
    word = "" if difference is None else {True: "tie", False: "", None: few}[difference["tie"]]
    return [
        row["scheduler"],
        _number(row["rps"], signed=False),
        _number(difference, signed=True),
        word,
        _number(row.get("predicted"), signed=False),
        _number(row.get("predicted_difference"), signed=True),
        str(row["rounds"]),
    ]


def _number(found: Mapping[str, Any] | None, *, signed: bool) -> str:
    if found is None or found["mean"] is None:
        return ""
    half = found["half_width"]
    mean = f"{found['mean']:+.4f}" if signed else f"{found['mean']:.4f}"
    return mean if half is None else f"{mean} \N{PLUS-MINUS SIGN} {half:.4f}"


VERB = Verb(
    run,
    settings=("schedulers", "trial", "dry_run", "rerun", "group", "groups", "deploy"),
    stages=("trial",),
    site=True,
    one_group=True,
)
