"""Heat maps of placements, nodes x applications."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from flows.report.data import ReportData
from metis.problem.counts import describe_colocation

CELLS = 90_000  # drawn in all maps together, so that the page stays below 1.5 MB
COMMONEST = 6
DIGIT_WIDTH = 3.0  # per cent of the width that a digit needs on a telephone


@dataclass(frozen=True)
class HeatRow:
    """One application: its name, its SVG and its containers in all."""

    label: str
    svg: Markup
    total: int


@dataclass(frozen=True)
class HeatMap:
    """One scheduler's placement.

    Attributes:
        scheduler: whose placement it is.
        nodes: nodes in all.
        drawn: nodes drawn; fewer where there are too many for a page.
        free: nodes without a container.
        colocations: distinct co-locations in use.
        rows: one per application, and a last one for all containers of a node.
        commonest: nodes and the co-location they hold, commonest first.
    """

    scheduler: str
    nodes: int
    drawn: int
    free: int
    colocations: int
    rows: tuple[HeatRow, ...]
    commonest: tuple[tuple[int, str], ...]


def heat_maps(data: ReportData, order: tuple[str, ...]) -> tuple[HeatMap, ...]:
    """A heat map per scheduler that has a placement, in `order`, all in the same shades."""
    names = [name for name in order if name in data.placements]
    if not names:
        return ()
    share = CELLS // (len(names) * (len(data.apps) + 1))
    most = most_alike(data)
    return tuple(_heat_map(name, np.asarray(data.placements[name]), data.apps, most, share) for name in names)


def most_alike(data: ReportData) -> int:
    """The most containers on one node, which get the darkest shade; at least 1."""
    return max(1, *(int(np.asarray(placement).sum(axis=1).max()) for placement in data.placements.values()))


def shade(count: int, most: int) -> float:
    """Opacity of `count` containers: 0 for none, then evenly from faint to full."""
    return 0.0 if count <= 0 else round(0.16 + 0.84 * (count - 1) / max(1, most - 1), 2)


def node_order(placement: NDArray[Any]) -> NDArray[np.int64]:
    """Nodes so that alike co-locations stand together: by first application, then second, free last."""
    return np.asarray(np.lexsort(-placement.T[::-1]))


def _heat_map(name: str, placement: NDArray[Any], apps: tuple[str, ...], most: int, share: int) -> HeatMap:
    ordered = placement[node_order(placement)]
    drawn = ordered[np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), max(1, share))).astype(int))]
    columns = np.column_stack([drawn, drawn.sum(axis=1)])
    totals = [*placement.sum(axis=0), placement.sum()]
    rows = [
        HeatRow(label, _strip(column, most), int(total))
        for label, column, total in zip([*apps, "all"], columns.T, totals, strict=True)
    ]
    held, nodes = np.unique(placement[placement.any(axis=1)], axis=0, return_counts=True)
    first = np.argsort(-nodes, kind="stable")[:COMMONEST]
    commonest = tuple((int(nodes[i]), describe_colocation(held[i], apps)) for i in first)
    free = int((~placement.any(axis=1)).sum())
    return HeatMap(name, len(placement), len(drawn), free, len(held), tuple(rows), commonest)


def _strip(counts: NDArray[Any], most: int) -> Markup:
    """One row of cells: a path per count, runs of equal counts as one rectangle, digits where they fit."""
    starts = np.flatnonzero(np.r_[True, counts[1:] != counts[:-1]])
    widths = np.diff(np.r_[starts, len(counts)])
    held = counts[starts]
    shapes = []
    for count in np.unique(held[held > 0]):
        mine = held == count
        path = "".join(f"M{s} 0h{w}v1h-{w}z" for s, w in zip(starts[mine], widths[mine], strict=True))
        opacity = shade(int(count), most)
        shapes.append(Markup('<path fill-opacity="{}" d="{}"/>').format(opacity, path))
    cells = Markup('<svg class="cells" viewBox="0 0 {} 1" preserveAspectRatio="none">{}</svg>').format(
        len(counts), Markup("").join(shapes)
    )
    share = widths * 100 / len(counts)
    digits = [
        Markup('<text class="digit{}" x="{:.2f}%" y="50%">{}</text>').format(
            " on" if shade(int(count), most) > 0.55 else "",
            (start + width / 2) * 100 / len(counts),
            int(count),
        )
        for start, width, count, wide in zip(starts, widths, held, share >= DIGIT_WIDTH, strict=True)
        if wide and count > 0
    ]
    return cells + Markup("").join(digits)
