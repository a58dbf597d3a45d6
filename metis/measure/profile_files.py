"""Files of profiles, read in our own format or in the published one."""

import json
from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.files import load_arrays
from metis.measure.profile import FORMAT, MEASURES, Profile, checked_rows, refuse_rows
from metis.measure.published import is_published, read_published
from metis.problem.space import ColocationSpace


def load_profile(path: Path, apps: tuple[str, ...] | None = None, slots: int | None = None) -> Profile:
    """Read a profile in our own format or in the published one.

    Args:
        path: the `.npz` file.
        apps: names; for the published format, which has none. Ours must agree with them.
        slots: slots of a node; None for the file's own.

    Raises:
        InputError: unreadable, of another format, or with rows that make no sense; names file and row.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such profile; give the path of an .npz file")
    if is_published(path):
        return read_published(path, apps=apps, slots=slots)
    stored = load_arrays(path)
    if str(stored.get("format")) != FORMAT:
        raise InputError(f"{path}: neither a metis profile nor a published one (arrays {sorted(stored)})")
    missing = [n for n in ("apps", "slots", "provenance", "colocations", *MEASURES) if n not in stored]
    if missing:
        raise InputError(f"{path}: the array {missing[0]!r} is missing")
    try:
        names = tuple(str(name) for name in stored["apps"])
        own_slots = int(stored["slots"])
        arrays = {name: np.asarray(stored[name], dtype=np.float64) for name in ("colocations", *MEASURES)}
        provenance = dict(json.loads(str(stored["provenance"])))
        spread = np.asarray(stored["spread"], dtype=np.float64) if "spread" in stored else None
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: an array holds what it should not ({error})") from None
    if apps is not None and apps != names:
        raise InputError(f"{path}: measured {list(names)}, but apps.names asks for {list(apps)}")
    counts = checked_rows(path, arrays.pop("colocations"), arrays["rps"], own_slots, names)
    if spread is not None and spread.shape != counts.shape:
        raise InputError(f"{path}: spread has shape {spread.shape}, the counts {counts.shape}")
    odd = [name for name in MEASURES if arrays[name].shape != counts.shape]
    if odd:
        raise InputError(f"{path}: {odd[0]} has shape {arrays[odd[0]].shape}, the counts {counts.shape}")
    ids = ColocationSpace(names, own_slots).index(counts)
    first = np.unique(ids, return_index=True)[1]
    refuse_rows(
        path, ~np.isin(np.arange(len(ids)), first), counts.astype(np.float64), "repeats an earlier row"
    )
    profile = Profile(names, own_slots, counts, **arrays, provenance=provenance, spread=spread)
    return profile if slots is None else profile.on(slots)
