"""Arrays of counts per application, checked and in words."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metis.errors import InputError
from metis.inputs.sheet import MAX_COUNT

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
KEYS = 20_251_126  # seed of the random numbers by which rows are hashed: 64 bits, so that none collide


def hash_keys(apps: int) -> IntArray:
    """Return the numbers by which rows of counts [n, apps] are hashed, as `rows @ keys`, int64 [apps]."""
    limits = np.iinfo(np.int64)
    return np.random.default_rng(KEYS).integers(limits.min, limits.max, apps)


def whole_counts(values: ArrayLike, name: str) -> IntArray:
    """Convert values to counts, int64 of the same shape.

    Raises:
        InputError: a value is not a number, negative or fractional; the message names it.
    """
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: holds what is not a number; give whole numbers, 0 or more") from None
    wrong = ~np.isfinite(numbers) | (numbers < 0) | (numbers != np.floor(numbers)) | (numbers > MAX_COUNT)
    if wrong.any():
        raise InputError(
            f"{name}: {numbers[wrong].flat[0]:g} is not a count; give whole numbers, 0 to {MAX_COUNT:g}"
        )
    return numbers.astype(np.int64)


def describe_colocation(counts: ArrayLike, apps: tuple[str, ...]) -> str:
    """Describe a co-location in words: `2 Redis + 1 MMS`, or `nothing`."""
    parts = [f"{int(n)} {app}" for n, app in zip(np.asarray(counts), apps, strict=True) if n]
    return " + ".join(parts) or "nothing"
