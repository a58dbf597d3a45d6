"""Deploy a placement to the live cluster, a few nodes at a time, and measure what it reaches.

metis deploy cluster=lab placement=plan.json --dry-run     show what would be started and stopped
metis deploy cluster=lab placement=plan.json               do it, then load it: predicted against measured
metis deploy cluster=lab placement=0f3a...                 what an MLflow run placed, deployed or proposed
metis deploy cluster=lab group.counts={Redis:1,MMS:2}      place that group first, by `scheduler`
metis deploy cluster=lab placement=plan.csv deploy.at_once=4 deploy.measure=false

Containers that may stay are not touched. A deployment that failed midway goes on with the same command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.command.placed import place
from flows.command.request import Request, Verb
from flows.command.result import Column, Line, Result, Table, View
from flows.engine.console import say
from flows.engine.memo import Memo
from flows.engine.work import read_json
from flows.live.session import check_live, connected
from flows.placing.given import given_names, given_placement
from flows.placing.known import unmeasured_line
from flows.stages.chain import open_memo
from metis.problem.space import ColocationSpace

if TYPE_CHECKING:
    import pandas as pd

PLAN = {"node": "node", "stop": "stop", "start": "start", "again": "start anew", "keep": "keep"}
TEXTS = ("node", "slot", "application", "co-location")
NUMBERS = ("predicted", "measured", "off by", "requests/s", "p99", "failed")


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    check_live(settings)
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        if not settings.placement:
            memo = replace(
                memo,
                settings=replace(memo.settings, placement=str(_placed(memo, request.typed("scheduler")))),
            )
        settings = memo.settings
        # a placement that cannot be read is refused before any host is touched
        space = ColocationSpace(tuple(settings.apps.names or ()), settings.cluster.slots or 1)
        given_placement(settings, space)
        if settings.dry_run:
            return _planned(memo)
        record = memo.obtain("deploy")
    return _deployed(record.run_id, record.folder)


def _placed(memo: Memo, chosen: bool) -> Path:
    """Place the group by its scheduler, as `metis place` does; return the file of the plan."""
    from flows.engine.keys import digest

    placed = place(memo, chosen=chosen)
    found = placed.document
    key = digest([found["placement"], placed.before.tolist()])
    path = memo.store.root / "plans" / f"{key}.json"
    placed.save(path)
    for line in placed.room.notes:
        say(f"  in the way: {line}")
    if placed.unmeasured:
        say(f"  {unmeasured_line(placed.unmeasured)}")
    say(f"  {found['scheduler']}: mean RPS {found['rps']:.4f} predicted, gap {found['gap']:.2%}")
    return path


def _planned(memo: Memo) -> Result:
    """Return what would change; hosts are made ready and images built, what runs is only looked at."""
    from flows.live.deployment import by_name, plan_rows

    inputs = {name: memo.obtain(name).folder for name in ("setup", "build")}
    with connected(memo.settings, inputs) as session:
        placement = given_placement(memo.settings, session.space)
        names = given_names(memo.settings, session.space)
        changes = session.plan(by_name(placement, names, session.nodes))
        against = session.obstacles(changes)
    rows = plan_rows(changes)
    document = {"plan": rows, "against": against}
    if not rows:
        return Result(document, [Line("nothing would change: what is deployed is what the placement says")])
    table = Table("Would change", list(PLAN.values()), [[str(row[name]) for name in PLAN] for row in rows])
    return Result(
        document, [table, *(Line(f"would fail: {line}", "red") for line in against)], 1 if against else 0
    )


def _deployed(run_id: str, folder: Path) -> Result:
    from flows.live.deployment import summary

    table = _table(folder)
    rows = [] if table is None else table.astype(object).where(table.notna(), None).to_dict("records")
    numbers = {} if table is None else summary(table)
    plan = read_json(folder / "plan.json")
    views: list[View] = []
    if table is not None:
        columns: list[Column | str] = [*TEXTS, *(Column(name, right=True) for name in NUMBERS)]
        views.append(Table("Deployed", columns, [_cells(row) for row in rows]))
        if "measured_rps" in numbers and "predicted_rps" in numbers:
            views.append(Line(_means(numbers)))
        views.append(Line(f"figure: {folder / 'deployed.svg'}"))
    views.append(Line(f"MLflow run: {run_id}"))
    return Result({"run": run_id, "plan": plan, "containers": rows, "summary": numbers}, views)


def _table(folder: Path) -> "pd.DataFrame | None":
    import pandas as pd

    path = folder / "containers.csv"
    return pd.read_csv(path) if path.is_file() else None


def _means(numbers: Mapping[str, float]) -> str:
    return (
        f"mean RPS {numbers['predicted_rps']:.3f} predicted, {numbers['measured_rps']:.3f} measured; "
        f"a container is off by {numbers.get('error_mean', 0):.1%} in the mean"
    )


def _cells(row: Mapping[Any, Any]) -> Sequence[str]:
    def shown(name: str, form: str) -> str:
        return "unknown" if row[name] is None else form.format(row[name])

    failed = str(row["reason"]) if row["failures"] is None else shown("failures", "{:.0f}")
    numbers = [shown("predicted", "{:.3f}"), shown("measured", "{:.3f}"), shown("error", "{:+.1%}")]
    numbers += [shown("rps", "{:.1f}"), shown("p99", "{:.3f} s"), failed]
    return [str(row["node"]), str(row["slot"]), str(row["app"]), str(row["colocation"]), *numbers]


VERB = Verb(
    run,
    settings=("placement", "scheduler", "dry_run", "group", "groups", "existing", "rules", "profile"),
    stages=("deploy", "subscheduler", "highlevel", "baselines"),
    site=True,
)
