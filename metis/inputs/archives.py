"""Archives of arrays (`.npz`), read by what is needed; sizes are checked where they are declared."""

import zipfile
from collections.abc import Callable, Collection
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from metis.errors import InputError
from metis.inputs.documents import no_file

MAX_BYTES = 1 << 33  # of what metis wrote itself, all arrays together
INPUT_BYTES = 1 << 28  # of what a user gives: a million nodes of thirty applications
SUFFIX = ".npy"

# what reads an array of Python objects: its bytes from after the header, and its shape
ReadObjects = Callable[[IO[bytes], tuple[int, ...]], NDArray[Any]]


def read_archive(
    path: Path,
    names: Collection[str] | None = None,
    *,
    limit: int = MAX_BYTES,
    first: Collection[str] = (),
    objects: ReadObjects | None = None,
) -> dict[str, NDArray[Any]]:
    """Read arrays of an `.npz`; other entries are left alone, whatever they are.

    Args:
        path: of the archive.
        names: of the arrays to read, those that are there; None for all.
        limit: bytes that may be read, unpacked.
        first: arrays of which only the first entry along the first axis is read.
        objects: reads arrays of Python objects; None refuses them. They are never unpickled here.

    Raises:
        InputError: missing or damaged, an array twice, of Python objects, or larger than allowed: by
            the declared size, before it is read. Names file and array.
    """
    found: dict[str, NDArray[Any]] = {}
    with opened(path) as archive:
        chosen = [one for one in archive.infolist() if _wanted(one.filename, names)]
        left = limit
        for member in chosen:
            name = member.filename.removesuffix(SUFFIX)
            if name in found:
                raise InputError(f"{path}: holds {member.filename} twice")
            try:
                left -= _checked_size(path, archive, member, left, limit, name in first)
                found[name] = (
                    _read_first(archive, member) if name in first else _read(archive, member, objects)
                )
            except InputError:
                raise
            except Exception as error:  # whatever unknown bytes provoke, the file is refused alike
                raise InputError(f"{path}: {member.filename} is refused: {error}") from None
    return found


def array_names(path: Path) -> list[str]:
    """The names of the arrays in an archive, of which none is read.

    Raises:
        InputError: missing or no archive.
    """
    with opened(path) as archive:
        return [name.removesuffix(SUFFIX) for name in archive.namelist() if name.endswith(SUFFIX)]


def opened(path: Path) -> zipfile.ZipFile:
    """The archive, to be closed.

    Raises:
        InputError: missing or no archive.
    """
    try:
        return zipfile.ZipFile(path)
    except (FileNotFoundError, IsADirectoryError):
        raise no_file(path) from None
    except Exception as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from None


def _wanted(filename: str, names: Collection[str] | None) -> bool:
    return filename.endswith(SUFFIX) and (names is None or filename.removesuffix(SUFFIX) in names)


def _checked_size(
    path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, left: int, limit: int, first: bool
) -> int:
    """The bytes that will be read, from the directory of the archive and the array's own header."""
    with archive.open(member) as file:
        shape, _, dtype = _header(file)
    whole = member.file_size if dtype.hasobject else prod(shape) * dtype.itemsize
    read = prod(shape[1:]) * dtype.itemsize if first else max(whole, member.file_size)
    if read > left:
        raise InputError(
            f"{path}: {member.filename} of shape {shape} unpacks to {read:,} bytes: at most {limit:,} are "
            "read"
        )
    if whole > member.file_size:
        raise InputError(f"{path}: {member.filename} holds less than its header promises")
    return read


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it has version {version} of the format")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(file)


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, objects: ReadObjects | None) -> NDArray[Any]:
    with archive.open(member) as file:
        shape, _, dtype = _header(file)
        if dtype.hasobject:
            if objects is None:
                raise ValueError("it holds Python objects, only plain arrays are read")
            return objects(file, shape)
    with archive.open(member) as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def _read_first(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as file:
        shape, fortran, dtype = _header(file)
        if dtype.hasobject or fortran or not shape or not shape[0]:
            raise ValueError(f"it has shape {shape} and type {dtype}: there is no first entry to read")
        content = file.read(prod(shape[1:]) * dtype.itemsize)
    return np.frombuffer(content, dtype).reshape(shape[1:])
