"""Folders that state a problem: nodes.csv, apps.csv, and rules.yaml and existing.csv where there are any."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import LONGEST_HOST, check_names, meant, twice_in
from metis.inputs.quantities import BETWEEN, read_quantities
from metis.inputs.sheet import Sheet, read_sheet
from metis.problem.counts import FloatArray, IntArray
from metis.problem.statement import Statement
from metis.settings import NONE_IS_EMPTY, read_file, settings

NODES, APPS, RULES, EXISTING = "nodes.csv", "apps.csv", "rules.yaml", "existing.csv"
NODE, TYPE, APP, OTHER, COUNT, MOST = "node", "type", "app", "other", "count", "most"
MAX_NODES = 1_000_000
SHOWN = 20  # names in an error
Most = tuple[str, str, Annotated[int, Ge(0)]]


@settings("rules")
class StatedRules:
    """The hard rules of a problem folder.

    Attributes:
        most_beside: rows of [application, other, most]: where the application is, at most so many of
            the other may be; or the name of a CSV file with these columns in the same folder.
        never_together: pairs of applications that may not share a node.
        at_most: containers of an application that one node may hold.
    """

    most_beside: tuple[Most, ...] | str = ()
    never_together: tuple[tuple[str, str], ...] = ()
    at_most: Annotated[Mapping[str, Annotated[int, Ge(0)]], NONE_IS_EMPTY] = field(default_factory=dict)


def read_problem(folder: Path) -> Statement:
    """Read the problem that a folder states.

    `nodes.csv` has a row for each node (`node`), or for several alike (`type`, `count`), and a column for
    each resource; `apps.csv` a row for each application (`app`, `count`) and the same resources. A value
    may be a curve over time, `1|2|3`. `existing.csv` has rows of `node`, `app` and `count`.

    Raises:
        InputError: a file is missing or not as described; names file, line and column.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give one with {NODES} and {APPS}")
    apps, nodes = read_sheet(folder / APPS), read_sheet(folder / NODES)
    resources = [name for name in apps.header if name not in (APP, COUNT)]
    if not resources:
        raise InputError(f"{apps.name}: names no resource; give a column for each, such as cpu")
    apps.expect([APP, COUNT, *resources])
    nodes.expect(resources, [NODE, TYPE, COUNT], "resource of apps.csv")
    names = _names(apps, APP, LONGEST_HOST)
    requests, capacity, dimensions = _both(apps, nodes, resources)
    node_names, repeats = _node_names(nodes)
    existing = _existing(folder / EXISTING, node_names, names)
    demand = apps.counts([COUNT])[:, 0]
    np.add.at(demand, existing[:, 1], existing[:, 2])
    return Statement(
        apps=tuple(names),
        demand=demand,
        requests=requests,
        nodes=tuple(node_names),
        capacity=np.repeat(capacity, repeats, axis=0),
        dimensions=dimensions,
        beside=_rules(folder, names),
        existing=existing,
    )


def write_problem(folder: Path, statement: Statement) -> None:
    """Write a problem as a folder that `read_problem` reads; what exists under these names is replaced.

    Raises:
        SurroundingsError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    running = np.bincount(
        statement.existing[:, 1], weights=statement.existing[:, 2], minlength=len(statement.apps)
    ).astype(np.int64)
    resources = list(dict.fromkeys(statement.dimensions))
    of = [np.flatnonzero(np.array(statement.dimensions) == name) for name in resources]
    apps = [
        [app, str(count), *(_curve(row[times]) for times in of)]
        for app, count, row in zip(
            statement.apps, statement.demand - running, statement.requests, strict=True
        )
    ]
    nodes = [
        [node, *(_curve(row[times]) for times in of)]
        for node, row in zip(statement.nodes, statement.capacity, strict=True)
    ]
    _write_sheet(folder / APPS, [APP, COUNT, *resources], apps)
    _write_sheet(folder / NODES, [NODE, *resources], nodes)
    if len(statement.beside):
        rows = [[statement.apps[a], statement.apps[b], str(most)] for a, b, most in statement.beside]
        _write_sheet(folder / "rules.csv", [APP, OTHER, MOST], rows)
        with written_whole(folder / RULES) as file:
            file.write(
                b"# where an application is, at most so many containers of another\nmost_beside: rules.csv\n"
            )
    if len(statement.existing):
        write_rows(folder / EXISTING, statement, statement.existing)


def write_rows(path: Path, statement: Statement, rows: IntArray) -> None:
    """Write the rows of a placement as CSV: `node`, `app`, `count`."""
    texts = [[statement.nodes[n], statement.apps[a], str(count)] for n, a, count in rows]
    _write_sheet(path, [NODE, APP, COUNT], texts)


def _both(
    apps: Sheet, nodes: Sheet, resources: Sequence[str]
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Return requests, capacities, and the resource of each dimension; both have the times of either."""
    requests, capacity, dimensions = [], [], []
    for name in resources:
        asked, there = read_quantities(apps, name), read_quantities(nodes, name)
        times = max(asked.shape[1], there.shape[1])
        for table, values in ((apps, asked), (nodes, there)):
            if values.shape[1] not in (1, times):
                raise InputError(
                    f"{table.name}: {name} has {values.shape[1]} times, {times} in the other file"
                )
        requests.append(np.broadcast_to(asked, (len(asked), times)))
        capacity.append(np.broadcast_to(there, (len(there), times)))
        dimensions += [name] * times
    return np.concatenate(requests, axis=1), np.concatenate(capacity, axis=1), tuple(dimensions)


def _names(sheet: Sheet, column: str, longest: int) -> list[str]:
    names = sheet.texts(column)
    check_names(names, f"{sheet.name}: {column}", longest)
    twice = twice_in(names)
    if twice is not None:
        raise InputError(f"{sheet.name}: the {column} {twice!r} stands twice; give each name once")
    if not names:
        raise InputError(f"{sheet.name}: has no row")
    return names


def _node_names(sheet: Sheet) -> tuple[list[str], IntArray]:
    """Return the names of the nodes, and how many each row stands for, int [rows]."""
    if NODE in sheet.header:
        if COUNT in sheet.header:
            raise InputError(
                f"{sheet.name}: give {NODE} for single nodes, or {TYPE} and {COUNT} for alike ones"
            )
        return _names(sheet, NODE, LONGEST_HOST), np.ones(len(sheet), dtype=np.int64)
    sheet.expect([TYPE, COUNT], sheet.header)
    types, counts = _names(sheet, TYPE, LONGEST_HOST), sheet.counts([COUNT])[:, 0]
    if not 1 <= counts.sum() <= MAX_NODES:
        raise InputError(f"{sheet.name}: has {counts.sum():,} nodes; give 1 to {MAX_NODES:,}")
    return [f"{kind}-{i + 1}" for kind, n in zip(types, counts, strict=True) for i in range(n)], counts


def _rules(folder: Path, apps: Sequence[str]) -> IntArray:
    path = folder / RULES
    if not path.exists():
        return np.zeros((0, 3), dtype=np.int64)
    stated = read_file(StatedRules, path)
    rows: list[tuple[str, str, int]] = [(a, a, most) for a, most in stated.at_most.items()]
    rows += [pair for a, b in stated.never_together for pair in _apart(a, b)]
    if isinstance(stated.most_beside, str):
        sheet = read_sheet(folder / stated.most_beside)
        sheet.expect([APP, OTHER, MOST])
        most = sheet.counts([MOST])[:, 0].tolist()
        rows += zip(sheet.texts(APP), sheet.texts(OTHER), most, strict=True)
    else:
        rows += stated.most_beside
    return _numbered(str(path), rows, (apps, apps))


def _apart(a: str, b: str) -> list[tuple[str, str, int]]:
    return [(a, a, 1)] if a == b else [(a, b, 0), (b, a, 0)]


def _existing(path: Path, nodes: Sequence[str], apps: Sequence[str]) -> IntArray:
    if not path.exists():
        return np.zeros((0, 3), dtype=np.int64)
    sheet = read_sheet(path)
    sheet.expect([NODE, APP, COUNT])
    counts = sheet.counts([COUNT])[:, 0].tolist()
    rows = _numbered(str(path), zip(sheet.texts(NODE), sheet.texts(APP), counts, strict=True), (nodes, apps))
    pairs, row = np.unique(rows[:, :2], axis=0, return_inverse=True)
    merged = np.bincount(row.ravel(), weights=rows[:, 2], minlength=len(pairs)).astype(np.int64)
    return np.column_stack([pairs, merged])[merged > 0]


def _numbered(name: str, rows: Any, known: tuple[Sequence[str], Sequence[str]]) -> IntArray:
    """Return rows of two names and a number with the names' positions in their place, int [rows, 3]."""
    places = [{one: i for i, one in enumerate(names)} for names in known]
    found = []
    for first, second, number in rows:
        for one, place in zip((first, second), places, strict=True):
            if one not in place:
                raise InputError(f"{name}: {one!a} is unknown; {meant(one, list(place)[:SHOWN])}")
        found.append((places[0][first], places[1][second], number))
    return np.array(found, dtype=np.int64).reshape(-1, 3)


def _curve(values: FloatArray) -> str:
    alike = values[:1] if (values == values[0]).all() else values
    return BETWEEN.join(f"{value:.12g}" for value in alike)


def _write_sheet(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with written_whole(path) as file:
        file.write("\n".join(",".join(row) for row in [header, *rows]).encode() + b"\n")
