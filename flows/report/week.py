"""A simulated week, as a figure and as a section of the page: value, moves and SLO of policies by hour."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flows.report.data import ReportSection
from flows.report.elements import html_table, svg_of

DAY = 24
COLOURS = ("#999999", "#7a5195", "#2f6db2", "#3c8d5a", "#b2432f", "#000000")


def week_figure(document: Mapping[str, Any]) -> bytes:
    """SVG: share of the bound, and moves so far, of every policy by hour; below, containers and nodes.

    Args:
        document: as `metis run experiment=week output=json` prints it under `week`.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 7.0), layout="constrained")
    FigureCanvasSVG(figure)
    shares, moves, runs = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 1))
    days = np.arange(document["hours"]) / DAY
    for (name, found), colour in zip(document["policies"].items(), _colours(document), strict=True):
        by_hour = found["by_hour"]
        shares.plot(days, 100 * np.array(by_hour["share"]), color=colour, linewidth=1.2, label=name)
        moves.plot(days, np.cumsum(by_hour["moves"]), color=colour, linewidth=1.2)
    shares.set_ylabel("% of the bound")
    figure.legend(frameon=False, fontsize=9, ncols=len(document["policies"]), loc="outside upper center")
    moves.set_ylabel("moves so far")
    moves.set_ylim(bottom=0)
    runs.plot(days, document["containers"], color="#2f6db2", linewidth=1.2)
    runs.set_ylabel("containers", color="#2f6db2")
    runs.set_ylim(0, 1.15 * max(document["containers"]))
    up = runs.twinx()
    up.step(days, document["nodes"], where="post", color="#b2432f", linewidth=1.0)
    up.set_ylabel("nodes", color="#b2432f")
    up.set_ylim(0, 1.15 * max(document["nodes"]))
    runs.set_xlabel("days")
    return svg_of(figure)


def _colours(document: Mapping[str, Any]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(document["policies"]))]


def week_section(document: Mapping[str, Any]) -> ReportSection:
    """The section of the page on a simulated week."""
    names = ("policy", "mean share", "worst hour", "moves", "loops", "at the SLO")
    rows = [
        (
            name,
            f"{one['share']:.2%}",
            f"{one['share_worst']:.2%}",
            f"{one['moves']}",
            f"{one['loops']}",
            f"{one['above_slo']:.1%}",
        )
        for name, one in document["policies"].items()
    ]
    text = (
        f"<p>{document['hours']} hours, {np.mean(document['containers']):.0f} containers in the mean; shares "
        "of what no placement exceeds.</p>"
    )
    table = html_table(names, rows, named=True)
    return ReportSection("A week", text + table, week_figure(document).decode())
