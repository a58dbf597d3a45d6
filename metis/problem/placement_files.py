"""Placements in files: read from `.npz`, `.json` and `.csv`, written as a JSON plan by name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.archives import INPUT_BYTES, read_archive
from metis.inputs.documents import read_json
from metis.inputs.names import LONGEST_HOST, check_names, meant, twice_in
from metis.inputs.sheet import Sheet, is_sheet, read_sheet
from metis.problem.cluster import Cluster
from metis.problem.columns import APPS, columns_by_name
from metis.problem.counts import IntArray, whole_counts
from metis.problem.folders import APP, COUNT, has_rows, read_rows
from metis.problem.space import ColocationSpace

PLACEMENT, EXISTING, NODE, GROUP, NODES = "placement", "existing", "node", "group", "nodes"
# of several groups, `placements` are the new containers alone, and EXISTING what ran before the first
SEVERAL = "placements"
ARRAYS = (PLACEMENT, SEVERAL)
ARCHIVE = ".npz"


def as_named(placement: IntArray, apps: Sequence[str], nodes: Sequence[str]) -> dict[str, Any]:
    """A placement as a JSON-able document that names applications and nodes.

    Args:
        placement: containers, int [nodes, apps].
        apps: names of the columns.
        nodes: names of the rows.

    Returns:
        `apps`, `nodes`, and `placement`: node -> application -> containers. Applications that a node does
        not hold are left out.

    Raises:
        InputError: other numbers of names than of rows and columns, or a name twice.
    """
    if placement.shape != (len(nodes), len(apps)):
        raise InputError(f"placement of shape {placement.shape}: {len(nodes)} nodes, {len(apps)} apps named")
    if len(set(nodes)) != len(nodes):
        raise InputError(f"nodes {list(nodes)}: give each name once")
    return {"apps": list(apps), "nodes": list(nodes), PLACEMENT: _held(placement, apps, nodes)}


def _held(placement: IntArray, apps: Sequence[str], nodes: Sequence[str]) -> dict[str, dict[str, int]]:
    return {
        node: {app: int(count) for app, count in zip(apps, row, strict=True) if count}
        for node, row in zip(nodes, placement, strict=True)
    }


def write_plan(
    path: Path,
    placement: IntArray,
    apps: Sequence[str],
    nodes: Sequence[str],
    existing: IntArray | None = None,
) -> None:
    """Write a placement as JSON by name, whole or not at all; `read_placement` reads it.

    Args:
        path: the file.
        placement: the new containers, int [nodes, apps].
        apps: names of the columns.
        nodes: names of the rows.
        existing: those that ran before, int [nodes, apps]: the plan holds all that runs then, and under
            `existing` which of them ran before.

    Raises:
        InputError: see `as_named`.
        SurroundingsError: the file cannot be written.
    """
    if existing is None or not existing.any():
        named = as_named(placement, apps, nodes)
    else:
        named = as_named(placement + existing, apps, nodes) | {EXISTING: _held(existing, apps, nodes)}
    document = json.dumps(named, indent=1, ensure_ascii=False)
    with written_whole(path) as file:
        file.write(document.encode() + b"\n")


def read_placement(path: Path, space: ColocationSpace) -> IntArray:
    """Read a placement, int [nodes, apps].

    Formats: `.csv` with a column per application and `node`, or rows of `node`, `app` and `count`, in which
    a node that holds nothing has a count of 0; `.json` with `placement`, either node ->
    application -> containers (see `as_named`; rows in the order of `nodes`) or a list of rows in the order of
    the applications; `.npz` with an array `placement`, or `placements` of several groups, of which the
    first is meant, together with what ran before it (`existing`). Applications that a file does not name
    run nowhere.

    Args:
        path: the file.
        space: has the applications, one per column of the result.

    Raises:
        InputError: unreadable, an unknown application or node, or counts that are none; names the file.
    """
    if path.suffix.lower() == ".json":
        placement = _read_json(path, space)
    elif is_sheet(path):
        sheet = _read_table(path, space.apps)
        placement = np.zeros((len(sheet), len(space.apps)), dtype=np.int64)
        held = [app for app in space.apps if app in sheet.header]
        placement[:, [space.apps.index(app) for app in held]] = sheet.counts(held)
    else:
        placement = whole_counts(_read_arrays(path, space), str(path))
    if placement.ndim != 2 or placement.shape[1] != len(space.apps):
        raise InputError(
            f"{path}: placement of shape {placement.shape}: give a row per node and a column for each of "
            f"{', '.join(space.apps)}"
        )
    return placement


def _read_arrays(path: Path, space: ColocationSpace) -> NDArray[Any]:
    stored = read_archive(path, (*ARRAYS, APPS, EXISTING), limit=INPUT_BYTES, first=[SEVERAL])
    name = next((name for name in ARRAYS if name in stored), None)
    if name is None:
        raise InputError(f"{path}: holds no array named placement")
    held = stored[name]
    if name == SEVERAL and EXISTING in stored:
        before = stored[EXISTING]
        if before.shape != held.shape:
            raise InputError(f"{path}: existing of shape {before.shape} beside placements of {held.shape}")
        held = whole_counts(held, str(path)) + whole_counts(before, str(path))
    return columns_by_name(path, held, stored.get(APPS), space.apps)


def read_existing(path: Path, space: ColocationSpace) -> IntArray | None:
    """Return the containers of a plan that ran before it, int [nodes, apps]; None where it names none.

    Raises:
        InputError: unreadable, an unknown application or node, or counts that are none; names the file.
    """
    if path.suffix.lower() == ARCHIVE:
        stored = read_archive(path, (APPS, EXISTING), limit=INPUT_BYTES)
        if EXISTING not in stored:
            return None
        return whole_counts(columns_by_name(path, stored[EXISTING], stored.get(APPS), space.apps), str(path))
    if path.suffix.lower() != ".json":
        return None
    document = read_json(path)
    if not isinstance(document, Mapping) or not document.get(EXISTING):
        return None
    return _placement_in(path, {**document, PLACEMENT: document[EXISTING]}, space)


def _read_json(path: Path, space: ColocationSpace) -> IntArray:
    document = read_json(path)
    if not isinstance(document, Mapping) or PLACEMENT not in document:
        raise InputError(f"{path}: holds no placement; give a mapping with `placement`")
    return _placement_in(path, document, space)


def _placement_in(path: Path, document: Mapping[str, Any], space: ColocationSpace) -> IntArray:
    placement = document[PLACEMENT]
    if not isinstance(placement, Mapping):
        return whole_counts(placement, str(path))
    nodes = document.get("nodes", list(placement))
    if not isinstance(nodes, list) or len({str(node) for node in nodes}) != len(nodes):
        raise InputError(f"{path}: `nodes` must be a list that names each node once")
    listed = set(map(str, nodes))
    unlisted = [node for node in placement if node not in listed]
    if unlisted:
        raise InputError(f"{path}: the node {unlisted[0]!a} of `placement` is not among `nodes`")
    if not nodes:
        raise InputError(f"{path}: `nodes` names none")
    check_names(listed, f"{path}: node", LONGEST_HOST)
    return np.stack([_named_row(path, str(node), placement.get(str(node), {}), space) for node in nodes])


def _named_row(path: Path, node: str, held: Any, space: ColocationSpace) -> IntArray:
    if not isinstance(held, Mapping):
        raise InputError(f"{path}: node {node!r} holds {held!r}; give containers by application")
    unknown = [app for app in held if app not in space.apps]
    if unknown:
        raise InputError(
            f"{path}: node {node!r} holds the unknown application {unknown[0]!r}; "
            f"{meant(unknown[0], space.apps)}"
        )
    return whole_counts([held.get(app, 0) for app in space.apps], f"{path}: node {node}")


def _read_table(path: Path, apps: tuple[str, ...]) -> Sheet:
    """A table of a placement with a row per node, whichever of the two forms it has."""
    sheet = read_sheet(path, ordered=True)
    if has_rows(path) and not set(apps) & {NODE, APP, COUNT}:
        sheet = _by_node(path, sheet, apps)
    return _nodes_in_order(sheet, apps)


def _by_node(path: Path, sheet: Sheet, apps: tuple[str, ...]) -> Sheet:
    """Rows of node, application and count as a row per node, in the order in which nodes first appear."""
    first: dict[str, int] = {}
    for name, line in zip(sheet.texts(NODE), sheet.lines, strict=True):
        first.setdefault(name, line)
    nodes = list(first)
    held = np.zeros((len(nodes), len(apps)), dtype=np.int64)
    node, app, count = read_rows(path, nodes, apps).T
    held[node, app] = count
    rows = [[name, *map(str, row)] for name, row in zip(nodes, held.tolist(), strict=True)]
    return replace(sheet, header=(NODE, *apps), rows=rows, lines=list(first.values()))


def _nodes_in_order(sheet: Sheet, apps: tuple[str, ...]) -> Sheet:
    """A table of a placement, its rows in the order of the nodes where these are numbered.

    Of several groups, numbered by `group`, the first is meant.
    """
    index = [name for name in (GROUP, NODE) if name not in apps]
    sheet.expect([], [*apps, *index], "application")
    if GROUP in index and GROUP in sheet.header and len(sheet):
        groups = sheet.counts([GROUP])[:, 0]
        sheet = sheet.take(np.flatnonzero(groups == groups.min()).tolist())
    if NODE not in index or NODE not in sheet.header:
        return sheet
    names = sheet.texts(NODE)
    if all(name.isdecimal() for name in names):
        return sheet.take(sheet.order(NODE).tolist())
    check_names(names, f"{sheet.name}: node", LONGEST_HOST)
    twice = twice_in(names)
    if twice is not None:
        raise InputError(f"{sheet.name}: the node {twice!r} stands twice; give each name once")
    return sheet


def node_names(count: int) -> tuple[str, ...]:
    """Names for nodes that have none: `node-1`, `node-2`, ..."""
    return tuple(f"node-{i + 1}" for i in range(count))


def named_apps(path: Path) -> tuple[str, ...]:
    """The applications that a plan (`.json`, `.npz`) names in their order; none where it does not."""
    if path.suffix.lower() not in (".json", ARCHIVE) or not path.is_file():
        return ()
    if path.suffix.lower() == ARCHIVE:
        apps: Any = list(read_archive(path, [APPS], limit=INPUT_BYTES).get(APPS, ()))
    else:
        document = read_json(path)
        apps = document.get(APPS) if isinstance(document, Mapping) else None
    if not isinstance(apps, list):
        return ()
    check_names([str(app) for app in apps], f"{path}: application")
    return tuple(map(str, apps))


def names_of_nodes(path: str | None, cluster: Cluster) -> tuple[str, ...]:
    """The names of a cluster's nodes: those in the file of a placement, else `node-1`, `node-2`, ..."""
    named = named_nodes(Path(path), cluster.space.apps) if path else None
    return named if named is not None and len(named) == cluster.nodes else node_names(cluster.nodes)


def named_nodes(path: Path, apps: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """The names that a file gives its nodes, in the order of its rows; None where it has none but numbers.

    Args:
        path: of a placement that `read_placement` reads.
        apps: its applications.
    """
    names: list[str] = []
    if path.suffix.lower() == ".json":
        document = read_json(path)
        held = document.get(PLACEMENT)
        names = [str(name) for name in document.get("nodes", held if isinstance(held, Mapping) else [])]
    elif path.suffix.lower() == ARCHIVE:
        names = [str(name) for name in read_archive(path, [NODES], limit=INPUT_BYTES).get(NODES, ())]
        check_names(names, f"{path}: node", LONGEST_HOST)
    elif is_sheet(path):
        sheet = _read_table(path, apps)
        names = sheet.texts(NODE) if NODE in sheet.header else []
    return tuple(names) if names and not all(name.isdigit() for name in names) else None
