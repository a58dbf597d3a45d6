"""Files of profiles, read in our own format or in the published one."""

import json
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from metis.errors import InputError
from metis.files import load_arrays
from metis.inputs.archives import array_names
from metis.inputs.sheet import SUFFIXES, is_sheet, read_sheet
from metis.measure.circumstances import KEPT as CIRCUMSTANCES
from metis.measure.profile import (
    CONDITIONS,
    FORMAT,
    MEASURES,
    Profile,
    checked_rows,
    profile_of_sheet,
    refuse_rows,
)
from metis.measure.published import is_published, read_published
from metis.problem.space import ColocationSpace

PROFILE_BYTES = 1 << 30  # a million co-locations of twenty applications
ARCHIVE = ".npz"
WORKBOOKS = (".xlsx", ".xls", ".ods")
FAR = (0.5, 2.0)  # of 1, which a container alone reaches by definition


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
    if not path.is_file():
        raise InputError(f"{path}: no such profile; give the path of an .npz or .csv file")
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
    known = ("format", "apps", "slots", "provenance", "colocations", *MEASURES, "spread", *CONDITIONS)
    stored = load_arrays(path, known, PROFILE_BYTES)
    if str(stored.get("format")) != FORMAT:
        raise InputError(f"{path}: neither a metis profile nor a published one (arrays {array_names(path)})")
    missing = [n for n in ("apps", "slots", "provenance", "colocations", *MEASURES) if n not in stored]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing")
    try:
        names = tuple(str(name) for name in stored["apps"])
        own_slots = int(stored["slots"])
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in ("colocations", *MEASURES)}
        provenance = dict(json.loads(str(stored["provenance"])))
        further = {n: np.asarray(stored[n], dtype=np.float64) for n in ("spread", *CONDITIONS) if n in stored}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an array holds what it should not ({error})") from None
    if apps is not None and apps != names:
        raise InputError(f"{path}: measured {list(names)}, but apps.names asks for {list(apps)}")
    counts = checked_rows(path, arrays.pop("colocations"), arrays["rps"], own_slots, names)
    shapes = {
        "spread": counts.shape,
        "weight": (len(counts),),
        "circumstances": (len(counts), len(CIRCUMSTANCES)),
    }
    for name, values in further.items():
        if values.shape != shapes[name]:
            raise InputError(f"{path}: {name} has shape {values.shape}, expected {shapes[name]}")
    if not ((weight := further.get("weight", np.ones(1))) > 0).all() or (weight > 1).any():
        raise InputError(f"{path}: a weight is not above 0 to 1")
    odd = [name for name in MEASURES if arrays[name].shape != counts.shape]
    if odd:
        raise InputError(f"{path}: {odd[0]} has shape {arrays[odd[0]].shape}, the counts {counts.shape}")
    ids = ColocationSpace(names, own_slots).index(counts)
    first = np.unique(ids, return_index=True)[1]
    refuse_rows(
        path, ~np.isin(np.arange(len(ids)), first), counts.astype(np.float64), "repeats an earlier row"
    )
    profile = Profile(names, own_slots, counts, **arrays, provenance=provenance, **further)
    return profile if slots is None else profile.on(slots)


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
