"""What a report shows, and its figures per scheduler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flows.report.intervals import Interval, interval, lead
from metis.errors import InputError

OPTIMUM = "optimum"  # the optimum of the simulator: the limit of what is predicted, not a competitor
SPREAD = "spread"  # the scheduler that does what Docker Swarm does by itself
COLUMNS = ("scheduler", "group", "rps", "value", "bound", "ratio", "gap", "seconds", "free_nodes")
# may be missing: no testbed, or not recorded
UNKNOWN = ("true_rps", "true_value", "true_best", "true_ratio", "cpu_seconds")
BOUND_KIND = "bound_kind"  # column where the ratio is to a bound, not to the optimum
SLO_PREFIX, TRUE_SLO_PREFIX = "slo_", "true_slo_"


@dataclass(frozen=True)
class ReportSection:
    """A further section, made by another stage.

    Attributes:
        title: heading, plain text.
        html: trusted HTML made by us, never what a user typed; scripts in it do not run.
        figure_svg: one `<svg>`, with or without an XML prolog; None for no figure.
    """

    title: str
    html: str
    figure_svg: str | None = None


@dataclass(frozen=True)
class ReportData:
    """Everything on the page.

    Attributes:
        title: heading of the page.
        subtitle: what was compared, e.g. `81 nodes of 8 slots, 10 groups of 200 containers`.
        facts: settings and origins, shown as a small table (profile, seed, commit, run ids, ...).
        apps: names of the applications, in the column order of `placements`.
        results: one row per scheduler and group: `scheduler`, `group`, `rps` and `true_rps` (mean
            normalised RPS, predicted and on the testbed), `value` and `true_value` (of the objective),
            `true_best` (value of the true optimum), `bound`, `ratio`, `true_ratio`, `gap`, `seconds`,
            `free_nodes` (nodes), `slo_<level>` and `true_slo_<level>` (share of containers, 0 to 1). NaN
            where unknown; `true_*` and `slo_*` may be missing.
        placements: scheduler -> containers of group 0 in all, int [nodes, apps].
        container_rps: scheduler -> normalised RPS of every container, an array [containers] per group; true
            where `results` know the truth of all, else predicted.
        sections: further sections, in order, after the figures.
        command: the command that makes this report again.
        made: what differs each time the page is made (commit, date, machine, ...), shown in its footer.
        notes: what a person should know of the results, a sentence each, below the headline.

    Raises:
        InputError: a column is missing, no result, a scheduler with a group twice, or a placement of
            another shape.
    """

    title: str
    subtitle: str
    facts: Mapping[str, str]
    apps: tuple[str, ...]
    results: pd.DataFrame
    placements: Mapping[str, NDArray[Any]]
    container_rps: Mapping[str, Sequence[NDArray[Any]]]
    sections: Sequence[ReportSection] = ()
    command: str = "make run"
    made: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_results(self.results)
        for scheduler, placement in self.placements.items():
            if placement.ndim != 2 or placement.shape[1] != len(self.apps) or not len(placement):
                raise InputError(
                    f"report: the placement of {scheduler} has shape {placement.shape}, "
                    f"expected [nodes, {len(self.apps)}]"
                )

    @property
    def schedulers(self) -> tuple[str, ...]:
        """Every scheduler of the report, best first; those without results come last."""
        ranked = list(ranking(self.results))
        others = [name for name in (*self.placements, *self.container_rps) if name not in ranked]
        return tuple(dict.fromkeys([*ranked, *others]))


def check_results(results: pd.DataFrame) -> None:
    """Raise `InputError` unless `results` has the columns and rows that a report needs."""
    missing = [name for name in COLUMNS if name not in results.columns]
    if missing:
        raise InputError(f"report: the results lack the column {missing[0]!r}")
    if results.empty:
        raise InputError("report: there is no result to show; run the evaluate stage first")
    twice = results[results.duplicated(["scheduler", "group"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(f"report: {first['scheduler']} has group {first['group']} twice")


def slo_columns(results: pd.DataFrame, *, true: bool = False) -> list[str]:
    """The columns of SLO shares, lowest level first; one that is not known at all is left out.

    Args:
        results: see `ReportData`.
        true: those of the testbed, instead of the predicted ones.
    """
    prefix = TRUE_SLO_PREFIX if true else SLO_PREFIX
    found = [name for name in results.columns if str(name).startswith(prefix)]
    return sorted((name for name in found if results[name].notna().any()), key=slo_level)


def slo_level(column: str) -> float:
    """The level of `slo_0.95` or `true_slo_0.95`: 0.95."""
    return float(column.removeprefix(TRUE_SLO_PREFIX).removeprefix(SLO_PREFIX))


def truth_known(results: pd.DataFrame) -> bool:
    """Whether the testbed has judged every placement, so that schedulers are ordered by truth."""
    return "true_value" in results and bool(results["true_value"].notna().all())


def bound_kind_of(results: pd.DataFrame) -> str:
    """Return `proven` where the bound of every row is, else `estimated`."""
    return "proven" if bool((results[BOUND_KIND] == "proven").all()) else "estimated"


def limit_of(results: pd.DataFrame) -> str:
    """What ratios are shares of: the `true optimum`, `optimum of the simulator`, `proven bound`, ..."""
    if BOUND_KIND in results:
        return f"{bound_kind_of(results)} bound"
    return "true optimum" if truth_known(results) else "optimum of the simulator"


def prediction_differs(results: pd.DataFrame) -> bool:
    """Whether predictions are shown beside the truth: not where schedulers read the truth itself."""
    return not np.allclose(results["rps"], results["true_rps"], rtol=1e-9, equal_nan=True)


def read_as_truth(results: pd.DataFrame) -> pd.DataFrame:
    """Return results with the columns `true_*` of what the simulator said, which was the testbed's truth."""
    true = {f"true_{name}": results[name] for name in ("rps", "value", "ratio")}
    levels = {f"true_{name}": results[name] for name in slo_columns(results)}
    return results.assign(**true, true_best=results["value"] / results["ratio"], **levels)


def ranked_by(results: pd.DataFrame) -> str:
    """The column by which schedulers are ordered: `true_value` where known of all, else `value`."""
    return "true_value" if truth_known(results) else "value"


def ranking(results: pd.DataFrame) -> pd.Index:
    """Schedulers, best first, by the objective's mean value over the groups that all of them placed.

    The value is the true one wherever the testbed knows it of every placement, else the predicted one.
    Where no group was placed by all of them, each counts with its own groups. Equal means keep the optimum
    first, then go by name, so that the page is the same on every run.
    """
    values = results.pivot(index="group", columns="scheduler", values=ranked_by(results))
    shared = values.dropna()
    means = (shared if len(shared) else values).mean()
    order = pd.DataFrame({"mean": means.round(9), "other": [name != OPTIMUM for name in means.index]})
    order["name"] = order.index.astype(str)
    return order.sort_values(["mean", "other", "name"], ascending=[False, True, True]).index


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row per scheduler, best first (see `ranking`).

    Columns: `scheduler`, `is_optimum`, `groups` (how many it placed), `rps_mean`, `rps_median`, `rps_min`,
    `true_rps_mean`, `true_rps_min`, `value_mean`, `true_value_mean`, `ratio_mean`, `ratio_min`, `ratio_half`,
    `true_ratio_mean`, `true_ratio_min`, `true_ratio_half`, `lead_mean`, `lead_half`, `gap_mean`,
    `seconds_mean`, `seconds_max`, `cpu_seconds_mean`, `free_nodes_mean`, `slo_<level>_mean`,
    `true_slo_<level>_mean`. NaN where unknown. `*_half` are half widths of 95 % intervals over groups; `lead`
    is the difference to the next scheduler as a share of its value (true where known), paired.

    Raises:
        InputError: see `check_results`.
    """
    check_results(results)
    known = results.assign(**{name: np.nan for name in UNKNOWN if name not in results.columns})
    wanted: dict[str, tuple[str, Any]] = {
        "groups": ("group", "nunique"),
        "rps_mean": ("rps", "mean"),
        "rps_median": ("rps", "median"),
        "rps_min": ("rps", "min"),
        "true_rps_mean": ("true_rps", "mean"),
        "true_rps_min": ("true_rps", "min"),
        "value_mean": ("value", "mean"),
        "true_value_mean": ("true_value", "mean"),
        "ratio_mean": ("ratio", "mean"),
        "ratio_min": ("ratio", "min"),
        "true_ratio_mean": ("true_ratio", "mean"),
        "true_ratio_min": ("true_ratio", "min"),
        "gap_mean": ("gap", "mean"),
        "seconds_mean": ("seconds", "mean"),
        "seconds_max": ("seconds", "max"),
        "cpu_seconds_mean": ("cpu_seconds", "mean"),
        "free_nodes_mean": ("free_nodes", "mean"),
        **{
            f"{name}_mean": (name, "mean")
            for true in (False, True)
            for name in slo_columns(results, true=true)
        },
    }
    by_scheduler = known.groupby("scheduler")
    columns = {name: by_scheduler[source].agg(how) for name, (source, how) in wanted.items()}
    summary = pd.DataFrame(columns).reindex(ranking(results))
    for name in ("ratio", "true_ratio"):
        summary[f"{name}_half"] = by_scheduler[name].agg(lambda values: interval(values).half)
    leads = leads_over_next(results)
    summary["lead_mean"] = [leads[str(name)].mean for name in summary.index]
    summary["lead_half"] = [leads[str(name)].half for name in summary.index]
    summary.insert(0, "is_optimum", summary.index == OPTIMUM)
    return summary.rename_axis("scheduler").reset_index()


def leads_over_next(results: pd.DataFrame) -> dict[str, Interval]:
    """By how much each scheduler exceeds the next of the ranking; nothing is known of the last one's."""
    names = [str(name) for name in ranking(results)]
    column = ranked_by(results)
    pairs = zip(names, [*names[1:], ""], strict=True)
    return {one: lead(results, one, other, column) for one, other in pairs}


def value_is_rps(results: pd.DataFrame) -> bool:
    """Whether the objective is the mean RPS itself, so that its optimum is a limit of the RPS."""
    return bool(np.allclose(results["value"], results["rps"], rtol=1e-6, equal_nan=True))
