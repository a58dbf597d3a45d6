"""Placements in files: read from `.npz`, `.json` and `.csv`, written as a JSON plan by name."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.files import load_arrays, written_whole
from metis.problem.counts import IntArray, whole_counts
from metis.problem.space import ColocationSpace


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
    held = {
        node: {app: int(count) for app, count in zip(apps, row, strict=True) if count}
        for node, row in zip(nodes, placement, strict=True)
    }
    return {"apps": list(apps), "nodes": list(nodes), "placement": held}


def write_plan(path: Path, placement: IntArray, apps: Sequence[str], nodes: Sequence[str]) -> None:
    """Write a placement as JSON by name, whole or not at all; `read_placement` reads it.

    Raises:
        InputError: see `as_named`.
        SurroundingsError: the file cannot be written.
    """
    document = json.dumps(as_named(placement, apps, nodes), indent=1, ensure_ascii=False)
    with written_whole(path) as file:
        file.write(document.encode() + b"\n")


def read_placement(path: Path, space: ColocationSpace) -> IntArray:
    """Read a placement, int [nodes, apps].

    Formats: `.npz` with an array `placement`; `.csv` with a column per application; `.json` with
    `placement`, either node -> application -> containers (see `as_named`; rows in the order of `nodes`) or
    a list of rows in the order of the applications.

    Args:
        path: the file.
        space: has the applications, one per column of the result.

    Raises:
        InputError: unreadable, an unknown application or node, or counts that are none; names the file.
    """
    if path.suffix == ".json":
        return _read_json(path, space)
    if path.suffix == ".csv":
        return _read_csv(path, space)
    arrays = load_arrays(path)
    if "placement" not in arrays:
        raise InputError(f"{path}: holds no array named placement")
    return whole_counts(arrays["placement"], str(path))


def _read_json(path: Path, space: ColocationSpace) -> IntArray:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        placement = document["placement"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no placement ({error})") from None
    if not isinstance(placement, Mapping):
        return whole_counts(placement, str(path))
    nodes = document.get("nodes", list(placement))
    if not isinstance(nodes, list) or len({str(node) for node in nodes}) != len(nodes):
        raise InputError(f"{path}: `nodes` must be a list that names each node once")
    unlisted = [node for node in placement if node not in nodes]
    if unlisted:
        raise InputError(f"{path}: the node {unlisted[0]!r} of `placement` is not among `nodes`")
    if not nodes:
        raise InputError(f"{path}: `nodes` names none")
    return np.stack([_named_row(path, str(node), placement.get(node, {}), space) for node in nodes])


def _named_row(path: Path, node: str, held: Any, space: ColocationSpace) -> IntArray:
    if not isinstance(held, Mapping):
        raise InputError(f"{path}: node {node!r} holds {held!r}; give containers by application")
    unknown = [app for app in held if app not in space.apps]
    if unknown:
        raise InputError(
            f"{path}: node {node!r} holds the unknown application {unknown[0]!r}; use {list(space.apps)}"
        )
    return whole_counts([held.get(app, 0) for app in space.apps], f"{path}: node {node}")


def _read_csv(path: Path, space: ColocationSpace) -> IntArray:
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable table ({error})") from None
    unknown = [name for name in frame.columns if name not in (*space.apps, "node")]
    if unknown:
        raise InputError(f"{path}: the column {unknown[0]!r} is no application; use {list(space.apps)}")
    return whole_counts(frame.reindex(columns=list(space.apps), fill_value=0).to_numpy(), str(path))


def node_names(count: int) -> tuple[str, ...]:
    """Names for nodes that have none: `node-1`, `node-2`, ..."""
    return tuple(f"node-{i + 1}" for i in range(count))


def named_nodes(path: Path) -> tuple[str, ...] | None:
    """The names that a file gives its nodes, in the order of its rows; None where it has none but numbers."""
    try:
        if path.suffix == ".json":
            document = json.loads(path.read_text(encoding="utf-8"))
            names = [str(name) for name in document.get("nodes", [])]
        elif path.suffix == ".csv":
            import pandas as pd

            names = [str(name) for name in pd.read_csv(path, dtype={"node": str}).get("node", [])]
        else:
            return None
    except (OSError, ValueError, AttributeError):
        return None  # reading the placement itself says what is wrong
    return tuple(names) if names and not all(name.isdigit() for name in names) else None
