"""Files written whole or not at all."""

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from metis.errors import SurroundingsError
from metis.inputs.archives import MAX_BYTES, read_archive


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` only once the block ends well: written beside, then renamed.

    Raises:
        SurroundingsError: the disk is full or the folder cannot be written; names the path.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise SurroundingsError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(beside).chmod(0o644)
        Path(beside).replace(path)
    except OSError as error:
        raise SurroundingsError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        Path(beside).unlink(missing_ok=True)


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write `arrays` as a compressed `.npz` without pickle, whole or not at all."""
    plain = {name: np.asarray(value) for name, value in arrays.items()}
    objects = [name for name, value in plain.items() if value.dtype == object]
    if objects:
        raise TypeError(f"array {objects[0]!r} holds Python objects, which .npz could only pickle")
    with written_whole(path) as file:
        np.savez_compressed(file, allow_pickle=False, **plain)


def load_arrays(
    path: Path, names: Collection[str] | None = None, limit: int = MAX_BYTES
) -> dict[str, NDArray[Any]]:
    """Read arrays of an `.npz` without pickle; what stands beside them is left alone.

    Args:
        path: of the file.
        names: of the arrays to read, those that are there; None for all.
        limit: bytes that they may have together, unpacked.

    Raises:
        InputError: missing, corrupt, too large, or holding Python objects; names the file.
    """
    return read_archive(path, names, limit=limit)


def file_digest(path: Path) -> str:
    """Return a short digest of a file's bytes; `missing` for a file that does not exist."""
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:20]


def content_digest(path: Path) -> str | dict[str, str]:
    """Return the digest of a file, or of each file of a folder by its name."""
    if path.is_dir():
        return {one.name: file_digest(one) for one in sorted(path.iterdir()) if one.is_file()}
    return file_digest(path)
