"""Schedulers against each other, as a table and as JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flows.command.result import Column, Line, Table
from flows.configuration.settings import Settings
from metis.wording import amount

if TYPE_CHECKING:
    import pandas as pd

    from flows.report.intervals import Interval

OPTIMUM_LABEL = "optimum (simulator)"
# headings are broken by hand, so that ten columns fit 120 characters
TRUE = (
    ("true\nRPS", "true_rps_mean", "{:.4f}"),
    ("of true\n{limit}, %", "true_ratio", ""),
    ("to the\nnext, %", "lead", ""),
    ("predicted\nRPS", "rps_mean", "{:.4f}"),
    ("of pred.\n{limit}", "ratio_mean", "{:.2%}"),
)
KNOWN = (  # what schedulers saw is the truth
    ("RPS", "rps_mean", "{:.4f}"),
    ("of the\n{limit}, %", "ratio", ""),
    ("to the\nnext, %", "lead", ""),
    ("worst\ngroup", "ratio_min", "{:.2%}"),
)
PREDICTED = (
    ("predicted\nRPS", "rps_mean", "{:.4f}"),
    ("of pred.\n{limit}, %", "ratio", ""),
    ("to the\nnext, %", "lead", ""),
    ("worst\ngroup", "ratio_min", "{:.2%}"),
)
COSTS = (
    ("seconds", "seconds_mean", "{:.4f}"),
    ("CPU s", "cpu_seconds_mean", "{:.4f}"),
    ("free\nnodes", "free_nodes_mean", "{:.1f}"),
)
TRUE_SLO = ("true\nSLO\n0.95", "true_slo_0.95_mean", "{:.1%}")
EXACT_SLO = ("SLO\n0.95", "slo_0.95_mean", "{:.1%}")
BOUND_KIND = "bound_kind"  # column where the ratio is to a bound, not to the optimum
PREDICTED_SLO = ("SLO\n0.95", "slo_0.95_mean", "{:.1%}")
NOTHING = "\N{EN DASH}"


def comparison_table(results: "pd.DataFrame", title: str, *, exact: bool = False) -> Table:
    """Return schedulers against each other, best first: in truth where it is known, else as predicted.

    Args:
        results: one row per scheduler and group, see `flows.placing.comparison.judge`, with the seconds.
        title: of the table.
        exact: whether schedulers saw the truth, with `simulator=testbed`.
    """
    from flows.report.data import summarise, truth_known

    known = truth_known(results)
    columns = _columns(results, known=known, exact=exact)
    summary = summarise(results)
    shown = [column for column in columns if not column[2] or _any_known(summary, column[1])]
    records = summary.to_dict("records")
    groups = int(results["group"].nunique())
    return Table(
        f"{title}\n{_legend(groups, known=known, exact=exact)}{_bounds(results)}",
        ["scheduler", *(Column(heading, right=True, wrap=False) for heading, _, _ in shown)],
        [
            [
                OPTIMUM_LABEL if row["is_optimum"] and not exact else str(row["scheduler"]),
                *(_cell(row, key, form) for _, key, form in shown),
            ]
            for row in records
        ],
        styles={i: "bold" for i, row in enumerate(records) if row["is_optimum"] and not known},
    )


def error_lines(results: "pd.DataFrame") -> list[Line]:
    """Return what the simulator says of its own errors, to stand below the table."""
    from flows.report.words import simulator_error

    return [Line(said) for said in simulator_error(results)]


def _columns(results: "pd.DataFrame", *, known: bool, exact: bool) -> list[tuple[str, str, str]]:
    """Return heading, key and format of each column."""
    limit = "bound" if BOUND_KIND in results else "optimum"
    if exact:
        columns = [*KNOWN, *COSTS, EXACT_SLO]
    elif known:
        columns = [*TRUE, *COSTS, TRUE_SLO]
    else:
        columns = [*PREDICTED, *COSTS, PREDICTED_SLO]
    return [(heading.format(limit=limit), key, form) for heading, key, form in columns]


def _any_known(summary: "pd.DataFrame", column: str) -> bool:
    return column in summary and bool(summary[column].notna().any())


def _bounds(results: "pd.DataFrame") -> str:
    """Return what the bounds are worth, in words; nothing where the optimum is the limit."""
    from flows.report.data import bound_kind_of

    return f"; bounds {bound_kind_of(results)}" if BOUND_KIND in results else ""


def _legend(groups: int, *, known: bool, exact: bool) -> str:
    order = "ordered by true value" if known or exact else "predicted: no testbed knows the truth"
    if groups == 1:
        return f"{order}; one group: no interval (± ?)"
    return f"{order}; ±: 95 % interval over groups, paired; a tie where it holds 0"


def _cell(row: Any, key: str, form: str) -> str:
    """Return a number, or a share in per cent with the half width of its interval and the word `tie`."""
    from flows.report.intervals import Interval

    if form:
        return form.format(row[key]) if row[key] == row[key] else NOTHING
    found = Interval(row[f"{key}_mean"], row[f"{key}_half"], int(row["groups"]))
    if found.mean != found.mean:
        return NOTHING  # the last one has no next
    digits = 1 if found.half >= 0.01 else 2
    half = (
        f"\N{PLUS-MINUS SIGN}{found.half * 100:.{digits}f}"
        if found.half == found.half
        else "\N{PLUS-MINUS SIGN}?"
    )
    if key == "lead":
        return f"tie {half}" if found.holds(0) else f"{found.mean * 100:+.{digits}f}{half}"
    tie = " tie" if found.holds(1) else ""
    return f"{found.mean * 100:.{digits}f}{half}{tie}"


def noted(document: dict[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    """Return a document with what a person should know of it as `notes`, where there is something."""
    return {**document, "notes": list(notes)} if notes else document


def comparison_document(results: "pd.DataFrame") -> dict[str, Any]:
    """Return `schedulers`, best first as in `comparison_table`; and `bound_kind` where ratios are to bounds.

    Of each: mean, median and least of RPS and ratio, predicted and true where it is known, with the half
    width of the 95 % interval of the mean over groups; mean and most of seconds; and `to_the_next`: how far
    the next scheduler is behind, as a share of its value. Of a simulator that knows its errors also the
    predicted value and the predicted lead, with the half widths by these errors.
    """
    from flows.report.data import bound_kind_of, leads_over_next, ranking, truth_known
    from flows.report.intervals import drawn_columns, predicted, predicted_lead

    schedulers: dict[str, Any] = {}
    names = [str(name) for name in ranking(results)]
    leads = leads_over_next(results)
    for name, after in zip(names, [*names[1:], None], strict=True):
        rows = results[results["scheduler"] == name]
        measures = [m for m in ("rps", "ratio", "true_rps", "true_ratio") if m in rows]
        spread: dict[str, Any] = {m: _spread(rows[m]) for m in measures}
        for column in ("seconds", "cpu_seconds"):
            spread[column] = {"mean": float(rows[column].mean()), "max": float(rows[column].max())}
        by = "true" if truth_known(results) else "predicted"
        spread["to_the_next"] = {"scheduler": after, "by": by, **leads[name].document()}
        if drawn_columns(results):
            spread["predicted_value"] = _erring(predicted(results, name))
            if after is not None:
                spread["to_the_next"]["predicted"] = _erring(predicted_lead(results, name, after), gain=True)
        if BOUND_KIND in rows:
            spread[BOUND_KIND] = bound_kind_of(rows)
        schedulers[name] = spread
    bounded = {BOUND_KIND: bound_kind_of(results)} if BOUND_KIND in results else {}
    return {"schedulers": schedulers, **bounded}


def _erring(found: "Interval", *, gain: bool = False) -> dict[str, Any]:
    within = {"within_simulator_error": found.holds(0)} if gain else {}
    return {"mean": found.mean, "half_width": found.half, **within}


def comparison_title(settings: Settings, results: "pd.DataFrame") -> str:
    """Return what was compared, in one line."""
    groups, nodes = amount(results["group"].nunique(), "group"), amount(settings.cluster.nodes, "node")
    return f"{groups} on {nodes}, objective {settings.objective.kind}"


def _spread(column: "pd.Series[float]") -> dict[str, float | None]:
    from flows.report.intervals import interval

    half = interval(column).document()["half_width"]
    return {
        "mean": float(column.mean()),
        "half_width": half,
        "median": float(column.median()),
        "min": float(column.min()),
    }
