"""A guarded reader of the published measurements: of pickled files only plain arrays of numbers are read."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from metis.errors import InputError
from metis.measure.profile import Profile, checked_rows, make_profile
from metis.problem.counts import FloatArray

APPS = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")
NEEDED = ("alloc", "rps", "rt_50", "rt_99")
MAX_MEMBER_BYTES = 1 << 30  # an archive may claim to unpack to anything


def is_published(path: Path) -> bool:
    """Whether the file looks like a published profile (an archive with `alloc`); nothing in it is loaded."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return "alloc.npy" in names or ("rps.npy" in names and "format.npy" not in names)
    except (zipfile.BadZipFile, OSError):
        raise InputError(f"{path}: not a readable .npz file") from None


def read_published(path: Path, apps: tuple[str, ...] | None = None, slots: int | None = None) -> Profile:
    """Read a published `.npz` (DOI 10.5281/zenodo.3859335).

    Repeated co-locations are merged by their median; failed runs (RPS 0 while present) and trailing
    columns that are never used are dropped. `provenance` holds the number of each.

    Args:
        path: the file.
        apps: names for the columns; None for the published seven.
        slots: slots of a node; None for the largest row.

    Raises:
        InputError: anything but numbers in it, a missing array, a wrong shape or row; names file and row.
    """
    arrays = _read_archive(path)
    missing = [name for name in NEEDED if name not in arrays]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing; a published profile has {NEEDED}")
    alloc = arrays["alloc"]
    for name in NEEDED:
        if arrays[name].ndim != 2 or arrays[name].shape != alloc.shape:
            raise InputError(
                f"{path}: {name} has shape {arrays[name].shape}, alloc {alloc.shape}: give them alike"
            )
    used = max(int(np.flatnonzero(np.nan_to_num(alloc).any(axis=0)).max(initial=-1)) + 1, 1)
    names = _column_names(path, apps, used, alloc.shape[1])
    columns = slice(0, len(names))
    counts = checked_rows(path, alloc[:, columns], arrays["rps"][:, columns], slots, names)
    failed = ((counts > 0) & (arrays["rps"][:, columns] == 0)).any(axis=1)
    if failed.all():
        raise InputError(f"{path}: every row is a failed run (RPS 0 while present)")
    measures: Mapping[str, FloatArray] = {
        "rps": arrays["rps"][~failed, columns],
        # the published files write 0 where latency was not measured
        "p50": _positive(arrays["rt_50"][~failed, columns]),
        "p99": _positive(arrays["rt_99"][~failed, columns]),
    }
    provenance = {
        "source": path.name,
        "rows": len(alloc),
        "failed_rows_dropped": int(failed.sum()),
        "unused_columns_dropped": alloc.shape[1] - len(names),
    }
    slots = int(counts.sum(axis=1).max()) if slots is None else slots
    return make_profile(names, slots, counts[~failed], measures, provenance)


def _column_names(path: Path, apps: tuple[str, ...] | None, used: int, columns: int) -> tuple[str, ...]:
    if apps is None:
        return (APPS + tuple(f"app-{i + 1}" for i in range(len(APPS), columns)))[:used]
    if not used <= len(apps) <= columns:
        raise InputError(f"{path}: uses {used} of {columns} columns, but apps.names has {len(apps)} names")
    return apps


def _positive(values: FloatArray) -> FloatArray:
    return np.where(values > 0, values, np.nan)


def _read_archive(path: Path) -> dict[str, FloatArray]:
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {}
            for member in archive.infolist():
                if member.file_size > MAX_MEMBER_BYTES:
                    raise InputError(
                        f"{path}: {member.filename} unpacks to {member.file_size:,} bytes: refused"
                    )
                with archive.open(member) as file:
                    arrays[member.filename.removesuffix(".npy")] = _read_array(path, member.filename, file)
            return arrays
    except InputError:
        raise
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable .npz file ({error})") from None


def _read_array(path: Path, member: str, file: IO[bytes]) -> FloatArray:
    """One array as float64; an object array goes through `_NumbersOnly`."""
    try:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            values = _NumbersOnly(file).load()
            if not isinstance(values, np.ndarray) or values.shape != shape:
                raise pickle.UnpicklingError("does not hold the array that its header promises")
        else:
            flat: NDArray[Any] = np.frombuffer(file.read(), dtype=dtype)
            values = flat.reshape(shape, order="F" if fortran else "C")
        return np.array(values, dtype=np.float64)
    except Exception as error:  # whatever unknown bytes provoke, the file is refused alike
        raise InputError(f"{path}: {member} is refused: {error}") from None


class _NumbersOnly(pickle.Unpickler):
    """Admits numpy arrays and plain numbers; whatever else a pickle names is refused before it is called."""

    def find_class(self, module: str, name: str) -> Any:
        admitted: dict[tuple[str, str], Callable[..., Any] | type] = {
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy._core.multiarray", "_reconstruct"): _empty_array,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _plain_dtype,
            ("_codecs", "encode"): _latin1,
        }
        if (module, name) not in admitted:
            raise pickle.UnpicklingError(f"it names {module}.{name}, only arrays and numbers are read")
        return admitted[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers outside of the file, only arrays and numbers are read")


def _empty_array(kind: type, shape: tuple[int, ...], code: bytes) -> NDArray[Any]:
    if kind is not np.ndarray or tuple(shape) != (0,):
        raise pickle.UnpicklingError("an array is rebuilt in an unknown way")
    return np.ndarray((0,), dtype=np.int8)


def _plain_dtype(code: str, *_: Any) -> np.dtype[Any]:
    dtype = np.dtype(str(code))
    if dtype.kind not in "biufO":
        raise pickle.UnpicklingError(f"it holds values of type {dtype}, only numbers are read")
    return dtype


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding!r}")
    return text.encode("latin1")
