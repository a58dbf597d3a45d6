"""Check what this machine has and lacks, and name the command that mends it.

metis doctor
metis doctor cluster=lab
metis doctor output=json

Ends with 1 where something is missing that nothing works without.
"""

from collections.abc import Sequence

from rich.table import Table

from flows.command.machine import Finding, examine
from flows.command.output import only_json
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine.console import stdout

COLOURS = {"ok": "green", "note": "yellow", "missing": "red"}


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        findings = examine(settings)
        if settings.output == "json":
            answer({"checks": [vars(one) for one in findings]})
        else:
            _show(findings)
    return int(any(one.state == "missing" for one in findings))


def _show(findings: Sequence[Finding]) -> None:
    table = Table(title="This machine", title_justify="left", title_style="bold")
    for heading in ("what", "state", "found", "mend it"):
        table.add_column(heading, overflow="fold")
    for one in findings:
        colour = COLOURS[one.state]
        cells = [cell.replace("[", "\\[") for cell in (one.found, one.cure)]
        table.add_row(one.what, f"[{colour}]{one.state}[/]", *cells)
    stdout.print(table)
