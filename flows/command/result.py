"""What a verb returns: a document for `output=json`, and views for a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metis.errors import MetisError


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and how it is set."""

    heading: str
    right: bool = False
    wrap: bool = True


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes:
        title: of the table.
        columns: its columns; a plain text is the heading of a left one.
        rows: cells as texts.
        styles: of single rows, by index: `bold`, `red`, `dim`.
        cell_styles: of the cells of a column, by column and text.
    """

    title: str
    columns: Sequence[Column | str]
    rows: Sequence[Sequence[str]]
    styles: Mapping[int, str] = field(default_factory=dict)
    cell_styles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """Names and values, two columns."""

    title: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One line of text; a path in it is never broken."""

    text: str
    style: str = ""


View = Table | Facts | Line


@dataclass(frozen=True)
class Result:
    """What a verb returns.

    Attributes:
        document: JSON-able values for `output=json`; None for verbs that print no document.
        views: for a person, in order.
        exit_code: that the command ends with.
        error: what failed although there is a result to show: reported after it, with its own exit code.
    """

    document: Any = None
    views: Sequence[View] = ()
    exit_code: int = 0
    error: MetisError | None = None
