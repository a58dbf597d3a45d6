"""Files of trained weights, with the fingerprint of what they were trained for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays, save_arrays

MARK = "trained_for/"


def save_weights(path: Path, arrays: Mapping[str, Any], fingerprint: Mapping[str, str]) -> None:
    """Write `arrays` and the `fingerprint` of what they were trained for, whole or not at all."""
    save_arrays(path, {**arrays, **{MARK + name: np.array(value) for name, value in fingerprint.items()}})


def load_weights(path: Path, expected: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of `save_weights`.

    Raises:
        InputError: not a file of weights, or trained for something else than `expected`; names the file,
            the field that differs, and both its values.
    """
    stored = load_arrays(path)
    for name, value in expected.items():
        if MARK + name not in stored:
            raise InputError(f"{path}: not a file of trained weights, it does not state its {name}")
        found = str(stored[MARK + name])
        if found != value:
            raise InputError(
                f"{path}: these weights were trained for {name} {found}, not {value}: train anew"
            )
    return {name: array for name, array in stored.items() if not name.startswith(MARK)}
