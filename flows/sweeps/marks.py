"""Marks that the figures of sweeps share: boxes, means with their spread, published diamonds, notes."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd

from metis.wording import amount

Published = Mapping[str, Mapping[str, Sequence[float]]]
OPTIMUM = "optimum"
# light enough to be distinguished, dark enough to be read on white; in the order in which schedulers are met
COLOURS = ("#2f6db2", "#b2432f", "#3a8f5c", "#8a5fb0", "#c98a1b", "#4aa3a8", "#a0567c", "#666666")
BOX = "Box: middle half of the groups, line: median, whiskers: 5-95 %"
PUBLISHED = "diamond: published"
LETTERS_PER_INCH = 14  # of the line below a figure
MEAN = "Point: mean over groups, bar: 5-95 %"


def new_figure(panels: int, title: str, *, wide: float, stacked: bool = False) -> tuple[Any, Sequence[Any]]:
    """Return a figure with so many panels, side by side or stacked, and their axes."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, 7.5 if stacked else 4.8), layout="constrained")
    FigureCanvasSVG(figure)
    rows, columns = (panels, 1) if stacked else (1, panels)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=stacked).ravel()
    figure.suptitle(title, fontsize=12)
    for one in axes:
        one.grid(axis="y", color="#e5e5e5", linewidth=0.7)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def finish(
    figure: Any, legends: Sequence[Any], note: str, published: Published, how: str, *, outside: bool = False
) -> None:
    """Add legends, and the line below that says what is drawn.

    Args:
        figure: it all.
        legends: axes that get a legend.
        note: what a mark is, and of how many groups.
        published: drawn values; none leaves out what follows.
        how: to read the diamonds.
        outside: whether the legend stands right of the panels, whose marks leave no room.
    """
    for axes in legends:
        handles, labels = axes.get_legend_handles_labels()
        if handles and outside:
            figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right center")
        elif handles:
            axes.legend(frameon=False, fontsize=8)
    beside = f"; {PUBLISHED} ({how})" if published else ""
    letters = int(figure.get_figwidth() * LETTERS_PER_INCH)
    figure.supxlabel(fill(f"{note}{beside}", letters), fontsize=8, color="#555555")


def groups_of(results: pd.DataFrame) -> str:
    """Return how many groups there are, in words."""
    return amount(int(results["group"].nunique()), "group")


def best_first(results: pd.DataFrame) -> list[str]:
    """Return the schedulers, best mean value first."""
    return [
        str(name) for name in results.groupby("scheduler")["value"].mean().sort_values(ascending=False).index
    ]


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for every name."""
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def box(axes: Any, place: float, values: "np.ndarray[Any, np.dtype[np.float64]]", colour: str) -> None:
    """Draw a box at `place`."""
    drawn = axes.boxplot(
        [values], positions=[place], widths=0.7, whis=(5, 95), showfliers=False, patch_artist=True
    )
    for patch in drawn["boxes"]:
        patch.set(facecolor=colour, alpha=0.45, edgecolor=colour)
    for part in ("medians", "whiskers", "caps"):
        for line in drawn[part]:
            line.set_color("#111111" if part == "medians" else colour)


def means(
    axes: Any, rows: pd.DataFrame, x: str, y: str, label: str, colour: str, marker: str = "o", size: float = 5
) -> None:
    """Draw the mean at every x, and 5 to 95 % of the groups as a bar."""
    if rows.empty:
        return
    by = rows.assign(**{x: rows[x].astype(float)}).groupby(x)[y]
    mean = by.mean()
    spread = [mean - by.quantile(0.05), by.quantile(0.95) - mean]
    spread = [part.clip(lower=0) for part in spread]
    axes.errorbar(
        mean.index,
        mean,
        spread,
        fmt=f"{marker}-",
        color=colour,
        markersize=size,
        capsize=2,
        linewidth=1.4,
        elinewidth=0.8,
        label=label,
    )


def diamond(axes: Any, x: float, values: Sequence[float], colour: str) -> None:
    """Draw a published value, and its spread where it has one."""
    spread = [[values[0] - values[1]], [values[2] - values[0]]] if len(values) == 3 else None
    axes.errorbar(
        x,
        values[0],
        spread,
        fmt="D",
        color=colour,
        markerfacecolor="white",
        markersize=6,
        capsize=2,
        zorder=5,
    )


def published_at(
    axes: Any, published: Published, prefix: str, per: float, factor: float, colours: Mapping[str, str]
) -> None:
    """Draw the published values of settings `prefix` + number; x is the number over `per`."""
    for key, known in published.items():
        if key.startswith(prefix):
            for name, values in known.items():
                x = float(key.removeprefix(prefix)) / per
                diamond(axes, x, [factor * value for value in values], colours.get(name, "#111111"))


def line_at_optimum(axes: Any, results: pd.DataFrame, column: str) -> None:
    """Draw the mean of the optimum as a dashed line."""
    best = results.loc[results["scheduler"] == OPTIMUM, column]
    if len(best):
        axes.axhline(best.mean(), color="#999999", linewidth=1, linestyle="--", label="optimum")


def legend_above(axes: Any, names: Sequence[str], colours: Mapping[str, str]) -> None:
    """Draw the legend of the schedulers' colours above the axes."""
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=colours[name], alpha=0.45, edgecolor=colours[name], label=name) for name in names
    ]
    axes.legend(
        handles=patches,
        frameon=False,
        fontsize=8,
        ncols=min(4, len(names)),
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
    )
