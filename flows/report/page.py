"""The report page: figures, tables and words in one HTML file that loads nothing else."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.report import figures, words
from flows.report.data import OPTIMUM, ReportData, slo_columns, slo_level, summarise
from flows.report.heatmap import heat_maps, most_alike, shade
from metis.files import written_whole

HERE = Path(__file__).parent
# of middling lightness, so that each stands out from both white and black
PALETTE = (
    *("#3b7dd8", "#d9722e", "#2f9e6e", "#c44e8a", "#8a6fd1", "#a3822b", "#2a9bb0", "#d0524f"),
    *("#7a8f2a", "#b06fc0", "#5b8c85", "#a8694a", "#5570b8", "#c08a1e", "#85858f"),
)


@dataclass(frozen=True)
class Cell:
    """A table cell: what is shown, and the number it sorts by (None for unknown)."""

    text: str
    sort: float | None


def render_report(data: ReportData) -> str:
    """The page as HTML: one file, no network, and no script but our own.

    A content security policy admits our script by its digest, so that markup in a name or in a section
    stays inert even where it should slip through.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    order = data.schedulers
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    maps = heat_maps(data, order)
    best = words.best_rival(data.results)
    header, rows = _table(data.results)
    most = most_alike(data) if maps else 1
    return environment.get_template("page.html.j2").render(
        data=data,
        script=Markup(script),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'",
        headline=words.headline(data.results),
        header=header,
        rows=rows,
        colours=_colours(order),
        figures=_figures(data, order),
        maps=maps,
        chosen=next((m.scheduler for m in maps if m.scheduler == best), maps[0].scheduler if maps else ""),
        shades=[(count, shade(count, most)) for count in range(most + 1)],
        sections=[(s.title, Markup(s.html), inline_svg(s.figure_svg)) for s in data.sections],
    )


def write_report(data: ReportData, path: Path) -> None:
    """Write the page to `path`, whole or not at all.

    Raises:
        SurroundingsError: the disk is full or the folder cannot be written.
    """
    page = render_report(data).encode("utf-8")
    with written_whole(path) as file:
        file.write(page)


def inline_svg(text: str | None) -> Markup | None:
    """An SVG document as an element: without XML prolog, doctype and metadata, which HTML does not know."""
    if text is None:
        return None
    element = text[max(0, text.find("<svg")) :]
    return Markup(re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL))


def _colours(order: Sequence[str]) -> dict[str, str]:
    """Scheduler -> colour, the same in every figure; the optimum has none and is drawn like text."""
    names = sorted(name for name in order if name != OPTIMUM)
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)} | {OPTIMUM: "var(--ink)"}


def _figures(data: ReportData, order: tuple[str, ...]) -> dict[str, figures.Figure | None]:
    makers = (figures.mean_rps, figures.ratio, figures.seconds, figures.container_rps, figures.free_nodes)
    drawn = {maker.__name__: maker(data, order) for maker in makers}
    return {name: figure if figure and figure.rows else None for name, figure in drawn.items()}


def _table(results: pd.DataFrame) -> tuple[list[tuple[str, str]], list[tuple[str, bool, list[Cell]]]]:
    """Header (text, explanation) and rows (scheduler, is it the optimum, cells) of the summary."""
    summary = summarise(results)
    columns = [
        ("groups", "groups", "groups it placed", lambda v: f"{v:.0f}"),
        ("RPS, mean", "rps_mean", "mean normalised RPS over containers, mean over groups", words.number),
        ("median", "rps_median", "median over groups", words.number),
        ("worst", "rps_min", "worst group", words.number),
        ("on the testbed", "true_rps_mean", "mean RPS that the testbed says", words.number),
        ("ratio", "ratio_mean", "value as a share of the optimum, mean over groups", words.percent),
        ("worst ratio", "ratio_min", "ratio of the worst group", words.percent),
        ("ratio, testbed", "true_ratio_mean", "ratio as the testbed says", words.percent),
        ("time, mean", "seconds_mean", "time per decision, mean over groups", words.duration),
        ("longest", "seconds_max", "longest decision", words.duration),
        ("CPU", "cpu_seconds_mean", "CPU time per decision, mean over groups", words.duration),
        (
            "free nodes",
            "free_nodes_mean",
            "nodes without a container, mean over groups",
            lambda v: f"{v:.1f}",
        ),
    ]
    for name in slo_columns(results):
        level = f"{slo_level(name):.2f}"
        explained = f"share of containers whose RPS is at least {level}"
        columns.append((f"SLO {level}", f"{name}_mean", explained, words.percent))
    if summary["groups"].nunique() == 1:
        columns = columns[1:]
    columns = [column for column in columns if summary[column[1]].notna().any()]
    rows = [
        (
            str(row["scheduler"]),
            bool(row["is_optimum"]),
            [_cell(row[source], show) for _, source, _, show in columns],
        )
        for _, row in summary.iterrows()
    ]
    return [(text, explained) for text, _, explained, _ in columns], rows


def _cell(value: float, show: words.Show) -> Cell:
    return Cell(words.NOTHING, None) if pd.isna(value) else Cell(show(float(value)), float(value))
