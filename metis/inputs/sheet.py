"""Tables as people and spreadsheets write them: read exactly, or refused with column and line.

One reader for groups, placements, constraints and measurements. Byte order marks, CRLF, semicolons or
tabs, decimal commas, blanks around values, empty rows and columns at the end are read; whatever could be
meant in two ways is refused.
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.inputs.documents import read_text
from metis.inputs.names import meant, twice_in

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".txt")
DELIMITERS = ",;\t"
MAX_CELLS = 10_000_000
MAX_COLUMNS = 10_000
MAX_COUNT = 1e9  # a million nodes of 256 slots hold fewer; sums of such counts fit their type
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WITH_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
BLANKS = ("", "nan", "na", "n/a")


def is_sheet(path: Path) -> bool:
    """Whether a file is read as a table, by its ending in capitals or not."""
    return path.suffix.lower() in SUFFIXES


@dataclass(frozen=True)
class Sheet:
    """A header and rows of texts.

    Attributes:
        name: of the file, as errors call it.
        header: names of the columns, each once.
        rows: cells without blanks around them, one per column.
        lines: where each row stands.
        unit: what `lines` count: `line` of a file, `row` of a data frame.
        comma: whether decimal commas are written.
    """

    name: str
    header: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    unit: str = "line"
    comma: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int, column: str) -> str:
        """Where a cell stands, for errors."""
        return f"{self.name}, {self.unit} {self.lines[row]}, column {column}"

    def texts(self, column: str) -> list[str]:
        """The cells of a column."""
        at = self.header.index(column)
        return [row[at] for row in self.rows]

    def expect(self, required: Iterable[str], allowed: Iterable[str] = (), what: str = "column") -> None:
        """Refuse a header that lacks a column or has one that is not known; names are matched exactly.

        Args:
            required: columns that must be there.
            allowed: those that may.
            what: a column is, such as `application`.

        Raises:
            InputError: names file and column, and the nearest that is known.
        """
        needed = list(required)
        known = dict.fromkeys([*needed, *allowed])
        for column in self.header:
            if column not in known:
                raise InputError(f"{self.name}: the column {column!a} is no {what}; {meant(column, known)}")
        for column in needed:
            if column not in self.header:
                raise InputError(f"{self.name}: the header lacks the {what} {column!r}")

    def numbers(self, columns: Sequence[str]) -> NDArray[np.float64]:
        """The numbers of columns, float64 [rows, columns]; NaN where a cell is blank.

        Raises:
            InputError: a cell is no number; names file, line and column.
        """
        found = np.full((len(self), len(columns)), np.nan)
        for j, column in enumerate(columns):
            for i, cell in enumerate(self.texts(column)):
                if cell.lower() not in BLANKS:
                    found[i, j] = self._number(cell, i, column)
        return found

    def counts(self, columns: Sequence[str]) -> NDArray[np.int64]:
        """The counts in columns, int64 [rows, columns]; 0 where a cell is blank.

        Raises:
            InputError: a cell is no count; names file, line and column.
        """
        numbers = np.nan_to_num(self.numbers(columns))
        wrong = np.argwhere((numbers < 0) | (numbers != np.floor(numbers)) | (numbers > MAX_COUNT))
        if len(wrong):
            i, j = wrong[0].tolist()
            raise InputError(
                f"{self.place(i, columns[j])}: {numbers[i, j]:g} is not a count; give whole numbers, "
                f"0 to {MAX_COUNT:g}"
            )
        return numbers.astype(np.int64)

    def order(self, column: str) -> NDArray[np.int64]:
        """The order in which a column numbers the rows, from 0 or 1 without a gap, int [rows].

        Raises:
            InputError: a number is missing or stands twice; names file and column.
        """
        given = self.counts([column])[:, 0]
        order = np.argsort(given, kind="stable")
        first = int(given.min(initial=1))
        wrong = np.flatnonzero(given[order] != np.arange(len(given)) + first)
        if wrong.size or first > 1:
            row = int(order[wrong[0]]) if wrong.size else int(order[0])
            raise InputError(
                f"{self.place(row, column)}: {given[row]}: number the rows from 0 or 1, each number once"
            )
        return order

    def take(self, rows: Iterable[int]) -> "Sheet":
        """The sheet of some rows, in that order."""
        chosen = list(rows)
        kept = [self.rows[i] for i in chosen]
        return Sheet(self.name, self.header, kept, [self.lines[i] for i in chosen], self.unit, self.comma)

    def _number(self, cell: str, row: int, column: str) -> float:
        text = cell.replace(",", ".") if self.comma and WITH_COMMA.fullmatch(cell) else cell
        if not NUMBER.fullmatch(text) or (self.comma and "." in cell):
            shown = ascii(cell if len(cell) <= 40 else f"{cell[:40]}...")
            hint = "; it has a point where others have a decimal comma" if self.comma and "." in cell else ""
            raise InputError(f"{self.place(row, column)}: {shown} is not a number{hint}")
        return float(text)


def read_sheet(path: Path, *, ordered: bool = False) -> Sheet:
    """Read a table of text; lines that begin with `#` are comments.

    Args:
        path: of the file.
        ordered: whether the position of a row means something: then none may be empty but the last.

    Raises:
        InputError: unreadable, too large, a header that is none, or a row of another length; names file and
            line.
    """
    texts, lines = _without_comments(read_text(path))
    delimiter, skipped = _delimiter(texts)
    reader = csv.reader(texts[skipped:], delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    numbers: list[int] = []
    cells = 0
    try:
        for row in reader:
            rows.append([cell.strip() for cell in row])
            numbers.append(lines[skipped + reader.line_num - 1])
            cells += len(row)
            if cells > MAX_CELLS:
                raise InputError(f"{path}: has more than {MAX_CELLS:,} values: at most that many are read")
    except csv.Error as error:
        raise InputError(f"{path}, line {lines[skipped + reader.line_num - 1]}: {error}") from None
    return _sheet(path, rows, numbers, delimiter, ordered)


def sheet_of(frame: "pd.DataFrame") -> Sheet:
    """A data frame as a sheet: named index levels become columns, an index without a name is left out.

    Raises:
        InputError: column names that are no texts, or one that stands twice.
    """
    named = frame.reset_index() if any(name is not None for name in frame.index.names) else frame
    header = [str(name) for name in named.columns]
    if named.columns.nlevels > 1 or not all(isinstance(name, str) for name in named.columns):
        raise InputError(f"data frame: its columns {header[:5]} are no plain names")
    _refuse_twice("data frame", header)
    columns = [[_cell(value) for value in named[name].tolist()] for name in header]
    rows = list(zip(*columns, strict=True))
    return Sheet("data frame", tuple(header), rows, range(len(rows)), unit="row")


def _cell(value: Any) -> str:
    if value is None or value != value or str(value) == "<NA>":  # NaN differs from itself
        return ""
    return repr(value) if isinstance(value, float) else str(value).strip()


def _without_comments(text: str) -> tuple[list[str], list[int]]:
    """The lines that are no comments, and their numbers."""
    kept = [(i, line) for i, line in enumerate(io.StringIO(text, newline=None), 1) if line[:1] != "#"]
    return [line for _, line in kept], [i for i, _ in kept]


def _delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """What separates values, and how many lines come before the header: Excel may write `sep=;` first."""
    first = next((i for i, line in enumerate(lines) if line.strip()), 0)
    if lines and re.fullmatch(f"sep=[{DELIMITERS}]\\s*", lines[first], re.IGNORECASE):
        return lines[first][4], first + 1
    header = re.sub(r'"[^"]*"', "", lines[first]) if lines else ""
    return max(DELIMITERS, key=header.count), first


def _sheet(path: Path, rows: list[list[str]], lines: list[int], delimiter: str, ordered: bool) -> Sheet:
    if not rows or not any(rows[0]):
        raise InputError(f"{path}: is empty; the first line must name the columns")
    header = rows[0][: max(_width(row) for row in rows)]  # without empty columns at the end
    if len(header) > MAX_COLUMNS:
        raise InputError(f"{path}: has {len(header):,} columns: at most {MAX_COLUMNS:,} are read")
    if "" in header:
        raise InputError(
            f"{path}: column {header.index('') + 1} has no name; name it, or write the table without its "
            "index (`index=False` of pandas)"
        )
    _refuse_twice(str(path), header)
    last = max((i for i, row in enumerate(rows) if any(row)), default=0)
    kept: list[list[str]] = []
    numbers: list[int] = []
    for row, line in zip(rows[1 : last + 1], lines[1 : last + 1], strict=True):
        if not any(row):
            if ordered:
                raise InputError(f"{path}, line {line}: is empty between others; remove it")
            continue
        if len(row) < len(header) or any(row[len(header) :]):
            raise InputError(f"{path}, line {line}: has {len(row)} values, the header {len(header)} names")
        kept.append(row[: len(header)])
        numbers.append(line)
    sheet = Sheet(str(path), tuple(header), kept, numbers)
    return sheet if delimiter == "," else _with_decimals(sheet)


def _with_decimals(sheet: Sheet) -> Sheet:
    """The sheet, its numbers with decimal commas if any of them has one."""
    comma = any(WITH_COMMA.fullmatch(cell) for row in sheet.rows for cell in row)
    return Sheet(sheet.name, sheet.header, sheet.rows, sheet.lines, sheet.unit, comma)


def _refuse_twice(name: str, header: Sequence[str]) -> None:
    twice = twice_in(header)
    if twice is not None:
        raise InputError(f"{name}: the column {twice!a} stands twice; give each name once")


def _width(row: Sequence[str]) -> int:
    return max((i + 1 for i, cell in enumerate(row) if cell), default=0)
