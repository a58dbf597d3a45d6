"""A guarded reader of the published measurements: of pickled files only plain arrays of numbers are read."""

import io
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.inputs.archives import INPUT_BYTES, array_names, read_archive
from metis.measure.profile import Profile, make_profile
from metis.measure.profile_rows import checked_rows
from metis.problem.counts import FloatArray

APPS = ("Redis", "MMS", "Checksum", "YCSB-A", "YCSB-B", "SceneDetect", "ISR")
NEEDED = ("alloc", "rps", "rt_50", "rt_99")
NAMES = "apps"  # an array of names that files of others may have; the published ones have none
PICKLED_BYTES = 1 << 26  # a pickle may build more than it has bytes


def is_published(path: Path) -> bool:
    """Whether the file looks like a published profile (an archive with `alloc`); nothing in it is loaded."""
    names = array_names(path)
    return "alloc" in names or ("rps" in names and "format" not in names)


def read_published(path: Path, apps: tuple[str, ...] | None = None, slots: int | None = None) -> Profile:
    """Read a published `.npz` (DOI 10.5281/zenodo.3859335).

    Repeated co-locations are merged by their median; failed runs (RPS 0 while present) and trailing
    columns that are never used are dropped. `provenance` holds the number of each.

    Args:
        path: the file.
        apps: names for the columns; None for those in the file, else the published seven where the
            file uses exactly these columns.
        slots: slots of a node; None for the largest row.

    Raises:
        InputError: anything but numbers in it, a missing array, a wrong shape or row, or columns whose names
            are not known; names file and row.
    """
    arrays = _read_numbers(path)
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
    names = _column_names(path, apps or _own_names(path), used, alloc.shape[1])
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
        if used == len(APPS):
            return APPS
        raise InputError(
            f"{path}: uses {used} columns that it does not name, and the published files {len(APPS)}; give "
            f"apps.names=[...], one for each in their order"
        )
    if not used <= len(apps) <= columns:
        raise InputError(f"{path}: uses {used} of {columns} columns, but apps.names has {len(apps)} names")
    return apps


def _positive(values: FloatArray) -> FloatArray:
    return np.where(values > 0, values, np.nan)


def _own_names(path: Path) -> tuple[str, ...] | None:
    """The names that a file gives its columns as plain texts, if any."""
    if NAMES not in array_names(path):
        return None
    names = read_archive(path, [NAMES], limit=INPUT_BYTES)[NAMES]
    return tuple(str(name) for name in np.atleast_1d(names)) or None


def _read_numbers(path: Path) -> dict[str, FloatArray]:
    """The arrays that are needed, as float64; whatever else the archive holds is not read."""
    arrays = read_archive(path, NEEDED, limit=INPUT_BYTES, objects=_read_objects)
    try:
        return {name: np.array(values, dtype=np.float64) for name, values in arrays.items()}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an array is refused: {error}") from None


def _read_objects(file: IO[bytes], shape: tuple[int, ...]) -> FloatArray:
    """One array of Python numbers as float64, read through `_NumbersOnly`."""
    content = file.read(PICKLED_BYTES + 1)
    if len(content) > PICKLED_BYTES:
        raise pickle.UnpicklingError(f"it is a pickle of more than {PICKLED_BYTES:,} bytes")
    values = _NumbersOnly(io.BytesIO(content)).load()
    if not isinstance(values, np.ndarray) or values.shape != shape:
        raise pickle.UnpicklingError("does not hold the array that its header promises")
    return np.array(values, dtype=np.float64)


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
