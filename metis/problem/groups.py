"""Groups of containers: drawn at random, read from a file, or made from counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray, whole_counts


def draw_groups(count: int, size: int, apps: int, rng: np.random.Generator) -> IntArray:
    """Draw `count` groups of `size` containers, each application as likely, int [count, apps]."""
    _check_drawn(count, size)
    return rng.multinomial(size, np.full(apps, 1 / apps), size=count).astype(np.int64)


def draw_skewed_groups(count: int, size: int, apps: int, rng: np.random.Generator) -> IntArray:
    """Draw `count` groups of `size` containers whose shares are Dirichlet(1), int [count, apps]."""
    _check_drawn(count, size)
    shares = rng.dirichlet(np.ones(apps), size=count)
    return np.stack([rng.multinomial(size, share) for share in shares]).astype(np.int64)


def load_groups(path: Path, rows: str | None, apps: tuple[str, ...]) -> IntArray:
    """Read groups, int [n, apps], of an `.npz` (array `batch_set` or `groups`) or a `.csv` with a header.

    Args:
        path: the file.
        rows: which rows, as `7`, `0:10` or `2:`; None for all.
        apps: names of the applications, in column order.

    Raises:
        InputError: the file cannot be read, has another shape, or a row is not a group; names file and row.
    """
    groups = _read(path, apps)
    if groups.ndim != 2 or groups.shape[1] != len(apps):
        raise InputError(f"{path}: groups have shape {groups.shape}, expected [groups, {len(apps)}]")
    chosen = parse_rows(rows, len(groups))
    counts = [whole_counts(groups[i], f"{path}: group {i}") for i in range(len(groups))[chosen]]
    empty = [i for i, group in zip(range(len(groups))[chosen], counts, strict=True) if not group.any()]
    if empty:
        raise InputError(f"{path}: group {empty[0]} holds no container")
    return np.stack(counts)


def parse_rows(rows: str | None, total: int) -> slice:
    """The slice that `rows` names: one row such as `7`, `first:end`, or all rows for None."""
    text = ":" if rows is None else str(rows).strip()
    try:
        parts: list[int | None] = [int(part) if part else None for part in text.split(":")]
    except ValueError:
        raise InputError(f"groups.rows {text!r}: give one row such as 7, or a range such as 0:10") from None
    if len(parts) == 1 and parts[0] is not None:
        parts = [parts[0], parts[0] + 1]
    if len(parts) != 2 or any(part is not None and not 0 <= part <= total for part in parts):
        raise InputError(f"groups.rows {text!r}: give one row or a range within 0:{total}")
    chosen = slice(parts[0], parts[1])
    if not range(total)[chosen]:
        raise InputError(f"groups.rows {text!r}: no row is left of {total}")
    return chosen


def _check_drawn(count: int, size: int) -> None:
    if count < 1 or size < 1:
        raise InputError(f"groups.count {count} and group.size {size}: both must be at least 1")


def _read(path: Path, apps: tuple[str, ...]) -> NDArray[Any]:
    try:
        if path.suffix == ".csv":
            import pandas as pd

            frame = pd.read_csv(path)
            missing = [app for app in apps if app not in frame.columns]
            if missing:
                raise InputError(f"{path}: the header lacks the application {missing[0]!r}")
            return np.asarray(frame[list(apps)])
        with np.load(path, allow_pickle=False) as stored:
            name = next((key for key in ("groups", "batch_set") if key in stored.files), None)
            if name is None:
                raise InputError(f"{path}: no array named groups or batch_set in it")
            return np.asarray(stored[name])
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path}: not a readable file of groups ({type(error).__name__})") from None


def make_group(counts: Sequence[float] | Mapping[str, float], apps: tuple[str, ...]) -> IntArray:
    """Make a group, int [apps], from counts in the order of `apps` or by application name.

    Raises:
        InputError: an unknown application, the wrong number of counts, or no container at all.
    """
    if isinstance(counts, Mapping):
        unknown = [name for name in counts if name not in apps]
        if unknown:
            raise InputError(f"group.counts names the unknown application {unknown[0]!r}: use {list(apps)}")
        counts = [counts.get(app, 0) for app in apps]
    group = whole_counts(counts, "group.counts")
    if group.shape != (len(apps),):
        raise InputError(f"group.counts has {group.size} counts: give {len(apps)}, in the order {list(apps)}")
    if not group.any():
        raise InputError("group.counts is all 0: a group needs at least 1 container")
    return group


def check_group(group: IntArray, cluster: Cluster) -> None:
    """Refuse a group that cannot fit.

    Raises:
        InputError: more containers than free slots; names both.
    """
    wanted = int(group.sum())
    if wanted > cluster.free_slots:
        raise InputError(
            f"{wanted} containers do not fit: {cluster.nodes} nodes of {cluster.space.slots} slots "
            f"have {cluster.free_slots} slots free"
        )
