"""Quantities of resources as Kubernetes writes them: `2`, `500m`, `64Gi`; and curves over time: `1|2|3`."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.inputs.sheet import Sheet

UNITS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip
QUANTITY = re.compile(r"(\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?", re.ASCII)
BETWEEN = "|"


def read_quantities(sheet: Sheet, column: str) -> NDArray[np.float64]:
    """Return the quantities of a column, float64 [rows, times]; one value of several times holds at each.

    Args:
        sheet: the table.
        column: with a quantity, or quantities of several times between `|`, in each row.

    Raises:
        InputError: a cell is blank, negative or no quantity, or has another number of times than others;
            names file, line and column.
    """
    cells = [cell.split(BETWEEN) for cell in sheet.texts(column)]
    times = max(map(len, cells), default=1)
    found = np.empty((len(cells), times))
    for row, parts in enumerate(cells):
        if len(parts) not in (1, times):
            raise InputError(
                f"{sheet.place(row, column)}: has {len(parts)} values, others {times}; give one or {times}"
            )
        found[row] = _values(parts, sheet, row, column)
    return found


def _values(parts: Sequence[str], sheet: Sheet, row: int, column: str) -> list[float]:
    texts = [part.replace(",", ".") if sheet.comma else part for part in parts]
    return [quantity_of(text, sheet.place(row, column)) for text in texts]


def quantity_of(given: str | float, place: str) -> float:
    """Return a quantity as it may be written: a number, or a text such as `500m` or `64Gi`.

    Args:
        given: what is written.
        place: where it stands, for the error.

    Raises:
        InputError: it is negative or no quantity.
    """
    text = str(given)
    match = QUANTITY.fullmatch(text.strip())
    if match is None:
        shown = ascii(text if len(text) <= 40 else f"{text[:40]}...")
        raise InputError(f"{place}: {shown} is no quantity; give 0 or more, such as 2, 500m or 64Gi")
    return float(match[1]) * UNITS[match[2] or ""]
