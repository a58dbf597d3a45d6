"""The page of a trial: a table, every round as a figure, and what was predicted beside what was measured."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from flows.report.elements import COLOURS, html_table, svg_of
from metis.wording import amount

HERE = Path(__file__).parent
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def trial_page(found: Mapping[str, Any]) -> str:
    """Return the page as HTML: one file that loads nothing else and runs no script.

    Args:
        found: as `metis trial output=json` prints it.
    """
    from flows.report.page import inline_svg

    title = f"Schedulers tried beside {found['beside']}"
    style = (HERE / "page.css").read_text(encoding="utf-8")
    figure = inline_svg(trial_figure(found).decode())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{style}</style></head>\n"
        f"<body><header><h1>{escape(title)}</h1><p class='subtitle'>{_subtitle(found)}</p></header>\n"
        f"<main>{_table(found)}<figure>{figure}</figure>{_placements(found)}</main></body></html>\n"
    )


def trial_figure(found: Mapping[str, Any]) -> bytes:
    """SVG: what each placement served in every round, and its paired difference with the interval."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    FigureCanvasSVG(figure)
    rounds, beside = figure.subplots(1, 2)
    for i, name in enumerate(found["by_round"][0] if found["by_round"] else ()):
        values = [float("nan") if row[name] is None else row[name] for row in found["by_round"]]
        numbers = range(1, len(values) + 1)
        rounds.plot(
            numbers, values, "o-", color=COLOURS[i % len(COLOURS)], linewidth=1.2, markersize=4, label=name
        )
    rounds.set_xlabel("round")
    rounds.set_ylabel("mean RPS, 1 is alone on a node")
    rounds.legend(frameon=False, fontsize=9)
    others = [row for row in found["schedulers"] if row["difference"]]
    beside.axvline(0, color="#999999", linewidth=0.8)
    for i, row in enumerate(others):
        _errorbar(beside, row["difference"], i + 0.1, "#2f6db2", "o", "measured" if not i else None)
        if predicted := row.get("predicted_difference"):
            _errorbar(beside, predicted, i - 0.1, "#b2432f", "s", "predicted" if not i else None)
    beside.set_yticks(range(len(others)), [row["scheduler"] for row in others])
    beside.set_ylim(-0.6, max(len(others) - 0.4, 0.6))
    beside.set_xlabel(f"mean RPS more than {found['beside']}, 95 % interval")
    beside.legend(frameon=False, fontsize=9)
    return svg_of(figure)


def _errorbar(
    axes: Any, one: Mapping[str, Any], at: float, colour: str, mark: str, label: str | None
) -> None:
    if one["mean"] is not None:
        half = one["half_width"] or 0.0
        axes.errorbar(one["mean"], at, xerr=half, fmt=mark, color=colour, capsize=3, label=label)


def _subtitle(found: Mapping[str, Any]) -> str:
    nodes, rounds = amount(len(found["nodes"]), "node"), amount(found["rounds"], "round")
    return (
        f"{nodes}, {rounds} in {found['seconds']:.0f} s. RPS are shares of what an application "
        "serves alone on a node; intervals are paired by round and hold with 95 %; a tie where they hold 0."
    )


def _table(found: Mapping[str, Any]) -> str:
    headings = ("scheduler", "mean RPS", f"more than {found['beside']}", "", "predicted", "predicted more")
    rows = [
        (
            row["scheduler"],
            _words(row["rps"], "{:.4f}"),
            _words(row["difference"], "{:+.4f}"),
            "tie" if (row["difference"] or {}).get("tie") else "",
            _words(row.get("predicted"), "{:.4f}"),
            _words(row.get("predicted_difference"), "{:+.4f}"),
        )
        for row in found["schedulers"]
    ]
    text = html_table(headings, rows, named=True)
    if covered := found["coverage"]:
        text += (
            f"<p>The predicted {covered['level']:.0%} intervals hold {covered['held']} of {covered['of']} "
            "RPS that were measured.</p>"
        )
    if alone := found["alone"]:
        units = [
            (app, f"{found['units'][app]:.4g}", str(one["runs"]), f"{one['error']:.1%}")
            for app, one in alone.items()
        ]
        text += "<h2>What counts as 1</h2>"
        text += html_table(("application", "alone, a second", "runs", "standard error"), units, named=True)
    return text


def _placements(found: Mapping[str, Any]) -> str:
    rows = [
        (row["scheduler"], *(_held(counts, found["apps"]) for counts in row["placement"]))
        for row in found["schedulers"]
    ]
    return "<h2>Placements</h2>" + html_table(("scheduler", *found["nodes"]), rows, named=True)


def _held(counts: Sequence[int], apps: Sequence[str]) -> str:
    return " + ".join(f"{count} {app}" for count, app in zip(counts, apps, strict=True) if count)


def _words(one: Mapping[str, Any] | None, form: str) -> str:
    if one is None or one["mean"] is None:
        return ""
    half = one["half_width"]
    return form.format(one["mean"]) + ("" if half is None else f" ± {half:.4f}")
