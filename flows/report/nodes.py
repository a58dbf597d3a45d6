"""The report section on nodes that differ: resources by type, fault domains, soft rules, worth of more."""

from collections.abc import Sequence
from html import escape

from flows.report import ReportSection


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
    text += _table(heads, uses)
    text += "".join(f"<p>{escape(line)}</p>" for line in lines)
    if gains:
        text += "<p>What more would be worth, in the value of the placement, by the bound of columns:</p>"
        text += _table(("what", "worth"), gains)
    return ReportSection("Nodes by type", text)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(heading)}</th>" for heading in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
