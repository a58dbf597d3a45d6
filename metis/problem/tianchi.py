"""The container data that Alibaba published in 2018 (Tianchi), read as a problem.

Four CSV files without headers, in a folder or an archive: applications with curves of CPU and memory over 98
times, disk and three counted resources; machines; containers, of which some run already; rules of how many
of one application may be beside another.
"""

import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.inputs.documents import TEXT_BYTES, read_text
from metis.problem.counts import FloatArray, IntArray
from metis.problem.statement import Statement

KINDS = ("app_resources", "machine_resources", "instance_deploy", "app_interference")
WIDTHS = {"app_resources": 7, "machine_resources": 7, "instance_deploy": 3, "app_interference": 3}
CURVES, SINGLE = ("cpu", "memory"), ("disk", "P", "M", "PM")
Rows = list[list[str]]


def read_tianchi(source: Path) -> tuple[Statement, IntArray]:
    """Read the data, all containers to be placed anew, and where they run at first.

    Args:
        source: a folder with the four CSV files or their archive, or that archive.

    Returns:
        The problem, and rows of (node, application, count) of what runs at first, int [rows, 3].

    Raises:
        InputError: a file is missing or not as described; names it.
    """
    texts = dict(_texts(source))
    missing = [kind for kind in KINDS if kind not in texts]
    if missing:
        raise InputError(f"{source}: holds no file *{missing[0]}*.csv of the 2018 data")
    rows = {kind: _rows(source, kind, texts[kind]) for kind in KINDS}
    try:
        return _statement(rows)
    except (ValueError, KeyError) as error:
        raise InputError(f"{source}: is not the 2018 data as published ({error})") from None


def _statement(rows: dict[str, Rows]) -> tuple[Statement, IntArray]:
    apps = [row[0] for row in rows["app_resources"]]
    nodes = [row[0] for row in rows["machine_resources"]]
    app_of, node_of = ({name: i for i, name in enumerate(names)} for names in (apps, nodes))
    requests = np.array([_app(row) for row in rows["app_resources"]])
    times = (requests.shape[1] - len(SINGLE)) // len(CURVES)
    given: FloatArray = np.array([[float(value) for value in row[1:]] for row in rows["machine_resources"]])
    repeats = [times] * len(CURVES) + [1] * len(SINGLE)
    of = np.array([app_of[row[1]] for row in rows["instance_deploy"]])
    at_first = np.array(
        [(node_of[row[2]], app_of[row[1]]) for row in rows["instance_deploy"] if row[2]], dtype=np.int64
    ).reshape(-1, 2)
    pairs, counts = np.unique(at_first, axis=0, return_counts=True)
    beside = np.array(
        # of the application itself one more may be there than the file says
        [(app_of[a], app_of[b], int(most) + (a == b)) for a, b, most in rows["app_interference"]],
        dtype=np.int64,
    ).reshape(-1, 3)
    statement = Statement(
        apps=tuple(apps),
        demand=np.bincount(of, minlength=len(apps)).astype(np.int64),
        requests=requests,
        nodes=tuple(nodes),
        capacity=np.repeat(given, repeats, axis=1),
        dimensions=tuple(np.repeat([*CURVES, *SINGLE], repeats).tolist()),
        beside=beside,
        existing=np.zeros((0, 3), dtype=np.int64),
    )
    return statement, np.column_stack([pairs, counts])


def _app(row: list[str]) -> list[float]:
    curves = [float(value) for curve in row[1:3] for value in curve.split("|")]
    return [*curves, *map(float, row[3:])]


def _rows(source: Path, kind: str, text: str) -> Rows:
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    for line, row in enumerate(rows, 1):
        if len(row) != WIDTHS[kind]:
            raise InputError(f"{source}, {kind}, line {line}: has {len(row)} values, not {WIDTHS[kind]}")
    return rows


def _texts(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the kind and the text of each file."""
    if source.is_dir():
        for path in sorted(source.iterdir()):
            if path.suffix == ".zip":
                yield from _texts(path)
            elif kind := _kind(path.name):
                yield kind, read_text(path)
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                if kind := _kind(member.filename):
                    if member.file_size > TEXT_BYTES:
                        raise InputError(f"{source}: {member.filename} has more than {TEXT_BYTES:,} bytes")
                    yield kind, archive.read(member).decode()
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise InputError(f"{source}: cannot be read ({error})") from None


def _kind(name: str) -> str:
    return next((kind for kind in KINDS if kind in name and name.endswith(".csv")), "")
