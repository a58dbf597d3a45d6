"""A simulated week as a table: what each policy reached, and with how many moves."""

from collections.abc import Mapping
from typing import Any

from flows.command.result import Column, Line, Table, View
from metis.wording import amount

HEADINGS = ("of the bound", "worst hour", "moves", "loops", "at the SLO", "CPU s")


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
        f"{min(nodes)} to {amount(max(nodes), 'node')}, objective {document['objective']}"
    )
    headings = [*HEADINGS, *(["container-hours without a place"] if waits else [])]
    columns: list[Column | str] = ["policy", *(Column(name, right=True) for name in headings)]
    figure = [Line(f"figure: {document['figure']}")] if document["figure"] else []
    return [Table(title, columns, rows), *figure]
