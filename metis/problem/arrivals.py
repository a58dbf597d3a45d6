"""Containers that arrive one after another at a problem folder, and how each is placed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from metis.errors import InputError
from metis.files import written_whole
from metis.inputs.names import meant
from metis.inputs.quantities import BETWEEN
from metis.inputs.sheet import read_sheet
from metis.problem.counts import FloatArray, IntArray
from metis.problem.folders import APP, NODE, SHOWN
from metis.problem.statement import Statement
from metis.settings import settings

ARRIVALS, ARRIVES, LEAVES = "arrivals.csv", "arrives", "leaves"


@settings("arrivals")
class ArrivalsSettings:
    """How the containers of `arrivals.csv` are placed, each when it arrives and never moved.

    Attributes:
        policy: the node that a container gets: `room`: where least room is lost for containers like those
            that arrived so far; `best_fit`: where least is left; `fragmentation`: where least of the free
            devices becomes unusable for containers like those that arrived so far.
        staying: whether containers stay, whatever `leaves` says.
    """

    policy: Literal["room", "best_fit", "fragmentation"] = "room"
    staying: bool = False


@dataclass(frozen=True)
class Arrivals:
    """Containers in order of arrival.

    Attributes:
        app: number of the application of each, int [containers].
        arrives: when, in any unit of time, float64 [containers], ascending.
        leaves: when, float64 [containers]; infinite where it stays.
    """

    app: IntArray
    arrives: FloatArray
    leaves: FloatArray


def has_arrivals(folder: Path) -> bool:
    """Whether a problem folder states arrivals."""
    return (folder / ARRIVALS).exists()


def read_arrivals(folder: Path, statement: Statement) -> Arrivals:
    """Read `arrivals.csv` of a problem folder: `app`, `arrives`, and `leaves` where it has one.

    Rows of one time keep their order.

    Raises:
        InputError: not as described; names file, line and column.
    """
    sheet = read_sheet(folder / ARRIVALS)
    sheet.expect([APP, ARRIVES], [LEAVES])
    if statement.demand.sum() > statement.existing[:, 2].sum():
        raise InputError(f"{folder}: has {ARRIVALS}, which says what arrives; give every count of apps.csv 0")
    place = {app: i for i, app in enumerate(statement.apps)}
    for row, app in enumerate(sheet.texts(APP)):
        if app not in place:
            raise InputError(
                f"{sheet.place(row, APP)}: {app!a} is unknown; {meant(app, statement.apps[:SHOWN])}"
            )
    arrives = sheet.numbers([ARRIVES])[:, 0]
    blank = np.flatnonzero(np.isnan(arrives))
    if blank.size:
        raise InputError(f"{sheet.place(int(blank[0]), ARRIVES)}: is blank; give a time")
    leaves = sheet.numbers([LEAVES])[:, 0] if LEAVES in sheet.header else np.full(len(sheet), np.nan)
    leaves = np.where(np.isnan(leaves), np.inf, leaves)
    early = np.flatnonzero(leaves < arrives)
    if early.size:
        row = int(early[0])
        raise InputError(f"{sheet.place(row, LEAVES)}: {leaves[row]:g} is before it arrives")
    app_of = np.array([place[app] for app in sheet.texts(APP)], dtype=np.int64)
    order = np.argsort(arrives, kind="stable")
    return Arrivals(app_of[order], arrives[order], leaves[order])


def write_arrivals(folder: Path, statement: Statement, arrivals: Arrivals) -> None:
    """Write `arrivals.csv` of a problem folder.

    Raises:
        SurroundingsError: the file cannot be written.
    """
    lines = [f"{APP},{ARRIVES},{LEAVES}"]
    for app, arrives, leaves in zip(
        arrivals.app.tolist(), arrivals.arrives.tolist(), arrivals.leaves.tolist(), strict=True
    ):
        lines.append(f"{statement.apps[app]},{arrives:.15g},{'' if np.isinf(leaves) else f'{leaves:.15g}'}")
    _write(folder / ARRIVALS, lines)


def write_placed(
    path: Path, statement: Statement, arrivals: Arrivals, node: IntArray, devices: list[tuple[int, ...]]
) -> None:
    """Write where arrivals are placed as CSV: node, app, count (1), number of the arrival from 1, devices.

    Args:
        path: of the file.
        statement: the problem.
        arrivals: in order.
        node: of each, -1 where it found none, int [containers]; these are left out.
        devices: numbers of the devices of its node that each holds, from 0; all empty where there are none.

    Raises:
        SurroundingsError: the file cannot be written.
    """
    held = bool(statement.devices)
    lines = [f"{NODE},{APP},count,arrival{',devices' if held else ''}"]
    for i in np.flatnonzero(node >= 0).tolist():
        row = [statement.nodes[node[i]], statement.apps[arrivals.app[i]], "1", str(i + 1)]
        lines.append(",".join([*row, BETWEEN.join(map(str, devices[i]))] if held else row))
    _write(path, lines)


def _write(path: Path, lines: list[str]) -> None:
    with written_whole(path) as file:
        file.write("\n".join(lines).encode() + b"\n")
