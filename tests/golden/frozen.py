"""Golden outputs: what the code gave when they were frozen, compared with what it gives now.

`METIS_FREEZE=1 python -m pytest tests/golden -p no:xdist` writes them anew; without it, tests only compare.
"""

import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

FOLDER = Path(__file__).resolve().parent
FREEZE = os.environ.get("METIS_FREEZE") == "1"
CLOSE = 1e-6  # relative, of floats on another machine
LEARNED = 0.01  # relative, of floats that come out of a training, on another machine
VOLATILE = frozenset(
    {"seconds", "cpu_seconds", "since", "log", "run", "runs", "bytes", "days", "path", "profile", "report"}
)
WIDTH = 100  # of a line of the files
MACHINE, PARTS = "machine", "parts"


def check(name: str, value: Any, *, learned: bool = False) -> None:
    """Compare `value` with the golden output called `name`; or write it, where METIS_FREEZE=1.

    On the machine of the file (see `fingerprint`) everything must be equal. Elsewhere floats may differ by
    `CLOSE`; of what is learned only floats and the structure count, within `LEARNED`.

    Args:
        name: `file/part`; the part is compared with that part of `file.json`.
        value: what JSON can hold, numpy arrays and numbers included.
        learned: whether it comes out of a training or another search that rounding may send elsewhere.
    """
    file, _, part = name.partition("/")
    path, plain = FOLDER / f"{file}.json", as_plain(value)
    if FREEZE:
        _write(path, part, plain)
        return
    assert path.is_file(), f"{path.name} is missing: freeze it with METIS_FREEZE=1"
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert part in stored[PARTS], f"{path.name} has no part {part!r}: freeze it with METIS_FREEZE=1"
    same = stored[MACHINE] == fingerprint()
    found = (
        []
        if same and plain == stored[PARTS][part]
        else list(differences(stored[PARTS][part], plain, same=same, learned=learned))
    )
    assert not found, f"{name} differs from what was frozen:\n" + "\n".join(found[:12])


def check_text(file: str, text: str) -> None:
    """Compare `text` with the golden file called `file`; or write it, where METIS_FREEZE=1."""
    path = FOLDER / file
    if FREEZE:
        path.write_text(text, encoding="utf-8")
    assert path.is_file(), f"{file} is missing: freeze it with METIS_FREEZE=1"
    assert text == path.read_text(encoding="utf-8"), f"{file} differs from what was frozen"


def differences(
    frozen: Any, now: Any, where: str = "", *, same: bool = True, learned: bool = False
) -> Iterator[str]:
    """What differs between two plain values, a line each.

    Args:
        frozen: the golden value.
        now: the value of today.
        where: path to them, for the lines.
        same: whether both come from one machine: then floats must be equal.
        learned: see `check`.
    """
    if isinstance(frozen, dict) and isinstance(now, dict):
        for key in frozen.keys() ^ now.keys():
            yield f"{where}.{key}: {'is gone' if key in frozen else 'is new'}"
        for key in frozen.keys() & now.keys():
            yield from differences(frozen[key], now[key], f"{where}.{key}", same=same, learned=learned)
    elif isinstance(frozen, list) and isinstance(now, list):
        if len(frozen) != len(now):
            if same or not learned:
                yield f"{where}: {len(frozen)} entries were frozen, now there are {len(now)}"
            return
        for i, (before, after) in enumerate(zip(frozen, now, strict=True)):
            yield from differences(before, after, f"{where}[{i}]", same=same, learned=learned)
    elif not _alike(frozen, now, same=same, learned=learned):
        yield f"{where}: {frozen!r} was frozen, now it is {now!r}"


def _alike(frozen: Any, now: Any, *, same: bool, learned: bool) -> bool:
    if type(frozen) is not type(now):
        return False
    if same or frozen == now:
        return bool(frozen == now)
    if isinstance(frozen, float):
        share = LEARNED if learned else CLOSE
        return bool(abs(frozen - now) <= share * max(abs(frozen), abs(now)))
    return learned and not isinstance(frozen, bool)


def as_plain(value: Any) -> Any:
    """`value` as dicts with text as keys, lists, text, numbers, booleans and None; NaN is the text `nan`."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return as_plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [as_plain(one) for one in value]
    if isinstance(value, np.generic):
        return as_plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value


def stable(value: Any, places: Mapping[str, str] | None = None) -> Any:
    """`value` without what differs from run to run: `VOLATILE` keys, ids and paths.

    Args:
        value: a JSON document.
        places: text -> what stands in its place, for instance the test's folder.
    """
    if isinstance(value, Mapping):
        kept = {key: one for key, one in value.items() if key not in VOLATILE}
        return {key: stable(one, places) for key, one in kept.items()}
    if isinstance(value, list):
        return [stable(one, places) for one in value]
    if isinstance(value, str):
        for text, instead in (places or {}).items():
            value = value.replace(text, instead)
        return re.sub(r"\b[0-9a-f]{8,64}\b", "ID", value)
    return value


@cache
def fingerprint() -> str:
    """What floats depend on beside the code: numpy, its BLAS, the kind of processor."""
    configuration: Any = np.show_config(mode="dicts")
    blas = configuration["Build Dependencies"]["blas"]
    # numpy's own library only: others join when solvers are imported
    cores = {str(one.get("architecture")) for one in threadpool_info() if "numpy" in one["filepath"]}
    vectors = configuration["SIMD Extensions"].get("found", ["none"])[-1]
    return (
        f"numpy {np.__version__}, {blas['name']} {blas['version']} {' '.join(sorted(cores))}, "
        f"{platform.machine()} {vectors}"
    )


def _write(path: Path, part: str, value: Any) -> None:
    parts = {}
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        parts = stored[PARTS] if stored[MACHINE] == fingerprint() else {}
    parts[part] = value
    whole = {MACHINE: fingerprint(), PARTS: dict(sorted(parts.items()))}
    path.write_text(_text(whole) + "\n", encoding="utf-8")


def _text(value: Any, depth: int = 0) -> str:
    """JSON with a line per entry, but what fits a line, and lists of numbers or text, on one."""
    whole = json.dumps(value, ensure_ascii=False)
    nested = isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(one, (dict, list)) for one in value)
    )
    if not nested or len(whole) + depth <= WIDTH:
        return whole
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_text(one, depth + 1)}" for key, one in value.items()]
        left, right = "{}"
    else:
        parts, left, right = [_text(one, depth + 1) for one in value], "[", "]"
    inner = ",\n".join(" " * (depth + 1) + part for part in parts)
    return f"{left}\n{inner}\n{' ' * depth}{right}"
