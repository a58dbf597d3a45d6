"""Deploy a placement to the live cluster, a few nodes at a time, and measure what it reaches.

metis deploy cluster=lab placement=plan.json --dry-run     show what would be started and stopped
metis deploy cluster=lab placement=plan.json               do it, then load it: predicted against measured
metis deploy cluster=lab placement=0f3a...                 what an MLflow run placed, deployed or proposed
metis deploy cluster=lab group.counts={Redis:1,MMS:2}      place that group first, by `scheduler`
metis deploy cluster=lab placement=plan.csv deploy.at_once=4 deploy.measure=false

Containers that may stay are not touched. A deployment that failed midway goes on with the same command.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.table import Table

from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, validated
from flows.engine.chain import StepError
from flows.engine.console import progress_bar, say, stdout
from flows.engine.work import read_json
from flows.live.deployment import plan_rows, summary, whole_placement
from flows.live.session import check_live, connected, made_ready, run_stage
from flows.placing.given import given_placement
from metis.problem.space import ColocationSpace

HEADINGS = {
    "node": "node",
    "stop": "stop",
    "start": "start",
    "again": "start anew",
    "keep": "keep",
}


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    words = ["dry_run=true" if word == "--dry-run" else word for word in arguments]
    settings = validated(compose_plain(words))
    check_live(settings)
    if not settings.placement:
        settings = settings.model_copy(update={"placement": str(_placed(settings))})
    # a placement that cannot be read is told before any host is touched
    given_placement(settings, ColocationSpace(tuple(settings.apps.names or ()), settings.cluster.slots or 1))
    with only_json(settings.output == "json") as answer:
        if settings.dry_run:
            rows = _planned(settings)
            if settings.output == "json":
                answer({"plan": rows})
            else:
                _show_plan(rows)
            return 0
        try:
            with progress_bar() as progress:
                outcome = run_stage(settings, "deploy", progress, _command(words))
        except StepError as error:
            say(f"metis: {error}")
            say(_command(words))
            return error.exit_code
        record = outcome.records["deploy"]
        table = _table(record.folder)
        if settings.output == "json":
            answer(_as_json(record.run_id, record.folder, table))
        else:
            _show(record.run_id, record.folder, table)
    return 0


def _placed(settings: Settings) -> Path:
    """A file of the placement of the group of `settings` by its scheduler, as `metis place` makes it."""
    from flows.command.verbs.place import place
    from flows.engine.keys import digest
    from flows.engine.materials import cache_folder
    from metis.files import save_arrays

    result, _, decision = place(settings)
    path = cache_folder(settings) / f"placement-{digest(result['placement'])}.npz"
    save_arrays(path, {"placement": decision.placement})
    say(f"  {result['scheduler']}: mean RPS {result['rps']:.4f} predicted, gap {result['gap']:.2%}")
    return path


def _command(words: Sequence[str]) -> str:
    """The command that goes on where a deployment stopped."""
    return shlex.join(["metis", "deploy", *words])


def _planned(settings: Settings) -> list[dict[str, Any]]:
    """What would change; hosts are made ready and images built, what runs is only looked at."""
    with progress_bar() as progress:
        inputs = made_ready(settings, progress)
    with connected(settings, inputs) as running:
        placement = given_placement(settings, running.space)
        return plan_rows(running.plan(whole_placement(placement, len(running.nodes))))


def _show_plan(rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        stdout.print("nothing would change: what is deployed is what the placement says")
        return
    table = Table(title="Would change", title_justify="left", title_style="bold")
    for heading in HEADINGS.values():
        table.add_column(heading)
    for row in rows:
        table.add_row(*(str(row[name]) for name in HEADINGS))
    stdout.print(table)


def _table(folder: Path) -> pd.DataFrame | None:
    path = folder / "containers.csv"
    return pd.read_csv(path) if path.is_file() else None


def _as_json(run_id: str, folder: Path, table: pd.DataFrame | None) -> dict[str, Any]:
    rows = [] if table is None else table.astype(object).where(table.notna(), None).to_dict("records")
    found = {} if table is None else summary(table)
    return {"run": run_id, "plan": read_json(folder / "plan.json"), "containers": rows, "summary": found}


def _show(run_id: str, folder: Path, table: pd.DataFrame | None) -> None:
    if table is not None:
        shown = Table(title="Deployed", title_justify="left", title_style="bold")
        for heading in ("node", "slot", "application", "co-location"):
            shown.add_column(heading)
        for heading in ("predicted", "measured", "off by", "requests/s", "p99", "failed"):
            shown.add_column(heading, justify="right")
        for row in table.to_dict("records"):
            shown.add_row(*_cells({str(name): value for name, value in row.items()}))
        stdout.print(shown)
        numbers = summary(table)
        if "measured_rps" in numbers and "predicted_rps" in numbers:
            stdout.print(
                f"mean RPS {numbers['predicted_rps']:.3f} predicted, {numbers['measured_rps']:.3f} measured; "
                f"a container is off by {numbers.get('error_mean', 0):.1%} in the mean"
            )
        stdout.print(f"figure: {folder / 'deployed.svg'}", markup=False, soft_wrap=True)
    stdout.print(f"MLflow run: {run_id}", markup=False)


def _cells(row: dict[str, Any]) -> list[str]:
    def shown(name: str, form: str) -> str:
        return form.format(row[name]) if pd.notna(row[name]) else "unknown"

    failed = shown("failures", "{:.0f}") if pd.notna(row["failures"]) else str(row["reason"])
    numbers = [shown("predicted", "{:.3f}"), shown("measured", "{:.3f}"), shown("error", "{:+.1%}")]
    numbers += [shown("rps", "{:.1f}"), shown("p99", "{:.3f} s"), failed]
    return [str(row["node"]), str(row["slot"]), str(row["app"]), str(row["colocation"]), *numbers]
