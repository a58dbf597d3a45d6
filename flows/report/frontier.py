"""The frontier of moves, as a figure and as a section of the page: what each number of moves reaches."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from flows.report.data import ReportSection
from flows.report.elements import html_table, svg_of
from metis.operate.rebalance import shown_points
from metis.wording import amount

VALUE, PRICE, GREY = "#2f6db2", "#b2432f", "#999999"


def frontier_figure(document: Mapping[str, Any]) -> bytes:
    """SVG: value and bound against moves, the proposed number marked; the price of a move beside.

    Args:
        document: of a frontier, or of one plan, as `metis rebalance output=json` prints it.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    points: Sequence[Mapping[str, Any]] = document.get("frontier", [document])
    moves = [point["moves"] for point in points]
    figure = Figure(figsize=(10.0, 4.0), layout="constrained")
    FigureCanvasSVG(figure)
    values, prices = figure.subplots(1, 2)
    values.axhline(document["before"]["value"], color=GREY, linewidth=0.8, linestyle="--", label="what runs")
    values.plot(
        moves, [point["bound"] for point in points], color=GREY, linewidth=3, label="at most (proven)"
    )
    values.plot(moves, [point["value"] for point in points], "o-", color=VALUE, markersize=4, label="plans")
    if "knee" in document:
        values.axvline(document["knee"]["moves"], color=PRICE, linewidth=0.8, label="proposed")
        prices.axvline(document["knee"]["moves"], color=PRICE, linewidth=0.8)
    values.set_xlabel("moves")
    values.set_ylabel(f"value ({document['objective']})")
    values.legend(frameon=False, fontsize=9)
    prices.step(moves, [point["price"] for point in points], where="post", color=VALUE)
    prices.set_xlabel("moves")
    prices.set_ylabel("price of a move")
    prices.set_ylim(bottom=0)
    return svg_of(figure)


def frontier_section(document: Mapping[str, Any]) -> ReportSection:
    """The section of the page on moves."""
    points: Sequence[Mapping[str, Any]] = document.get("frontier", [document])
    before = document["before"]
    text = f"<p>What runs is worth {before['value']:.4f} ({before['rps']:.4f} mean RPS)."
    if "knee" in document:
        knee = document["knee"]
        text += f" Proposed: {amount(knee['moves'], 'move')}. {escape(knee['why'].capitalize())}."
    proposed = [i for i, one in enumerate(points) if one["moves"] == document.get("knee", {}).get("moves")]
    shown, ends = shown_points(points, min(proposed, default=0))
    if ends:
        text += f" {escape(ends)}."
    names = ("moves", "value", "at most", "gap", "price", "waves")
    rows = [
        (
            f"{one['moves']}",
            f"{one['value']:.4f}",
            f"{one['bound']:.4f}",
            f"{one['gap']:.3%}",
            f"{one['price']:.3g}",
            f"{len(one['waves'])}",
        )
        for one in points[:shown]
    ]
    table = html_table(names, rows, named=True)
    return ReportSection("Few moves", f"{text}</p>{table}", frontier_figure(document).decode())
