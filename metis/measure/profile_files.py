"""Files of profiles, read in our own format or in the published one."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays
from metis.inputs.archives import array_names
from metis.inputs.documents import no_file
from metis.inputs.names import LONGEST_HOST, check_names
from metis.inputs.sheet import SUFFIXES, is_sheet, read_sheet
from metis.measure.circumstances import KEPT as CIRCUMSTANCES
from metis.measure.profile import CONDITIONS, FORMAT, MEASURES, Profile, median_known, profile_of_sheet
from metis.measure.profile_rows import checked_rows, refuse_rows
from metis.measure.published import is_published, read_published
from metis.problem.space import ColocationSpace

PROFILE_BYTES = 1 << 30  # a million co-locations of twenty applications
ARCHIVE = ".npz"
OF_TYPES = ("type_of", "type_pace", "type_spread")  # arrays beside the rows of single node types
WORKBOOKS = (".xlsx", ".xls", ".ods")
FAR = (0.5, 2.0)  # of 1, which a container alone reaches by definition


def check_profile_file(path: Path) -> None:
    """Refuse the path of a profile at which there is no file.

    Raises:
        InputError: there is none, or a folder.
    """
    if not path.is_file():
        raise no_file(path, "no such profile; give the path of an .npz or .csv file")


def load_profile(
    path: Path,
    apps: tuple[str, ...] | None = None,
    slots: int | None = None,
    results: bool = False,
) -> Profile:
    """Read a profile in our own format, in the published one, or as a table of measurements.

    Args:
        path: an `.npz` file; `.csv`, `.tsv` or `.txt` for a table, see `measurements_of`.
        apps: names; for the published format, which has none. Ours must agree with them, a table is
            read in their order.
        slots: slots of a node; None for the file's own.
        results: whether a table may name result files of load generators, which are then read.

    Raises:
        InputError: unreadable, of another format, or with rows that make no sense; names file and row.
    """
    check_profile_file(path)
    if path.suffix.lower() in WORKBOOKS:
        raise InputError(f"{path}: is a workbook; save the sheet of measurements as CSV")
    if is_sheet(path):
        return profile_of_sheet(read_sheet(path), slots, apps, path.parent if results else None)
    if path.suffix.lower() != ARCHIVE and not is_zipfile(path):
        raise InputError(
            f"{path}: is neither a table ({', '.join(SUFFIXES)}) nor an {ARCHIVE}; the file of a load "
            "generator is named in the column `results` of a table"
        )
    if is_published(path):
        return read_published(path, apps=apps, slots=slots)
    of_types = ("types", *OF_TYPES, *(f"type_{name}" for name in ("colocations", *MEASURES)))
    known = (
        "format",
        "apps",
        "slots",
        "provenance",
        "colocations",
        *MEASURES,
        "spread",
        *CONDITIONS,
        *of_types,
    )
    stored = load_arrays(path, known, PROFILE_BYTES)
    if str(stored.get("format")) != FORMAT:
        raise InputError(f"{path}: neither a metis profile nor a published one (arrays {array_names(path)})")
    missing = [n for n in ("apps", "slots", "provenance", "colocations", *MEASURES) if n not in stored]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing")
    try:
        names = tuple(str(name) for name in stored["apps"])
        own_slots = int(stored["slots"])
        provenance = dict(json.loads(str(stored["provenance"])))
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an array holds what it should not ({error})") from None
    if apps is not None and apps != names:
        raise InputError(f"{path}: measured {', '.join(names)}, but apps.names asks for {', '.join(apps)}")
    profile = replace(_rows_of(path, stored, names, own_slots), provenance=provenance)
    if "types" in stored:
        profile = _with_types(path, profile, stored)
    return profile if slots is None else profile.on(slots)


def _rows_of(path: Path, stored: Mapping[str, NDArray[Any]], names: tuple[str, ...], slots: int) -> Profile:
    """Return the profile of the rows in some arrays.

    Raises:
        InputError: arrays of other shapes or kinds, or rows that make no sense; names file and row.
    """
    try:
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in ("colocations", *MEASURES)}
        further = {n: np.asarray(stored[n], dtype=np.float64) for n in ("spread", *CONDITIONS) if n in stored}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an array holds what it should not ({error})") from None
    counts = checked_rows(path, arrays.pop("colocations"), arrays["rps"], slots, names)
    shapes = {
        "spread": counts.shape,
        "weight": (len(counts),),
        "circumstances": (len(counts), len(CIRCUMSTANCES)),
        "width": counts.shape,
    }
    for name, values in further.items():
        if values.shape != shapes[name]:
            raise InputError(f"{path}: {name} has shape {values.shape}, expected {shapes[name]}")
    if not ((weight := further.get("weight", np.ones(1))) > 0).all() or (weight > 1).any():
        raise InputError(f"{path}: a weight is not above 0 to 1")
    odd = [name for name in MEASURES if arrays[name].shape != counts.shape]
    if odd:
        raise InputError(f"{path}: {odd[0]} has shape {arrays[odd[0]].shape}, the counts {counts.shape}")
    ids = ColocationSpace(names, slots).index(counts)
    first = np.unique(ids, return_index=True)[1]
    refuse_rows(
        path, ~np.isin(np.arange(len(ids)), first), counts.astype(np.float64), "repeats an earlier row"
    )
    return Profile(names, slots, counts, **arrays, provenance={}, types={}, **further)


def _with_types(path: Path, profile: Profile, stored: Mapping[str, NDArray[Any]]) -> Profile:
    """Return the profile with those of the single node types that a file holds.

    Raises:
        InputError: an array is missing or of another shape, or rows make no sense; names file and row.
    """
    missing = [name for name in OF_TYPES if name not in stored]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing")
    try:
        types = [str(name) for name in stored["types"]]
        type_of, pace = np.asarray(stored["type_of"]), np.asarray(stored["type_pace"], dtype=np.float64)
        parts = {name: stored[f"type_{name}"] for name in ("colocations", *MEASURES, "spread")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: its node types lack an array, or one holds what it should not ({error})"
        ) from None
    check_names(types, f"{path}: type", LONGEST_HOST)
    rows = len(type_of)
    if pace.shape != (len(types), len(profile.apps)) or any(len(one) != rows for one in parts.values()):
        raise InputError(f"{path}: {rows} rows of {len(types)} node types do not belong to its other arrays")
    found = {}
    for t, name in enumerate(types):
        own = {part: values[type_of == t] for part, values in parts.items()}
        if not np.isfinite(np.asarray(own["spread"], dtype=np.float64)).any():
            del own["spread"]
        found[name] = replace(_rows_of(path, own, profile.apps, profile.slots), pace=pace[t])
    return replace(profile, types=found, pace=median_known(pace))


def refuse_raw(path: Path, profile: Profile) -> None:
    """Refuse a profile whose RPS are no shares of stand-alone.

    Raises:
        InputError: an application alone is not near 1; names file, application and RPS.
    """
    single = profile.colocations.sum(axis=1) == 1
    rows, columns = np.nonzero(profile.colocations[single])
    alone = profile.rps[single][rows, columns]
    odd = np.flatnonzero((alone < FAR[0]) | (alone > FAR[1]))
    if odd.size:
        app = profile.apps[columns[odd[0]]]
        raise InputError(
            f"{path}: {app} alone has an RPS of {alone[odd[0]]:g}: as a share of stand-alone it is near 1; "
            "`metis import-profile` divides the RPS of a CSV file"
        )
