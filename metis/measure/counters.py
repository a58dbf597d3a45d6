"""Counters of containers in service over time, as they are scraped, and the readings that they amount to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from metis.errors import InputError
from metis.inputs.names import check_names
from metis.inputs.sheet import read_sheet
from metis.measure.readings import BLOCK, Readings, work_seconds
from metis.problem.counts import FloatArray, IntArray

TIME, NODE, APP, SLOT = "time", "node", "app", "slot"
REQUESTS, SECONDS, WORK = "requests", "seconds", "work"


class ContainerName(NamedTuple):
    """A container, as its counters' labels name it."""

    node: str
    app: str
    slot: str


@dataclass(frozen=True)
class Counters:
    """What one container counted, from its start.

    Attributes:
        time: of the samples, Unix seconds, ascending, float64 [n].
        requests: requests that were served, [n].
        seconds: until they were, waiting included, [n].
        work: of work on them, waiting excluded, [n]; None where it is not counted.
    """

    time: FloatArray
    requests: FloatArray
    seconds: FloatArray
    work: FloatArray | None = None


def increments(values: FloatArray) -> FloatArray:
    """What a counter [n] grew by from sample to sample, [n - 1]; where it fell, it began at 0 again."""
    grown = np.diff(values)
    return np.where(grown < 0, values[1:], grown)


def read_counters(path: Path) -> dict[ContainerName, Counters]:
    """Read counters from a table.

    A row is a sample: `time` (Unix seconds), `node`, `app`, `slot` (which of an application's containers on
    the node; may be left out where there is one), and as counted from the container's start `requests`,
    `seconds` until they were served, and where it is counted `work`, those of them without waiting.

    Raises:
        InputError: unreadable, a column missing or unknown, no number, or a sample twice; names the line.
    """
    sheet = read_sheet(path)
    sheet.expect([TIME, NODE, APP, REQUESTS, SECONDS], [SLOT, WORK])
    counted = [name for name in (TIME, REQUESTS, SECONDS, WORK) if name in sheet.header]
    numbers = sheet.numbers(counted)
    for i, j in np.argwhere(~np.isfinite(numbers) | (numbers < 0))[:1].tolist():
        raise InputError(f"{sheet.place(i, counted[j])}: give a number of 0 or more")
    slots = sheet.texts(SLOT) if SLOT in sheet.header else [""] * len(sheet)
    rows: dict[ContainerName, list[int]] = {}
    for i, names in enumerate(zip(sheet.texts(NODE), sheet.texts(APP), slots, strict=True)):
        rows.setdefault(ContainerName(*names), []).append(i)
    found = {}
    for one, mine in rows.items():
        values = numbers[mine][np.argsort(numbers[mine, 0], kind="stable")]
        if (twice := np.flatnonzero(np.diff(values[:, 0]) == 0)).size:
            raise InputError(
                f"{path}: {one.app} on {one.node} has two samples at time {values[twice[0], 0]:.0f}; "
                f"distinguish containers by a column {SLOT!r}"
            )
        found[one] = Counters(*values.T)
    return found


def last_hours(counters: Mapping[ContainerName, Counters], hours: float) -> dict[ContainerName, Counters]:
    """Return the samples of the last hours before the last of all; containers without any are left out."""
    end = max((float(one.time[-1]) for one in counters.values()), default=0.0)
    found = {}
    for name, one in counters.items():
        late = one.time >= end - hours * 3600
        if late.any():
            work = None if one.work is None else one.work[late]
            found[name] = Counters(one.time[late], one.requests[late], one.seconds[late], work)
    return found


def readings_of(
    counters: Mapping[ContainerName, Counters],
    interval: float,
    apps: Sequence[str] | None = None,
    source: str = "metrics",
) -> Readings:
    """What the counters of containers amount to, by node and interval.

    A container is on its node from its first sample to its last, less pauses of over half an hour. An
    interval in which one of a node's containers was not sampled is left out for that node.

    Args:
        counters: by container.
        interval: seconds.
        apps: names of the applications in the order wanted; None for those that are there, by name.
        source: as errors call it.

    Raises:
        InputError: no counters, an application that `apps` lacks, fewer than two samples of all, or the
            samples of a node at other times than those of the others.
    """
    if not counters:
        raise InputError(f"{source}: has no container in service")
    names = tuple(apps) if apps is not None else tuple(sorted({one.app for one in counters}))
    check_names(names, f"{source}: application")
    for one in counters:
        if one.app not in names:
            raise InputError(f"{source}: {one.app} on {one.node} is not among apps.names {', '.join(names)}")
    _refuse_clocks(counters, source)
    nodes = tuple(sorted({one.node for one in counters}))
    begin = min(float(one.time[0]) for one in counters.values())
    parts = [
        _sampled(counted, interval, begin, nodes.index(one.node), names.index(one.app))
        for one, counted in counters.items()
        if len(counted.time) > 1
    ]
    if not parts:
        raise InputError(f"{source}: one sample of each container shows no rate; give two or more")
    cells, values = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    return _by_node(cells, values, names, nodes, interval, begin)


def _sampled(
    counted: Counters, interval: float, begin: float, node: int, app: int
) -> tuple[IntArray, FloatArray]:
    """One container: node, interval, application; requests per second, log-seconds (NaN: unknown)."""
    gaps = np.diff(counted.time)
    served = increments(counted.requests)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = served / gaps
        response = increments(counted.seconds) / served
        work = work_seconds(response, rate) if counted.work is None else increments(counted.work) / served
        logs = np.where((served > 0) & (work > 0), np.log(work), np.nan)
    first = np.floor((counted.time[:-1] - begin) / interval + 0.5).astype(np.int64)
    last = np.floor((counted.time[1:] - begin) / interval + 0.5).astype(np.int64)
    there = gaps <= max(BLOCK, interval)
    steps = np.where(there, np.maximum(last - first, 1), 0)
    at = np.repeat(first, steps) + np.concatenate([np.arange(n) for n in steps.tolist()] or [first[:0]])
    # over a pause longer than an interval only the mean is known: it is there, unread
    known = np.repeat(gaps < 1.5 * interval, steps)
    values = np.stack([np.where(known, np.repeat(each, steps), np.nan) for each in (rate, logs)], axis=1)
    cells = np.stack([np.full(len(at), node), at, np.full(len(at), app)], axis=1)
    kept = np.unique(at, return_index=True)[1]
    return cells[kept], values[kept]


def _by_node(
    cells: IntArray,
    values: FloatArray,
    apps: tuple[str, ...],
    nodes: tuple[str, ...],
    interval: float,
    begin: float,
) -> Readings:
    """Samples of containers, gathered by node and interval."""
    keys, row = np.unique(cells[:, :2], axis=0, return_inverse=True)
    row, shape = row.ravel(), (len(keys), len(apps))
    place = (row, cells[:, 2])
    counts, sums, logs, worked = (
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape),
        np.zeros(shape),
        np.zeros(shape),
    )
    np.add.at(counts, place, 1)
    np.add.at(sums, place, values[:, 0])  # NaN where one was not read
    known = np.isfinite(values[:, 1])
    np.add.at(logs, place, np.where(known, values[:, 1], 0.0))
    np.add.at(worked, place, known)
    rate = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    seconds = np.where(worked > 0, np.exp(logs / np.maximum(worked, 1)), np.nan)
    whole = ~((counts > 0) & np.isnan(rate)).any(axis=1)
    time = np.asarray(begin + keys[whole, 1] * interval, dtype=np.float64)
    return Readings(apps, keys[whole, 0], time, counts[whole], rate[whole], seconds[whole], interval, nodes)


def _refuse_clocks(counters: Mapping[ContainerName, Counters], source: str) -> None:
    """Refuse a node whose samples lie before or after those of the others: its clock differs, or its day."""
    spans: dict[str, tuple[float, float]] = {}
    for one, counted in counters.items():
        low, high = spans.get(one.node, (np.inf, -np.inf))
        spans[one.node] = (min(low, float(counted.time[0])), max(high, float(counted.time[-1])))
    begin, end = np.median(list(spans.values()), axis=0)
    for node, (low, high) in spans.items():
        if high < begin or low > end:
            off = begin - high if high < begin else low - end
            side = "before" if high < begin else "after"
            raise InputError(
                f"{source}: the samples of {node} lie {off:.0f} s {side} those of the others: "
                "its clock differs; set it, or leave the node out"
            )
