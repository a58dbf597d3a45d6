"""Compare recorded runs: a row per run, of parameters, metrics and tags.

metis runs                                                    schedulers as evaluated, the newest first
metis runs runs.filter='scheduler=metis, true_ratio>0.99' runs.sort=-true_ratio
metis runs runs.columns=[scheduler,seed,true_rps,metis.commit] out=runs.csv
metis runs runs.stage=explore runs.columns=[when,measurements,cpu_seconds]
metis runs output=json                                        all rows, for another program
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from flows.command.request import Request, Verb
from flows.command.result import Column, Line, Result, Table, View
from flows.engine.rows import Row, Value, columns_of, number, recorded_rows
from metis.errors import InputError
from metis.files import written_whole

CHOSEN = {  # columns where none are named
    "scheduler": (
        "when",
        "scheduler",
        "nodes",
        "containers",
        "seed",
        "ratio",
        "true_ratio",
        "rps",
        "seconds",
        "run",
    ),
    "": ("when", "metis.stage", "name", "status", "duration", "cpu_seconds", "run"),
}
CONDITION = re.compile(r"\s*([^=!<>~]+?)\s*(<=|>=|!=|=|<|>|~)\s*(.*?)\s*")
ORDERS: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
SHARES = re.compile(r"(true_)?(ratio|slo|gap)(_.*)?")  # shown in per cent


def run(request: Request) -> Result:
    """See the module's text."""
    asked = request.settings.runs
    found = recorded_rows(request.settings.tracking, asked.stage)
    known = columns_of(found)
    rows = [row for row in found if all(holds(row) for holds in conditions(asked.filter or "", known))]
    if asked.sort:
        rows = in_order(rows, asked.sort, known)
    default = CHOSEN.get(asked.stage or "", CHOSEN[""])
    columns = asked.columns or [name for name in default if any(name in row for row in rows)]
    for name in asked.columns or ():
        _check(name, known, "runs.columns")
    kept = [{name: row.get(name) for name in columns} for row in rows]
    shown: View = (
        _table(kept, columns, asked.most, len(found)) if kept else Line(_none(len(found), asked.stage))
    )
    views: list[View] = [shown]
    if asked.most is not None and len(kept) > asked.most:
        views.append(
            Line(
                f"{len(kept) - asked.most:,} more: runs.most=null shows them, out=runs.csv writes them", "dim"
            )
        )
    if request.settings.out:
        _write(Path(request.settings.out), kept, columns)
        views.append(Line(f"written: {request.settings.out}"))
    return Result({"columns": list(columns), "runs": kept}, views)


def conditions(text: str, known: Sequence[str]) -> list[Callable[[Row], bool]]:
    """Return what `runs.filter` asks of a row, one function per condition.

    Args:
        text: conditions, with commas between them.
        known: the columns that there are.

    Raises:
        InputError: a condition is not understood, or names no column.
    """
    return [_condition(one, known) for one in text.split(",") if one.strip()]


def _condition(text: str, known: Sequence[str]) -> Callable[[Row], bool]:
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise InputError(f"runs.filter: {text.strip()!r} is no condition; write one such as true_ratio>0.99")
    name, sign, wanted = parts.groups()
    _check(name, known, "runs.filter")
    if sign == "~":
        return lambda row: wanted.lower() in str(row.get(name, "")).lower()
    limit = number(wanted)
    if sign in ORDERS:
        if limit is None:
            raise InputError(f"runs.filter: {text.strip()!r} compares with {wanted!r}; give a number")
        return lambda row: _ordered(row.get(name), sign, limit)
    meant: Value = wanted if limit is None else limit
    return lambda row: (row.get(name) == meant) == (sign == "=")


def _ordered(value: Value, sign: str, limit: float) -> bool:
    return isinstance(value, int | float) and ORDERS[sign](value, limit)


def in_order(rows: Sequence[Row], sort: str, known: Sequence[str]) -> list[Row]:
    """Return rows sorted by a column: numbers before texts, what is absent last, whichever way.

    Raises:
        InputError: there is no such column.
    """
    name, down = sort.removeprefix("-"), sort.startswith("-")
    _check(name, known, "runs.sort")
    numbers = [row for row in rows if isinstance(row.get(name), int | float)]
    texts = [row for row in rows if isinstance(row.get(name), str)]
    rest = [row for row in rows if row.get(name) is None]
    by_number = sorted(numbers, key=lambda row: float(row[name] or 0), reverse=down)
    return by_number + sorted(texts, key=lambda row: str(row[name]), reverse=down) + rest


def _check(name: str, known: Sequence[str], key: str) -> None:
    if known and name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known)[:30])}"
        raise InputError(f"{key}: no run has {name!r}{hint}")


def _none(of: int, stage: str | None) -> str:
    if of:
        return f"0 of {of:,} runs: runs.filter holds for none"
    return f"no runs of {stage or 'any stage'} yet: `metis run` records them"


def _table(rows: Sequence[Row], columns: Sequence[str], most: int | None, of: int) -> Table:
    title = f"{len(rows):,} runs" if len(rows) == of else f"{len(rows):,} of {of:,} runs"
    numeric = {name for name in columns if any(isinstance(row[name], int | float) for row in rows)}
    headings = [
        Column(name, right=name in numeric, wrap=name not in numeric and name != "when") for name in columns
    ]
    return Table(title, headings, [[_cell(name, row[name]) for name in columns] for row in rows[:most]])


def _cell(name: str, value: Value) -> str:
    if value is None:
        return "\N{EN DASH}"
    if name == "run":
        return str(value)[:8]
    if name == "when":
        return str(value)[:16].replace("T", " ")
    if isinstance(value, float):
        return (
            f"{value:.2%}"
            if SHARES.fullmatch(name)
            else f"{value:.4g}"
            if abs(value) >= 10
            else f"{value:.4f}"
        )
    return str(value)


def _write(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    with written_whole(path) as file:
        file.write(text.getvalue().encode())


VERB = Verb(run, settings=("runs", "out"))
