"""Measure what is deployed, tell what drifted, and propose a better placement; nothing is ever moved.

metis watch cluster=lab                                       one look, by load as when profiling
metis watch cluster=lab watch.source=metrics                  by the services' own counters: no load added
metis watch cluster=lab watch.interval=3600 watch.looks=24    a day of it; looks=null until interrupted
metis watch cluster=hosts cluster.inventory=hosts.yaml profile=file profile.path=mine.npz

It needs a profile that was measured on a live cluster: that of the chain, or a file.
"""

import shlex
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.chain import StepError
from flows.engine.console import progress_bar, say, stdout
from flows.engine.work import read_json
from flows.live.session import check_live, run_stage


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    check_live(settings)
    command = shlex.join(["metis", "watch", *arguments])
    with only_json(settings.output == "json") as answer:
        try:
            with progress_bar() as progress:
                outcome = run_stage(settings, "watch", progress, command)
        except StepError as error:
            say(f"metis: {error}")
            say(command)
            return error.exit_code
        record = outcome.records["watch"]
        found = read_json(record.folder / "watch.json")
        if settings.output == "json":
            answer({"run": record.run_id, **found})
        else:
            _show(record.run_id, found)
    return 0


def _show(run_id: str, found: dict[str, Any]) -> None:
    last = found["looks"][-1]
    drifted = [(row["look"], one) for row in found["looks"] for one in row.get("drifted", ())]
    if drifted:
        table = Table(title="Drifted", title_justify="left", title_style="bold")
        for heading in ("look", "co-location", "application"):
            table.add_column(heading)
        for heading in ("measured", "expected", "interval"):
            table.add_column(heading, justify="right")
        for number, one in drifted:
            interval = f"{one['low']:.3f} to {one['high']:.3f}"
            numbers = (f"{one['measured']:.3f}", f"{one['expected']:.3f}", interval)
            table.add_row(str(number), one["colocation"], one["app"], *numbers)
        stdout.print(table)
    for app, unit in last.get("units", {}).items():
        stdout.print(
            f"alone, {app} reaches {unit:.2f} of what it did when it was profiled: its machine or itself "
            "changed, and `metis run rerun=[profile]` would be wise",
            markup=False,
        )
    for node, why in last.get("silent", {}).items():
        stdout.print(f"not measured: {node}: {why}", markup=False)
    if found["proposed"]:
        sure = f"{last['gain_low']:+.1%} if the {last['unmeasured']} nodes nobody measured disappoint"
        stdout.print(f"proposed: {last['gain']:+.1%} of what runs now ({sure}); {last['moves']} to start")
        stdout.print(found["command"], markup=False, soft_wrap=True)
    elif "error" not in last:
        stdout.print("nothing better to propose")
    stdout.print(f"MLflow run: {run_id}", markup=False)
