"""A simulated week as a table: what each policy reached, and with how many moves."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows.command.result import Column, Line, Table, View
from flows.engine.runs import ABOUT
from flows.engine.work import TIMINGS, read_json
from flows.stages.week import RESULT

HEADINGS = ("of the bound", "worst hour", "moves", "loops", "at the SLO", "CPU s")


def read_week(folder: Path) -> dict[str, Any]:
    """Return the output of stage week, with the CPU seconds of each policy and where the figure is."""
    document: dict[str, Any] = read_json(folder / RESULT)
    with (folder / TIMINGS).open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            document["policies"][row["policy"]]["cpu_seconds"] = float(row["cpu_seconds"])
    return document | {"figure": str(folder.parent / ABOUT / "week.svg")}


def week_views(document: Mapping[str, Any]) -> list[View]:
    """Return the table, and where the figure is."""
    policies = document["policies"]
    waits = any(one["waiting"] for one in policies.values())
    rows = [
        [
            name,
            f"{one['share']:.2%}",
            f"{one['share_worst']:.2%}",
            str(one["moves"]),
            str(one["loops"]),
            f"{one['above_slo']:.1%}",
            f"{one['cpu_seconds']:.1f}",
            *([str(one["waiting"])] if waits else []),
        ]
        for name, one in policies.items()
    ]
    containers, nodes = document["containers"], document["nodes"]
    title = (
        f"{document['hours']} hours, {min(containers)} to {max(containers)} containers on "
        f"{min(nodes)} to {max(nodes)} nodes, objective {document['objective']}"
    )
    headings = [*HEADINGS, *(["container-hours without a place"] if waits else [])]
    columns: list[Column | str] = ["policy", *(Column(name, right=True) for name in headings)]
    return [Table(title, columns, rows), Line(f"figure: {document['figure']}")]
