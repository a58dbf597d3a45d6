"""The one presenter: a verb's result as tables for a person, or as one JSON document."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.command.result import Column, Facts, Line, Result, Table, View

if TYPE_CHECKING:
    import rich.table
    from rich.console import Console

PIPE_WIDTH = 120  # a pipe has no width of its own: wider only where a table needs it
UNLIMITED = 10_000  # letters
SHORT = 30  # letters of a cell that is not broken into lines


@contextmanager
def only_json(wanted: bool) -> Iterator[None]:
    """Send everything that is printed within the block to standard error, where `wanted`.

    The descriptor itself is redirected, because solvers print from C.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def present(result: Result, *, as_json: bool) -> None:
    """Print a result on standard output."""
    if as_json:
        if result.document is not None:
            sys.stdout.write(json.dumps(result.document, allow_nan=False) + "\n")
    elif result.views:
        console = _console()
        for view in result.views:
            _show(console, view)
    sys.stdout.flush()


def _console() -> "Console":
    from rich.console import Console

    class Quiet(Console):
        def on_broken_pipe(self) -> None:
            """Leave it to the command: rich would end the process with an error."""
            raise BrokenPipeError

    return Quiet(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def _show(console: "Console", view: View) -> None:
    match view:
        case Table():
            _show_table(console, _table(view))
        case Facts():
            console.print(_facts(view))
        case Line():
            console.print(view.text, style=view.style or None, markup=False, soft_wrap=True)


def _show_table(console: "Console", table: "rich.table.Table") -> None:
    """Print a table without cutting a word: a pipe takes any width, a narrow terminal breaks words last."""
    if (needed := _least_width(console, table)) > console.width:
        if not console.is_terminal:
            console.width = needed
        else:
            table.box, table.pad_edge = None, False
            if _least_width(console, table) + len(table.columns) > console.width:  # rich leaves out the gaps
                for column in table.columns:
                    column.min_width, column.no_wrap = None, False
    console.print(table)


def _least_width(console: "Console", table: "rich.table.Table") -> int:
    from rich.measure import Measurement

    return Measurement.get(console, console.options.update(max_width=UNLIMITED), table).minimum


def _table(view: Table) -> "rich.table.Table":
    import rich.table
    from rich.cells import cell_len
    from rich.text import Text

    table = rich.table.Table(title=view.title, title_justify="left", title_style="bold", header_style="bold")
    columns = [column if isinstance(column, Column) else Column(column) for column in view.columns]
    for c, column in enumerate(columns):
        justify: Any = "right" if column.right else "left"
        texts = (column.heading, *(row[c] for row in view.rows))
        longest = max((cell_len(line) for text in texts for line in text.splitlines()), default=1)
        whole = longest <= SHORT or not column.wrap
        table.add_column(
            column.heading,
            justify=justify,
            no_wrap=whole,
            overflow="fold",
            min_width=longest if whole else SHORT,
        )
    for i, row in enumerate(view.rows):
        styles = [
            view.cell_styles.get(c.heading, {}).get(cell, "") for c, cell in zip(columns, row, strict=True)
        ]
        cells = [Text(cell, style=style) for cell, style in zip(row, styles, strict=True)]
        table.add_row(*cells, style=view.styles.get(i))
    return table


def _facts(view: Facts) -> "rich.table.Table":
    import rich.table

    table = rich.table.Table(title=view.title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in view.values.items():
        table.add_row(name, str(value))
    return table
