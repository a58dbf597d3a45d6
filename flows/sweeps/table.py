"""The summary of a sweep: mean, deviation and interval over seeds, rank, and a figure of all schedulers."""

from typing import Any

import numpy as np
import pandas as pd

from flows.report.data import slo_columns, truth_known
from flows.report.intervals import drawn_columns

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
BOUNDED = ("value", "bound", "bound_kind", "ratio", "gap")
MEASURED = ("group", "nodes", "measured", "rps", *BOUNDED, *TIMES, *MEANS)
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
    others = (*MEASURED, *drawn_columns(results), *REPEATS, "scheduler")
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


def _interval(values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Return mean, standard deviation and 95 % interval of the mean."""
    mean = float(values.mean())
    if len(values) < 2:
        return {"rps": mean, "rps_sd": 0.0, "rps_low": mean, "rps_high": mean}
    from scipy.special import stdtrit  # scipy.stats has it too, and costs a second

    deviation = float(values.std(ddof=1))
    half = float(stdtrit(len(values) - 1, 0.975)) * deviation / len(values) ** 0.5
    return {"rps": mean, "rps_sd": deviation, "rps_low": mean - half, "rps_high": mean + half}
