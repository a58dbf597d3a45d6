"""A placement as one picture, applications x nodes, for the artifacts of an MLflow run."""

from xml.sax.saxutils import escape

import numpy as np

from flows.report.heatmap import node_order, shade
from metis.problem.counts import IntArray
from metis.wording import amount

WIDTH = 960  # of the cells, px
CELL = 22
MARGIN = 120  # for the names of the applications
TOP = 44
DIGITS = 100  # most nodes whose counts are also written out
COLOUR = "#1f5fa8"


def placement_svg(placement: IntArray, apps: tuple[str, ...], title: str) -> bytes:
    """The placement int [nodes, apps] as SVG: a row per application, alike nodes side by side.

    The darker a cell, the more containers of the application on the node.
    """
    ordered = placement[node_order(placement)]
    most = max(1, int(ordered.max(initial=0)))
    width = WIDTH / max(1, len(ordered))
    height = TOP + CELL * len(apps) + 16
    rows = [_row(ordered[:, i], i, name, most, width) for i, name in enumerate(apps)]
    free = int((~placement.any(axis=1)).sum())
    held = f"{amount(int(placement.sum()), 'container')} on {amount(len(placement), 'node')}"
    label = f"{title}: {held}, {free} of them free"
    whole = MARGIN + WIDTH + 50
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" '
        f'width="{whole}" height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>'
        f'<text x="8" y="24" font-size="14">{escape(label)}</text>{"".join(rows)}</svg>\n'
    ).encode()


def _row(counts: IntArray, index: int, name: str, most: int, width: float) -> str:
    """One application: its name, runs of equal counts as one rectangle each, and its containers in all."""
    top = TOP + CELL * index
    drawn = [f'<text x="8" y="{top + 15}">{escape(name)}</text>']
    starts = np.flatnonzero(np.r_[True, counts[1:] != counts[:-1]])
    for start, end in zip(starts, [*starts[1:], len(counts)], strict=True):
        count, at = int(counts[start]), MARGIN + start * width
        drawn.append(
            f'<rect x="{at:.2f}" y="{top}" width="{(end - start) * width:.2f}" height="{CELL - 2}" '
            f'fill="{COLOUR}" fill-opacity="{max(shade(count, most), 0.04)}"/>'
        )
        if count and len(counts) <= DIGITS:
            ink = "#fff" if shade(count, most) > 0.55 else "#222"
            middle = at + (end - start) * width / 2
            drawn.append(
                f'<text x="{middle:.2f}" y="{top + 14}" font-size="10" fill="{ink}" '
                f'text-anchor="middle">{count}</text>'
            )
    drawn.append(f'<text x="{MARGIN + WIDTH + 8}" y="{top + 15}">{int(counts.sum())}</text>')
    return "".join(drawn)
