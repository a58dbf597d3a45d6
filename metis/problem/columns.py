"""Columns of arrays, matched to applications by name where a file names them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError

APPS = "apps"  # the array of names in an archive


def columns_by_name(
    path: Path, values: NDArray[Any], names: NDArray[Any] | None, apps: tuple[str, ...]
) -> NDArray[Any]:
    """The columns of a file in the order of the applications.

    Args:
        path: of the file.
        values: [..., columns].
        names: of the columns; None where the file has none: then they are taken as they stand.
        apps: the applications of the run.

    Returns:
        [..., apps]; 0 for applications that the file does not name.

    Raises:
        InputError: a name twice, one that is no application, or other numbers of names and columns.
    """
    if names is None:
        return values
    given = [str(name) for name in np.atleast_1d(names)]
    if len(set(given)) != len(given) or values.shape[-1:] != (len(given),):
        raise InputError(f"{path}: names {given} for columns of shape {values.shape}; give each name once")
    unknown = [name for name in given if name not in apps]
    if unknown:
        raise InputError(
            f"{path}: places {', '.join(given)}, this run has {', '.join(apps)}; give apps.names as there"
        )
    found = np.zeros((*values.shape[:-1], len(apps)), dtype=values.dtype)
    found[..., [apps.index(name) for name in given]] = values
    return found
