"""Pairwise interference: the RPS of one container of an application beside k of another."""

from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.problem.counts import FloatArray, IntArray
from metis.problem.tables import Tables


def pairwise_curves(tables: Tables) -> FloatArray:
    """Return the RPS of one s beside k = 0 .. slots - 1 containers of c, float [apps, apps, slots].

    Each is a co-location of the space: one s and k of c; for s = c, k + 1 of them.
    """
    space = tables.space
    s = np.arange(len(space.apps))[:, None, None]
    return np.asarray(tables.rps[space.index(pair_counts(len(space.apps), space.slots)), s])


def pair_counts(apps: int, slots: int) -> IntArray:
    """Return the co-locations of one s and k of c, int [apps, apps, slots, apps]."""
    one = np.eye(apps, dtype=np.int64)
    return np.asarray(one[:, None, None] + np.arange(slots)[:, None] * one[None, :, None])


def check_curves(curves: FloatArray, apps: tuple[str, ...]) -> None:
    """Raise `InputError` unless `curves` is [apps, apps, slots] and each application runs when alone."""
    if curves.ndim != 3 or curves.shape[:2] != (len(apps), len(apps)) or not curves.shape[2]:
        raise InputError(f"pairwise RPS of shape {curves.shape}: give [{len(apps)}, {len(apps)}, slots]")
    idle = np.argwhere(~(curves[:, :, 0] > 0))
    if idle.size:
        raise InputError(f"pairwise RPS: {apps[idle[0, 0]]} alone has no RPS above 0 to compare with")


def read_pairwise(counts_path: Path, rps_path: Path, apps: tuple[str, ...], slots: int) -> FloatArray:
    """Read a pairwise profile in the published two files, float [apps, apps, slots].

    Args:
        counts_path: counts per application (one column each, in the order of `apps`; more are ignored).
        rps_path: RPS per application of the same rows.
        apps: names of the applications.
        slots: slots of a node.

    Raises:
        InputError: not such files, rows that differ in number, or a pair that was not measured; names it.
    """
    counts = np.round(_read_numbers(counts_path, len(apps))).astype(np.int64)
    rps = _read_numbers(rps_path, len(apps))
    if len(counts) != len(rps):
        raise InputError(f"{counts_path} has {len(counts)} rows, {rps_path} {len(rps)}: give the same rows")
    known = {tuple(row): values for row, values in zip(counts.tolist(), rps, strict=True)}
    curves = np.empty((len(apps), len(apps), slots))
    wanted = pair_counts(len(apps), slots)
    for s, c, k in np.ndindex(curves.shape):
        values = known.get(tuple(wanted[s, c, k].tolist()))
        if values is None:
            beside = f"beside {k} {apps[c]}"
            raise InputError(f"{counts_path}: no row measures one {apps[s]} {beside}")
        curves[s, c, k] = values[s]
    return curves


def _read_numbers(path: Path, columns: int) -> FloatArray:
    try:
        with path.open(encoding="utf-8") as file:
            values = np.loadtxt(file, delimiter=",", skiprows=1, usecols=range(columns), ndmin=2)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable CSV of {columns} columns of numbers ({error})") from None
    if not np.isfinite(values).all():
        raise InputError(f"{path}: holds a value that is not a number")
    return values
