"""Elements that sections of the page and figures are made of: a table as HTML, a figure as SVG."""

import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# of the lines and marks of a figure
COLOURS = ("#2f6db2", "#b2432f", "#3d8a4d", "#8a5fb0", "#b28a2f", "#4aa3a3", "#777777")


def html_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, named: bool = False) -> str:
    """Return a table that scrolls where the page is narrower; all text is escaped.

    Args:
        headings: of the columns.
        rows: cells as they are shown.
        named: whether the first cell of a row names it.
    """
    head = "".join(f"<th>{escape(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{_cells(row, named=named)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(row: Sequence[str], *, named: bool) -> str:
    cells = [f"<td>{escape(cell)}</td>" for cell in row]
    if named:
        cells[0] = f"<th scope='row'>{escape(row[0])}</th>"
    return "".join(cells)


def svg_of(figure: "Figure") -> bytes:
    """Return a figure as SVG; without its date, so that the same figure is the same bytes."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()
