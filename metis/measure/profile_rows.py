"""Checks of the rows of a file of measurements."""

from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.problem.counts import FloatArray, IntArray, whole_counts


def checked_rows(
    path: Path, colocations: Any, rps: FloatArray, slots: int | None, apps: tuple[str, ...]
) -> IntArray:
    """The counts of a file's rows, int [rows, apps], once every row makes sense.

    Raises:
        InputError: wrong shapes, counts that are none, too large rows, or containers without RPS; names
            file and row.
    """
    if np.ndim(colocations) != 2 or colocations.shape != rps.shape or colocations.shape[1] != len(apps):
        raise InputError(
            f"{path}: counts have shape {np.shape(colocations)} and rps {rps.shape}: "
            f"both must be [rows, {len(apps)}]"
        )
    if not len(colocations):
        raise InputError(f"{path}: has no rows; a profile needs at least one measured co-location")
    numbers = np.asarray(colocations, dtype=np.float64)
    wrong = ~np.isfinite(numbers) | (numbers < 0) | (numbers != np.floor(numbers))
    refuse_rows(path, wrong.any(axis=1), numbers, "has a count that is negative or not whole")
    counts = whole_counts(numbers, str(path))
    if slots is not None:
        refuse_rows(path, counts.sum(axis=1) > slots, numbers, f"holds more containers than {slots} slots")
    silent = (counts > 0) & ~np.isfinite(rps)
    refuse_rows(path, silent.any(axis=1), numbers, "holds containers without an RPS")
    refuse_rows(path, ((counts > 0) & (rps < 0)).any(axis=1), numbers, "has a negative RPS")
    return counts


def refuse_rows(path: Path, wrong: Any, counts: FloatArray, reason: str) -> None:
    """Refuse a file where any row is wrong, bool [rows]; the error names the first such row."""
    rows = np.flatnonzero(wrong)
    if rows.size:
        held = ", ".join(f"{value:g}" for value in counts[rows[0]])
        raise InputError(f"{path}: row {rows[0]} [{held}] {reason}")
