"""The summary of a sweep: mean, deviation and interval over seeds, rank, and a figure of all schedulers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from flows.report.data import slo_columns, truth_known

MEANS = (
    "true_rps",
    "true_value",
    "true_ratio",
    "free_nodes",
    "r2",
    "mse",
    "worst",
    "best",
    "updates",
    "episodes",
)
TIMES = ("seconds", "cpu_seconds")
MEASURED = ("group", "rps", "value", "bound", "ratio", "gap", *TIMES, *MEANS)
SHOWN = (
    ("rps", "mean RPS", "{:.4f}"),
    ("interval", "± 95 %", ""),
    ("rps_sd", "sd", "{:.4f}"),
    ("ratio", "of optimum", "{:.2%}"),
    ("ratio_min", "worst", "{:.2%}"),
    ("true_ratio", "truly", "{:.2%}"),
    ("seconds", "seconds", "{:.4f}"),
    ("cpu_seconds", "CPU s", "{:.4f}"),
    ("episodes", "episodes", "{:,.0f}"),
    ("rank", "rank", "{:d}"),
)
NOTHING = "\N{EN DASH}"  # a figure that a scheduler has none of
REPEATS = ("seed", "profile.seed", "groups.seed", "simulator.seed")


def setting_columns(results: pd.DataFrame) -> list[str]:
    """Return the columns that differ between jobs, seeds left out."""
    own = [str(name) for name in results if not str(name).startswith(("true_", "slo_"))]
    others = (*MEASURED, *REPEATS, "scheduler")
    return [name for name in own if name not in others and results[name].nunique(dropna=False) > 1]


def aggregate(results: pd.DataFrame) -> pd.DataFrame:
    """Return one row per setting and scheduler.

    Columns: the settings, `scheduler`, `seeds`, `groups`, `rps`, `rps_sd`, `rps_low` and `rps_high` (95 %
    interval of the mean, Student's t, over seeds where there are several and over groups else), `median`,
    `p5`, `p95` (over groups), `ratio`, `ratio_min`, `true_rps`, `true_ratio`, `seconds`, `cpu_seconds`,
    `rank` (1 is the best value under that setting, the true one where the testbed knows it of all).
    """
    settings = setting_columns(results)
    seed = next((name for name in REPEATS if name in results), None)
    rows = []
    for key, part in results.groupby([*settings, "scheduler"], sort=False, dropna=False):
        # a scheduler that several jobs placed alike counts once
        part = part.drop_duplicates([name for name in (seed, "group") if name])
        means = part.groupby(seed)["rps"].mean() if seed and part[seed].nunique() > 1 else part["rps"]
        row: dict[str, Any] = dict(zip([*settings, "scheduler"], key, strict=True))
        row |= {"seeds": int(part[seed].nunique()) if seed else 1, "groups": len(part)}
        row |= _interval(means.to_numpy(dtype=np.float64))
        row |= {
            "median": part["rps"].median(),
            "p5": part["rps"].quantile(0.05),
            "p95": part["rps"].quantile(0.95),
        }
        row |= {
            "value": part["value"].mean(),
            "ratio": part["ratio"].mean(),
            "ratio_min": part["ratio"].min(),
        }
        row |= {
            name: part[name].mean()
            for name in (*MEANS, *slo_columns(part), *slo_columns(part, true=True))
            if name in part
        }
        rows.append(row | {name: part[name].mean() for name in TIMES if name in part})
    summary = pd.DataFrame(rows)
    judged = "true_value" if truth_known(results) else "value"
    ranks = summary.groupby(settings, dropna=False)[judged] if settings else summary[judged]
    summary["rank"] = ranks.rank(ascending=False, method="min").astype(int)
    return summary.sort_values([*settings, "rank"], kind="stable", ignore_index=True)


def sweep_rows(summary: pd.DataFrame) -> tuple[list[str], list[str], list[list[str]]]:
    """Return the aggregate as texts: headings of what differs, headings of the figures, and the rows."""
    settings = [str(name) for name in summary.columns[: summary.columns.get_loc("scheduler")]]
    named = [*settings, "scheduler"]
    shown = [column for column in SHOWN if column[0] == "interval" or column[0] in summary]
    rows = []
    for row in summary.to_dict("records"):
        cells = [
            f"{row['rps_high'] - row['rps']:.4f}" if name == "interval" else _text(row[name], form)
            for name, _, form in shown
        ]
        rows.append([*(str(row[name]) for name in named), *cells])
    return named, [heading for _, heading, _ in shown], rows


def _text(value: Any, form: str) -> str:
    return NOTHING if value != value else form.format(value)


def sweep_figure(results: pd.DataFrame, published: Mapping[str, Mapping[str, Sequence[float]]]) -> bytes:
    """Draw boxes of RPS over groups per setting and scheduler, and their seconds; return the SVG.

    Where objectives differ their values are drawn instead, and where simulators differ the RPS on the true
    table. A bar behind Medea's box spans the values between which it is indifferent.

    Args:
        results: rows of all jobs.
        published: setting -> scheduler -> [median, p5, p95] of the paper, drawn beside ours.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = setting_columns(results)
    results = results.sort_values([*settings, "group"], kind="stable", ignore_index=True)
    same = pd.Series("", index=results.index)
    label = results[settings].astype(str).agg(", ".join, axis=1) if settings else same
    panels = list(dict.fromkeys(label))
    measure, wording = _measure(results, settings)
    schedulers = list(results.groupby("scheduler")["value"].mean().sort_values(ascending=False).index)
    figure = Figure(figsize=(max(3.2 * len(panels), 6.0), 7.0), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots(2, len(panels), sharey="row", squeeze=False)
    for column, panel in enumerate(panels):
        part = results[label == panel]
        above, below = axes[0, column], axes[1, column]
        _boxes(above, part, measure, schedulers)
        _boxes(below, part, "seconds", schedulers)
        _beside(above, part, schedulers, published.get(str(panel), {}))
        below.set_yscale("log")
        title = f"{', '.join(settings)} = {panel}" if settings else "all groups"
        if "mse" in part and results["mse"].nunique() > 1:
            title += f"\nsimulator: MSE {part['mse'].mean():.2%}, R² {part['r2'].mean():.3f}"
        above.set_title(title, fontsize=10)
        above.set_xticks([])
        below.set_xticks(range(1, len(schedulers) + 1), schedulers, rotation=60, ha="right", fontsize=8)
    axes[0, 0].set_ylabel(wording)
    axes[1, 0].set_ylabel("seconds per group")
    if published:
        figure.suptitle("boxes: ours, 25-75 %, whiskers 5-95 %; diamonds: published", fontsize=9)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _measure(results: pd.DataFrame, settings: Sequence[str]) -> tuple[str, str]:
    """Return the column to draw, and its label."""
    if any(name.startswith("objective") for name in settings):
        return "value", "value of the objective"
    simulated = any(name.startswith(("profile", "simulator", "explore")) for name in settings)
    if simulated and "true_rps" in results:
        return "true_rps", "mean normalised RPS on the true table"
    return "rps", "mean normalised RPS"


def _boxes(axes: Any, part: pd.DataFrame, measure: str, schedulers: Sequence[str]) -> None:
    columns = [part.loc[part["scheduler"] == name, measure].to_numpy() for name in schedulers]
    axes.boxplot(columns, whis=(5, 95), showfliers=False, medianprops={"color": "#b2432f"})


def _beside(
    axes: Any, part: pd.DataFrame, schedulers: Sequence[str], published: Mapping[str, Sequence[float]]
) -> None:
    """Draw the published figures, and the range within which a scheduler is indifferent."""
    for place, name in enumerate(schedulers, start=1):
        known = published.get(name)
        if known:
            spread = [[known[0] - known[1]], [known[2] - known[0]]]
            axes.errorbar(place + 0.32, known[0], spread, fmt="D", color="#2f6db2", markersize=4, capsize=2)
        own = part[part["scheduler"] == name]
        if "worst" in own and own["worst"].notna().any():
            axes.vlines(
                place, own["worst"].mean(), own["best"].mean(), color="#bbbbbb", linewidth=6, zorder=0
            )


def _interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Return mean, standard deviation and 95 % interval of the mean."""
    mean = float(values.mean())
    if len(values) < 2:
        return {"rps": mean, "rps_sd": 0.0, "rps_low": mean, "rps_high": mean}
    from scipy.special import stdtrit  # scipy.stats has it too, and costs a second

    deviation = float(values.std(ddof=1))
    half = float(stdtrit(len(values) - 1, 0.975)) * deviation / len(values) ** 0.5
    return {"rps": mean, "rps_sd": deviation, "rps_low": mean - half, "rps_high": mean + half}
