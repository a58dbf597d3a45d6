"""Groups of containers: drawn at random, read from a file, or made from counts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.files import load_arrays
from metis.inputs.archives import INPUT_BYTES, array_names
from metis.inputs.names import meant
from metis.inputs.sheet import is_sheet, read_sheet
from metis.problem.cluster import Cluster
from metis.problem.columns import APPS, columns_by_name
from metis.problem.counts import IntArray, whole_counts
from metis.wording import amount

GROUP = "group"  # column that numbers the groups of a table
ARRAYS = ("groups", "batch_set")  # ours, and as published


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
    """Read groups, int [n, apps].

    Formats: `.csv` with a column per application, and `group` where the rows are numbered; `.npz` with an
    array `groups` or `batch_set`, whose columns are named by an array `apps` or in the order of `apps`.

    Args:
        path: the file.
        rows: which rows, as `7`, `0:10` or `2:`; None for all.
        apps: names of the applications, in column order.

    Raises:
        InputError: the file cannot be read, has another shape, or a row is not a group; names file and row.
    """
    groups = _read(path, apps)
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


def _read(path: Path, apps: tuple[str, ...]) -> IntArray:
    if is_sheet(path):
        sheet = read_sheet(path, ordered=True)
        numbered = GROUP not in apps and GROUP in sheet.header
        sheet.expect(apps, [GROUP] if numbered else [], "application")
        return (sheet.take(sheet.order(GROUP)) if numbered else sheet).counts(apps)
    name = next((name for name in ARRAYS if name in array_names(path)), None)
    if name is None:
        raise InputError(f"{path}: no array named groups or batch_set in it")
    stored = load_arrays(path, (name, APPS), INPUT_BYTES)
    groups = columns_by_name(path, stored[name], stored.get(APPS), apps)
    if groups.ndim != 2 or groups.shape[1] != len(apps):
        raise InputError(f"{path}: groups have shape {groups.shape}, expected [groups, {len(apps)}]")
    return groups


def make_group(counts: Sequence[float] | Mapping[str, float], apps: tuple[str, ...]) -> IntArray:
    """Make a group, int [apps], from counts in the order of `apps` or by application name.

    Raises:
        InputError: an unknown application, the wrong number of counts, or no container at all.
    """
    if isinstance(counts, Mapping):
        unknown = [name for name in counts if name not in apps]
        if unknown:
            raise InputError(
                f"group.counts names the unknown application {unknown[0]!r}: {meant(unknown[0], apps)}"
            )
        counts = [counts.get(app, 0) for app in apps]
    group = whole_counts(counts, "group.counts")
    if group.shape != (len(apps),):
        raise InputError(
            f"group.counts has {amount(group.size, 'count')}: give {len(apps)}, in the order "
            f"{', '.join(apps)}"
        )
    if not group.any():
        raise InputError("group.counts is all 0: a group needs at least 1 container")
    return group


def check_group(group: IntArray, cluster: Cluster, what: str = "") -> None:
    """Refuse a group that cannot fit.

    Args:
        group: containers to place, int [apps].
        cluster: nodes, and what runs there.
        what: said of the containers, such as ` of group.counts arrive with the moves and`.

    Raises:
        InputError: more containers than free slots, names both; or they request more than what runs leaves.
    """
    wanted, running = int(group.sum()), cluster.existing.sum(axis=0)
    if wanted > cluster.free_slots:
        least, most = int(cluster.slots.min()), int(cluster.slots.max())
        each = amount(most, "slot") if least == most else f"{least} to {most} slots"
        beside = f" beside the {amount(cluster.running, 'container')} that run" if cluster.running else ""
        raise InputError(
            f"{amount(wanted, 'container')}{what} do not fit: {amount(cluster.nodes, 'node')} of {each} "
            f"have {amount(cluster.free_slots, 'slot')} free{beside}"
        )
    if cluster.stated is not None:
        cluster.stated.check_demand(group + running, running)
