"""The report section on nodes that differ: resources by type, fault domains, soft rules, worth of more."""

from collections.abc import Sequence
from html import escape

from flows.report import ReportSection
from flows.report.elements import html_table


def nodes_section(
    name: str,
    heads: Sequence[str],
    uses: Sequence[Sequence[str]],
    lines: Sequence[str],
    gains: Sequence[Sequence[str]],
) -> ReportSection:
    """Show what a placement uses of nodes that differ.

    Args:
        name: of the scheduler that placed.
        heads: headings of `uses`.
        uses: a row per node type.
        lines: on fault domains and broken soft rules.
        gains: rows of what more would be worth; none where that is not known.
    """
    text = f"<p>Group 0 as {escape(name)} placed it: used, of all that the nodes of a type have.</p>"
    text += html_table(heads, uses)
    text += "".join(f"<p>{escape(line)}</p>" for line in lines)
    if gains:
        text += "<p>What more would be worth, in the value of the placement, by the bound of columns:</p>"
        text += html_table(("what", "worth"), gains)
    return ReportSection("Nodes by type", text)
