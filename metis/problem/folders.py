"""Folders that state a problem: nodes.csv, apps.csv, and rules.yaml and existing.csv where there are any."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.documents import read_yaml
from metis.inputs.names import LONGEST_HOST, check_names, meant, twice_in
from metis.inputs.quantities import BETWEEN, read_quantities
from metis.inputs.sheet import Sheet, is_sheet, read_sheet
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import Rules
from metis.problem.statement import SLOTS, Statement
from metis.settings import adapter_of, read_as

NODES, APPS, RULES, EXISTING = "nodes.csv", "apps.csv", "rules.yaml", "existing.csv"
NODE, TYPE, APP, OTHER, COUNT, MOST = "node", "type", "app", "other", "count", "most"
LABELS, DOMAINS = "labels", ("zone", "rack")  # further columns of nodes.csv; labels stand between `|`
MOST_BESIDE, DEVICES = "most_beside", "devices"
OF_ONE_FORM = ("never_together", "at_most", MOST_BESIDE)  # which `Statement.beside` holds
MAX_NODES = 1_000_000
SHOWN = 20  # names in an error


@dataclass(frozen=True)
class _Nodes:
    """The nodes of nodes.csv: their names, types and labels, fault domains, and rows of the table."""

    names: list[str]
    types: tuple[str, ...]
    type_of: IntArray
    labels: tuple[frozenset[str], ...]
    domains: dict[str, tuple[str, ...]]
    row_of: IntArray


def read_problem(folder: Path) -> Statement:
    """Read the problem that a folder states.

    `nodes.csv` has a row for each node (`node`, and `type` where it has one), or for several alike (`type`,
    `count`), and a column for each resource; where there are any, `slots`, `labels` between `|`, and the
    fault domains `zone` and `rack`, of several nodes alike `a|b`: they are dealt in turn. `apps.csv` has a
    row for each application (`app`, `count`) and the same resources. A value may be a curve over time,
    `1|2|3`. `existing.csv` has rows of `node`, `app` and `count`. `rules.yaml` has the keys of `rules`; its
    `most_beside` may be the name of a CSV file with columns app, other, most in the same folder; its
    `devices` names the resource that a node has as whole devices.

    Raises:
        InputError: a file is missing or not as described; names file, line and column.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give one with {NODES} and {APPS}")
    apps, nodes = read_sheet(folder / APPS), read_sheet(folder / NODES)
    resources = [name for name in apps.header if name not in (APP, COUNT)]
    if not resources and SLOTS not in nodes.header:
        raise InputError(f"{apps.name}: names no resource; give a column for each, such as cpu")
    apps.expect([APP, COUNT, *resources])
    nodes.expect(resources, [NODE, TYPE, COUNT, SLOTS, LABELS, *DOMAINS], "resource of apps.csv")
    names = _names(apps, APP, LONGEST_HOST)
    requests, capacity, dimensions = _both(apps, nodes, resources)
    if SLOTS in nodes.header and SLOTS not in resources:  # of which every container takes one
        requests = np.column_stack([np.ones(len(apps)), requests])
        capacity = np.column_stack([nodes.counts([SLOTS])[:, 0], capacity])
        dimensions = (SLOTS, *dimensions)
    found = _nodes(nodes)
    existing: IntArray = np.zeros((0, 3), dtype=np.int64)
    if (folder / EXISTING).exists():
        existing = read_rows(folder / EXISTING, found.names, names)
    rules, devices = _stated_rules(folder)
    demand = apps.counts([COUNT])[:, 0]
    np.add.at(demand, existing[:, 1], existing[:, 2])
    return Statement(
        apps=tuple(names),
        demand=demand,
        requests=requests,
        nodes=tuple(found.names),
        capacity=capacity[found.row_of],
        dimensions=dimensions,
        beside=_beside(str(folder / RULES), rules, names),
        existing=existing,
        types=found.types,
        type_of=found.type_of,
        labels=found.labels,
        domains=found.domains,
        rules=rules,
        devices=devices,
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
    typed, labelled = len(statement.types) > 1, any(statement.labels)
    nodes = [
        [
            node,
            *([statement.types[statement.type_of[i]]] if typed else []),
            *(_curve(row[times]) for times in of),
            *([BETWEEN.join(sorted(statement.labels[i]))] if labelled else []),
            *(names[i] for names in statement.domains.values()),
        ]
        for i, (node, row) in enumerate(zip(statement.nodes, statement.capacity, strict=True))
    ]
    others = [*([LABELS] if labelled else []), *statement.domains]
    write_sheet(folder / APPS, [APP, COUNT, *resources], apps)
    write_sheet(folder / NODES, [NODE, *([TYPE] if typed else []), *resources, *others], nodes)
    _write_rules(folder, statement)
    if len(statement.existing):
        write_rows(folder / EXISTING, statement, statement.existing)


def _write_rules(folder: Path, statement: Statement) -> None:
    """Write `rules.yaml`, and those of one form as the table that it names."""
    others: dict[str, Any] = adapter_of(Rules).dump_python(
        statement.rules, mode="json", exclude_defaults=True, exclude=set(OF_ONE_FORM)
    )
    text = ""
    if len(statement.beside):
        rows = [[statement.apps[a], statement.apps[b], str(most)] for a, b, most in statement.beside]
        write_sheet(folder / "rules.csv", [APP, OTHER, MOST], rows)
        text = "# where an application is, at most so many containers of another\nmost_beside: rules.csv\n"
    if statement.devices:
        others = {DEVICES: statement.devices, **others}
    if others:
        import yaml

        text += yaml.safe_dump(others, sort_keys=False)
    if text:
        with written_whole(folder / RULES) as file:
            file.write(text.encode())


def write_rows(path: Path, statement: Statement, rows: IntArray) -> None:
    """Write the rows of a placement as CSV: `node`, `app`, `count`."""
    texts = [[statement.nodes[n], statement.apps[a], str(count)] for n, a, count in rows]
    write_sheet(path, [NODE, APP, COUNT], texts)


def _both(
    apps: Sheet, nodes: Sheet, resources: Sequence[str]
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]:
    """Return requests, capacities, and the resource of each dimension; both have the times of either."""
    requests, capacity = [np.zeros((len(apps), 0))], [np.zeros((len(nodes), 0))]
    dimensions: list[str] = []
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


def _nodes(sheet: Sheet) -> _Nodes:
    if NODE in sheet.header:
        if COUNT in sheet.header:
            raise InputError(
                f"{sheet.name}: give {NODE} for single nodes, or {TYPE} and {COUNT} for alike ones"
            )
        names, row_of = _names(sheet, NODE, LONGEST_HOST), np.arange(len(sheet))
        of_rows = sheet.texts(TYPE) if TYPE in sheet.header else ["node"] * len(sheet)
        check_names(of_rows, f"{sheet.name}: {TYPE}", LONGEST_HOST)
    else:
        sheet.expect([TYPE, COUNT], sheet.header)
        of_rows, counts = _names(sheet, TYPE, LONGEST_HOST), sheet.counts([COUNT])[:, 0]
        if not 1 <= counts.sum() <= MAX_NODES:
            raise InputError(f"{sheet.name}: has {counts.sum():,} nodes; give 1 to {MAX_NODES:,}")
        empty = np.flatnonzero(counts == 0)
        if empty.size:
            raise InputError(
                f"{sheet.place(int(empty[0]), COUNT)}: the type {of_rows[empty[0]]} has no nodes"
            )
        names = [f"{kind}-{i + 1}" for kind, n in zip(of_rows, counts, strict=True) for i in range(n)]
        row_of = np.repeat(np.arange(len(sheet)), counts)
    within = np.arange(len(row_of)) - np.searchsorted(row_of, row_of)
    types = tuple(dict.fromkeys(of_rows))
    labels = _cells(sheet, LABELS) if LABELS in sheet.header else [()] * len(sheet)
    sets = [frozenset(one) for one in labels]
    domains = {}
    for domain in DOMAINS:
        if domain in sheet.header:
            cells = _cells(sheet, domain)
            for row, some in enumerate(cells):
                if not some:
                    raise InputError(f"{sheet.place(row, domain)}: is blank; name the {domain}")
            domains[domain] = tuple(
                cells[row][at % len(cells[row])] for row, at in zip(row_of, within, strict=True)
            )
    return _Nodes(
        names=names,
        types=types,
        type_of=np.array([types.index(one) for one in of_rows])[row_of],
        labels=tuple(sets[row] for row in row_of),
        domains=domains,
        row_of=row_of,
    )


def _cells(sheet: Sheet, column: str) -> list[tuple[str, ...]]:
    """Return the names between `|` in each cell of a column."""
    found = []
    for row, cell in enumerate(sheet.texts(column)):
        names = tuple(part.strip() for part in cell.split(BETWEEN)) if cell else ()
        check_names(names, sheet.place(row, column), LONGEST_HOST)
        found.append(names)
    return found


def _stated_rules(folder: Path) -> tuple[Rules, str]:
    """Return the rules of `rules.yaml` and of the table that it names, and the resource of devices.

    None where there is no such file.
    """
    path = folder / RULES
    if not path.exists():
        return Rules(), ""
    given = read_yaml(path)
    if not isinstance(given, Mapping):
        return _rules(path, given), ""
    devices = given.get(DEVICES, "")
    if not isinstance(devices, str):
        raise InputError(f"{path}: devices {devices!r}: name one resource, such as gpu")
    stated = {key: value for key, value in given.items() if key != DEVICES}
    if not isinstance(stated.get(MOST_BESIDE), str):
        return _rules(path, stated), devices
    rules = _rules(path, {**stated, MOST_BESIDE: []})
    sheet = read_sheet(folder / stated[MOST_BESIDE])
    sheet.expect([APP, OTHER, MOST])
    most = sheet.counts([MOST])[:, 0].tolist()
    rows = tuple(zip(sheet.texts(APP), sheet.texts(OTHER), most, strict=True))
    return replace(rules, most_beside=rows), devices


def _rules(path: Path, given: Any) -> Rules:
    try:
        return read_as(Rules, given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _beside(name: str, stated: Rules, apps: Sequence[str]) -> IntArray:
    """Return the hard rules of the form of `Statement.beside`, int [rules, 3]."""
    rows: list[tuple[str, str, int]] = [(a, a, most) for a, most in stated.at_most.items()]
    rows += [pair for a, b in stated.never_together for pair in _apart(a, b)]
    rows += stated.most_beside
    return _numbered(name, rows, (apps, apps))


def _apart(a: str, b: str) -> list[tuple[str, str, int]]:
    return [(a, a, 1)] if a == b else [(a, b, 0), (b, a, 0)]


def has_rows(path: Path) -> bool:
    """Whether a table has rows of `node`, `app` and `count`, not a column for each application."""
    return is_sheet(path) and {NODE, APP, COUNT} <= set(read_sheet(path).header)


def read_rows(path: Path, nodes: Sequence[str], apps: Sequence[str]) -> IntArray:
    """Read rows of (node, application, count) by name, each pair once, int [rows, 3].

    Raises:
        InputError: unreadable, an unknown node or application, or counts that are none; names the file.
    """
    sheet = read_sheet(path)
    sheet.expect([NODE, APP, COUNT])
    counts = sheet.counts([COUNT])[:, 0].tolist()
    for column, known in ((NODE, set(nodes)), (APP, set(apps))):
        for i, one in enumerate(sheet.texts(column)):
            if one not in known:
                those = list(nodes if column == NODE else apps)[:SHOWN]
                raise InputError(f"{sheet.place(i, column)}: {one!a} is unknown; {meant(one, those)}")
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


def write_sheet(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write rows of texts under a header as CSV."""
    with written_whole(path) as file:
        file.write("\n".join(",".join(row) for row in [header, *rows]).encode() + b"\n")
