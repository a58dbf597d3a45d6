"""Schedulers against each other, as a table and as JSON."""

from typing import TYPE_CHECKING, Any

from flows.command.result import Column, Table
from flows.configuration.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

SHOWN = (
    ("mean RPS", "rps_mean", "{:.4f}"),
    ("true RPS", "true_rps_mean", "{:.4f}"),
    ("of optimum", "ratio_mean", "{:.2%}"),
    ("worst", "ratio_min", "{:.2%}"),
    ("truly", "true_ratio_mean", "{:.2%}"),
    ("seconds", "seconds_mean", "{:.4f}"),
    ("CPU s", "cpu_seconds_mean", "{:.4f}"),
    ("free nodes", "free_nodes_mean", "{:.1f}"),
    ("SLO 0.95", "slo_0.95_mean", "{:.1%}"),
)


def comparison_table(results: "pd.DataFrame", title: str) -> Table:
    """Return schedulers against each other, best first: RPS, ratio to the optimum, seconds, free nodes.

    Args:
        results: one row per scheduler and group, see `flows.placing.comparison.judge`, with the seconds.
        title: of the table.
    """
    from flows.report.data import summarise

    summary = summarise(results)
    shown = [column for column in SHOWN if column[1] in summary and summary[column[1]].notna().any()]
    records = summary.to_dict("records")
    return Table(
        title,
        [Column("scheduler", wrap=False), *(Column(heading, right=True) for heading, _, _ in shown)],
        [[str(row["scheduler"]), *(form.format(row[key]) for _, key, form in shown)] for row in records],
        styles={i: "bold" for i, row in enumerate(records) if row["is_optimum"]},
    )


def comparison_document(results: "pd.DataFrame") -> dict[str, Any]:
    """Return mean, median and least of RPS and ratio, mean and most of seconds, per scheduler."""
    document: dict[str, Any] = {}
    for name, rows in results.groupby("scheduler", sort=False):
        measures = [m for m in ("rps", "ratio", "true_rps", "true_ratio") if m in rows]
        spread: dict[str, Any] = {m: _spread(rows[m]) for m in measures}
        for column in ("seconds", "cpu_seconds"):
            spread[column] = {"mean": float(rows[column].mean()), "max": float(rows[column].max())}
        document[str(name)] = spread
    return document


def comparison_title(settings: Settings, results: "pd.DataFrame") -> str:
    """Return what was compared, in one line."""
    groups = results["group"].nunique()
    plural = "s" if groups > 1 else ""
    return f"{groups} group{plural} on {settings.cluster.nodes} nodes, objective {settings.objective.kind}"


def _spread(column: "pd.Series[float]") -> dict[str, float]:
    return {"mean": float(column.mean()), "median": float(column.median()), "min": float(column.min())}
