"""The report page: figures, tables and words in one HTML file that loads nothing else."""

import base64
import hashlib
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flows.report import figures, words
from flows.report.data import (
    BOUND_KIND,
    OPTIMUM,
    ReportData,
    limit_of,
    prediction_differs,
    slo_columns,
    slo_level,
    summarise,
    truth_known,
)
from flows.report.heatmap import heat_maps, most_alike, shade
from flows.report.intervals import Interval
from metis.files import written_whole

HERE = Path(__file__).parent
# of middling lightness, so that each stands out from both white and black
PALETTE = (
    *("#3b7dd8", "#d9722e", "#2f9e6e", "#c44e8a", "#8a6fd1", "#a3822b", "#2a9bb0", "#d0524f"),
    *("#7a8f2a", "#b06fc0", "#5b8c85", "#a8694a", "#5570b8", "#c08a1e", "#85858f"),
)


Row = dict[Hashable, Any]
NEXT = "how much more its value is than that of the next in this order, paired over groups, 95 % interval"


@dataclass(frozen=True)
class Cell:
    """A table cell: what is shown, the number it sorts by (None for unknown), and a word beside it."""

    text: str
    sort: float | None
    tag: str = ""


@dataclass(frozen=True)
class Shown:
    """A column of the table: its heading, what it means, and its cell of a row of the summary."""

    text: str
    explained: str
    cell: Callable[[Row], Cell]


def render_report(data: ReportData) -> str:
    """The page as HTML: one file, no network, and no script but our own.

    A content security policy admits our script by its digest, so that markup in a name or in a section
    stays inert even where it should slip through.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(breakable=breakable, unbroken=unbroken)
    known = truth_known(data.results)
    predicted = not known or prediction_differs(data.results)
    environment.globals["tagged"] = OPTIMUM if predicted else ""
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
        known=known,
        predicted=predicted,
        bounded=BOUND_KIND in data.results,
        groups=int(data.results["group"].nunique()),
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


def breakable(name: str) -> Markup:
    """A name that a narrow column may break after its own signs, and so not within a word."""
    return Markup("<wbr>").join(re.split(r"(?<=[+_:/.-])(?=.)", name))


def unbroken(sentence: str) -> str:
    """A sentence in which no line ends between a number and what belongs to it."""
    return re.sub(r"(?<=\d) (?=[±%]|(?:µs|ms|s|min|h)\b)|(?<=±) ", "\N{NO-BREAK SPACE}", sentence)


def _colours(order: Sequence[str]) -> dict[str, str]:
    """Scheduler -> colour, the same in every figure; the optimum has none and is drawn like text."""
    names = sorted(name for name in order if name != OPTIMUM)
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)} | {OPTIMUM: "var(--ink)"}


def _figures(data: ReportData, order: tuple[str, ...]) -> dict[str, figures.Figure | None]:
    makers = (figures.mean_rps, figures.ratio, figures.seconds, figures.container_rps, figures.free_nodes)
    drawn = {maker.__name__: maker(data, order) for maker in makers}
    return {name: figure if figure and figure.rows else None for name, figure in drawn.items()}


def _table(results: pd.DataFrame) -> tuple[list[tuple[str, str]], list[tuple[str, bool, list[Cell]]]]:
    """Header (text, explanation) and rows (scheduler, whether it is the optimum, cells) of the summary."""
    summary = summarise(results)
    true = truth_known(results)
    columns = [*(_true_columns(results) if true else _predicted_columns(results)), *_cost_columns()]
    if true and prediction_differs(results):
        columns += [
            Shown("predicted RPS", "mean RPS that the simulator predicts", _mean("rps_mean", words.number)),
            Shown(
                "of its optimum",
                "predicted value as a share of the simulator's own optimum, mean over groups",
                _mean("ratio_mean", words.percent),
            ),
        ]
    if summary["groups"].nunique() > 1:
        groups = _mean("groups", lambda value: f"{value:.0f}")
        columns.insert(0, Shown("groups", "groups it placed", groups))
    cells = [[column.cell(row) for column in columns] for row in summary.to_dict("records")]
    known = [i for i in range(len(columns)) if any(row[i].sort is not None for row in cells)]
    rows = [
        (str(name), name == OPTIMUM, [row[i] for i in known])
        for name, row in zip(summary["scheduler"], cells, strict=True)
    ]
    return [(columns[i].text, columns[i].explained) for i in known], rows


def _true_columns(results: pd.DataFrame) -> list[Shown]:
    return [
        Shown(
            "true RPS",
            "mean normalised RPS over containers as the testbed knows it, mean over groups",
            _mean("true_rps_mean", words.number),
        ),
        Shown(
            f"of the {limit_of(results)}",
            f"true value as a share of the {limit_of(results)}, mean and 95 % interval over groups",
            _with_half("true_ratio", 1.0),
        ),
        Shown("to the next", NEXT, _with_half("lead", 0.0)),
        Shown("worst group", "true ratio of the worst group", _mean("true_ratio_min", words.percent)),
        *_slo_columns(results, "true "),
    ]


def _predicted_columns(results: pd.DataFrame) -> list[Shown]:
    return [
        Shown(
            "predicted RPS",
            "mean normalised RPS over containers as the simulator predicts it, mean over groups",
            _mean("rps_mean", words.number),
        ),
        Shown("median", "median over groups", _mean("rps_median", words.number)),
        Shown("worst", "worst group", _mean("rps_min", words.number)),
        Shown("true RPS", "mean RPS that the testbed says", _mean("true_rps_mean", words.number)),
        Shown(
            f"of the {limit_of(results)}",
            f"predicted value as a share of the {limit_of(results)}, mean and 95 % interval over groups",
            _with_half("ratio", 1.0),
        ),
        Shown("to the next", NEXT, _with_half("lead", 0.0)),
        Shown("worst ratio", "ratio of the worst group", _mean("ratio_min", words.percent)),
        *_slo_columns(results, "predicted "),
    ]


def _cost_columns() -> list[Shown]:
    return [
        Shown("time, mean", "time per decision, mean over groups", _mean("seconds_mean", words.duration)),
        Shown("CPU", "CPU time per decision, mean over groups", _mean("cpu_seconds_mean", words.duration)),
        Shown(
            "free nodes",
            "nodes without a container, mean over groups",
            _mean("free_nodes_mean", lambda value: f"{value:.1f}"),
        ),
    ]


def _slo_columns(results: pd.DataFrame, how: str) -> list[Shown]:
    return [
        Shown(
            f"{how}SLO {slo_level(name):.2f}",
            f"{how}share of containers whose RPS is at least {slo_level(name):.2f}, mean over groups",
            _mean(f"{name}_mean", words.percent),
        )
        for name in slo_columns(results, true=how == "true ")
    ]


def _mean(source: str, show: words.Show) -> Callable[[Row], Cell]:
    """A cell with the number in the column `source` of the summary."""

    def cell(row: Row) -> Cell:
        value = float(row[source])
        return Cell(words.NOTHING, None) if pd.isna(value) else Cell(show(value), value)

    return cell


def _with_half(source: str, level: float) -> Callable[[Row], Cell]:
    """A cell with a share, the half width of its interval, and `tie` where that holds `level`."""

    def cell(row: Row) -> Cell:
        found = Interval(float(row[f"{source}_mean"]), float(row[f"{source}_half"]), int(row["groups"]))
        if pd.isna(found.mean):
            return Cell(words.NOTHING, None)
        verdict = found.verdict(level)
        shown = words.plus_minus(found, signed=level == 0.0)
        return Cell(shown, found.mean, verdict)

    return cell
