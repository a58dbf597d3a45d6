"""The report section on exploring: ratio against measurements, what was measured and why, calibration."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from flows.report.data import ReportSection
from flows.report.elements import svg_of
from flows.report.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2f6db2", "#b2432f", "#5c8a3a", "#7a5aa6", "#8a7a3a")
BARS = (0.99, 0.995)  # shares of the true optimum that are marked
SHOWN = 12  # of the co-locations measured last


def exploration_section(
    history: pd.DataFrame, measured: Sequence[Mapping[str, Any]], calibration: pd.DataFrame | None
) -> ReportSection:
    """The section of the report on an exploration.

    Args:
        history: a row per round, see `metis.explore.rounds.Explored`.
        measured: every run: `round`, `colocation`, `reason`, `sound`.
        calibration: `level` and `coverage`, shares; None where the testbed knows no truth.
    """
    last = history.iloc[-1]
    sentences = [
        Markup("<p>{} measurements, {} machine hours, {} rounds.").format(
            len(measured), f"{last['hours']:.1f}", len(history)
        )
    ]
    if pd.notna(last["ratio"]):
        sentences.append(Markup(" The plans are at {} of the true optimum.").format(percent(last["ratio"])))
    gain = last["gain_bound"] / last["value"] if last["value"] > 0 else 0.0
    sentences.append(Markup(" Further measuring could gain {} at most.</p>").format(percent(gain)))
    sentences.append(_reasons(measured))
    sentences.append(_latest(measured))
    figure = exploration_figure(history.assign(acquisition="plans"), calibration)
    return ReportSection("What was measured, and why", str(Markup("").join(sentences)), figure.decode())


def exploration_figure(histories: pd.DataFrame, calibration: pd.DataFrame | None = None) -> bytes:
    """SVG: ratio to the true optimum (or the value) against measurements, a line per acquisition.

    Args:
        histories: rows of the histories of one or more explorations: `acquisition`, `measurements`, `ratio`,
            `value`, and `seed` where there are several: the line is their mean, the band the worst and best.
        calibration: `level`, `coverage` and, where there are several, `acquisition`; drawn beside.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    known = bool(histories["ratio"].notna().any())
    figure = Figure(figsize=(10.0 if calibration is not None else 7.0, 4.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(1, 2 if calibration is not None else 1, squeeze=False, width_ratios=None)[0]
    names = list(dict.fromkeys(histories["acquisition"]))
    for name, colour in zip(names, COLOURS * len(names), strict=False):
        mine = histories[histories["acquisition"] == name]
        _curve(axes[0], mine, "ratio" if known else "value", str(name), colour)
    if known:
        for bar in BARS:
            axes[0].axhline(bar, color="#999999", linewidth=0.8, linestyle="--")
        axes[0].set_ylim(max(0.5, float(histories["ratio"].quantile(0.02)) - 0.01), 1.002)
    axes[0].set_xlabel("measurements")
    axes[0].set_ylabel("share of the true optimum" if known else "value believed")
    if len(names) > 1:
        axes[0].legend(frameon=False, fontsize=9)
    if calibration is not None:
        _calibration(axes[1], calibration)
    return svg_of(figure)


def _curve(axes: "Axes", mine: pd.DataFrame, column: str, name: str, colour: str) -> None:
    """The mean over seeds of the last value known at every number of measurements."""
    if "seed" in mine:
        table = mine.pivot_table(index="measurements", columns="seed", values=column, aggfunc="last").ffill()
    else:
        table = mine.set_index("measurements")[[column]]
    table = table.dropna(how="any")
    at = table.index.to_numpy()
    axes.plot(at, table.mean(axis=1), color=colour, label=name, linewidth=1.8)
    if table.shape[1] > 1:
        axes.fill_between(at, table.min(axis=1), table.max(axis=1), color=colour, alpha=0.12, linewidth=0)


def _calibration(axes: "Axes", calibration: pd.DataFrame) -> None:
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle="--")
    axes.plot(calibration["level"], calibration["coverage"], "o-", color=COLOURS[0], markersize=4)
    axes.set_xlabel("interval that the simulator gives")
    axes.set_ylabel("share of true RPS in it")
    axes.set_title("co-locations never measured", fontsize=10)
    axes.set_aspect("equal")


def _reasons(measured: Sequence[Mapping[str, Any]]) -> Markup:
    counts = Counter(str(run["reason"]) for run in measured)
    rows = Markup("").join(
        Markup("<tr><th scope='row'>{}</th><td>{}</td></tr>").format(reason, count)
        for reason, count in counts.most_common()
    )
    broken = sum(not run["sound"] for run in measured)
    lost = Markup("<p>{} runs could not be believed.</p>").format(broken) if broken else Markup("")
    return Markup("<table><tbody>{}</tbody></table>{}").format(rows, lost)


def _latest(measured: Sequence[Mapping[str, Any]]) -> Markup:
    """The co-locations measured last: those that the plans hang on."""
    rows = Markup("").join(
        Markup("<li>round {}: {} <em>({})</em></li>").format(run["round"], run["colocation"], run["reason"])
        for run in list(measured)[-SHOWN:]
    )
    return Markup("<p>Measured last:</p><ul>{}</ul>").format(rows)
