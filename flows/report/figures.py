"""The figures: one row of HTML and SVG per scheduler, sharp and legible at any width."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from flows.report.data import (
    BOUND_KIND,
    OPTIMUM,
    ReportData,
    limit_of,
    prediction_differs,
    slo_columns,
    slo_level,
    truth_known,
    value_is_rps,
)
from flows.report.intervals import interval
from flows.report.scales import Scale, linear, logarithmic_seconds, vertical
from flows.report.words import duration, number, percent, plus_minus

FloatArray = NDArray[np.float64]
DEFAULT_LEVELS = (0.90, 0.95, 1.00)
CURVE_POINTS = 160
FEWEST_NODES = 5.0  # the shortest axis of nodes, so that its ticks are whole nodes


@dataclass(frozen=True)
class Row:
    """One scheduler in a figure: its name, its SVG (100 % wide) and the figure in words."""

    label: str
    svg: Markup
    value: str


@dataclass(frozen=True)
class Figure:
    """Rows under one axis.

    Attributes:
        key: id in the page.
        title: what is shown.
        caption: how to read it.
        unit: what the axis counts.
        column: heading of the values at the right.
        rows: one per scheduler, best first.
        axis: SVG of the tick labels.
        height: of a row, in px.
    """

    key: str
    title: str
    caption: Markup
    unit: str
    column: str
    rows: tuple[Row, ...]
    axis: Markup
    height: int = 30


def mean_rps(data: ReportData, order: tuple[str, ...]) -> Figure:
    """Mean RPS per scheduler: range, middle half and mean over groups, the optimum as a line.

    True where the testbed knows it of all placements; what was predicted is a hollow dot beside it.
    """
    results, true = data.results, truth_known(data.results)
    shown, other = ("true_rps", "rps") if true else ("rps", "true_rps")
    beside = _any_known(results, other) and prediction_differs(results)
    limit, limit_words = optimum_line(results)
    scale = linear([*results[shown], *(results[other] if beside else []), limit])
    rows = []
    for name, mine in _each(results, order, shown):
        known = _finite(mine[shown])
        also = _finite(mine[other]) if beside else np.zeros(0)
        marks = [scale.grid(), _limit(scale, limit), _box(scale, known)]
        value = number(float(known.mean()))
        if also.size:
            marks.append(_circle(scale, float(also.mean()), "other"))
            value += f" ({number(float(also.mean()))})"
        rows.append(Row(name, Markup("").join(marks), value))
    hollow = "the simulator predicted" if true else "the testbed says"
    caption = Markup(
        "{}, {}. Further right is better; 1 is what an application reaches alone on a node. The dot is the "
        "mean over groups, the thick bar the middle half of the groups, the thin line runs from the worst "
        "group to the best. The axis does not begin at 0. {}{}"
    ).format(
        "True RPS, as the testbed knows it" if true else "RPS as the simulator predicts it",
        covered(results),
        limit_words,
        f" The hollow dot, and the number in brackets, is what {hollow} of the same placements." * beside,
    )
    column = ("true (predicted)" if true else "mean (testbed)") if beside else "mean"
    return Figure("rps", "Mean RPS", caption, "mean normalised RPS", column, tuple(rows), scale.labels())


def ratio(data: ReportData, order: tuple[str, ...]) -> Figure:
    """Value as a share of the optimum, per scheduler: of the true one where it is known."""
    true = truth_known(data.results)
    column = "true_ratio" if true else "ratio"
    scale = linear([*data.results[column], 1.0], label=lambda value: f"{value * 100:g} %")
    rows = []
    for name, mine in _each(data.results, order, column):
        known = _finite(mine[column])
        marks = Markup("").join([scale.grid(), _limit(scale, 1.0), _box(scale, known)])
        rows.append(Row(name, marks, plus_minus(interval(known))))
    caption = Markup(
        "What a placement is {} worth as a share of the most that any placement of the same group can be "
        "worth{} (the dashed line, 100 %); {}. What is missing to it is the gap. Dot, bar and line as above; "
        "± is the 95 % interval of the mean."
    ).format(
        "truly" if true else "predicted to be", "" if true else " by the simulator", covered(data.results)
    )
    title = f"Ratio to the {limit_of(data.results)}"
    unit = f"value / {'bound' if BOUND_KIND in data.results else 'optimum'}"
    return Figure("ratio", title, caption, unit, "mean ± 95 %", tuple(rows), scale.labels())


def seconds(data: ReportData, order: tuple[str, ...]) -> Figure:
    """Seconds per decision, on a logarithmic axis."""
    scale = logarithmic_seconds(data.results["seconds"])
    rows = []
    for name, mine in _each(data.results, order, "seconds"):
        known = _finite(mine["seconds"])
        marks = Markup("").join([scale.grid(), _box(scale, known)])
        rows.append(Row(name, marks, duration(float(known.mean()))))
    caption = Markup(
        "Wall time from the group's arrival to its placement, {}; learning done beforehand is not in it. "
        "Further left is better. Every step of the axis is ten times the one before, or more."
    ).format(covered(data.results))
    return Figure("seconds", "Time per decision", caption, "logarithmic", "mean", tuple(rows), scale.labels())


def free_nodes(data: ReportData, order: tuple[str, ...]) -> Figure:
    """Nodes left without a container, per scheduler."""
    nodes = max((len(placement) for placement in data.placements.values()), default=0)
    scale = linear([*data.results["free_nodes"], FEWEST_NODES], zero=True, label=lambda value: f"{value:g}")
    rows = []
    for name, mine in _each(data.results, order, "free_nodes"):
        known = _finite(mine["free_nodes"])
        mean = float(known.mean())
        bar = Markup('<line class="bar" x1="0" x2="{}" y1="50%" y2="50%"/>').format(scale.place(mean))
        share = f" ({percent(mean / nodes)})" if nodes else ""
        rows.append(Row(name, scale.grid() + bar + _range(scale, known), f"{mean:.1f}{share}"))
    of = f" of {nodes}" if nodes else ""
    caption = Markup(
        "Nodes{} that hold no container and could be switched off or kept for what comes next: the mean, {}, "
        "and as a thin line the fewest and the most. Few free nodes are not a fault: an objective that pays "
        "for RPS alone spreads containers out."
    ).format(of, covered(data.results))
    return Figure("free", "Free nodes", caption, "nodes", "mean", tuple(rows), scale.labels())


def container_rps(data: ReportData, order: tuple[str, ...]) -> Figure | None:
    """Share of containers that reach at least an RPS, one curve per scheduler; None without any.

    Over all groups, each weighing the same as in the table, whatever its size.
    """
    curves = {name: _pooled(data.container_rps[name]) for name in order if name in data.container_rps}
    curves = {name: pooled for name, pooled in curves.items() if pooled[0].size}
    if not curves:
        return None
    true = truth_known(data.results)
    levels = tuple(slo_level(name) for name in slo_columns(data.results, true=true)) or DEFAULT_LEVELS
    # the very best few would squeeze all others to the left
    most = max(float(np.quantile(values, 0.995)) for values, _ in curves.values())
    scale = linear([0.0, most, *levels], zero=True)
    outline = _curve(*curves[OPTIMUM], scale) if OPTIMUM in curves else ""
    limit = "simulator's optimum" if not true or prediction_differs(data.results) else "optimum"
    rows = []
    for name, (values, weights) in curves.items():
        marks = [scale.grid(), _area(_curve(values, weights, scale), outline if name != OPTIMUM else "")]
        marks += [vertical(scale.place(level), "level") for level in levels]
        shares = [f"{weights[values >= level].sum() * 100:.1f}" for level in levels]
        rows.append(Row(name, Markup("").join(marks), " · ".join(shares) + " %"))
    names = " · ".join(f"{level:.2f}" for level in levels)
    caption = Markup(
        "The height at an RPS is the share of containers that reach at least that much; the filled area "
        "is the mean. {}, {}, each group weighing the same. Dotted lines are the SLO levels {}, and the "
        "numbers, those of the table, say how many per cent of the containers meet each: a steep fall left "
        "of them means a few applications pay for the rest.{}"
    ).format(
        "True RPS, as the testbed knows it" if true else "RPS as the simulator predicts it",
        covered(data.results),
        names,
        f" The thin outline is the curve of the {limit}, for comparison." if outline else "",
    )
    title, unit = "RPS of the single containers", "normalised RPS of a container"
    return Figure("containers", title, caption, unit, f"≥ {names}", tuple(rows), scale.labels(), height=54)


def covered(results: pd.DataFrame) -> str:
    """What a figure covers, in words: `over all 10 groups`."""
    groups = int(results["group"].nunique())
    return "of the one group" if groups == 1 else f"over all {groups} groups"


def _pooled(groups: Sequence[object]) -> tuple[FloatArray, FloatArray]:
    """The RPS of the containers of all groups, and each one's share: every group weighs the same."""
    known = [values for values in map(_finite, groups) if values.size]
    if not known:
        return np.zeros(0), np.zeros(0)
    weights = [np.full(len(values), 1 / (len(values) * len(known))) for values in known]
    return np.concatenate(known), np.concatenate(weights)


def _most(results: pd.DataFrame) -> str:
    estimated = limit_of(results).startswith("estimated")
    return (
        "about the most that a placement can reach" if estimated else "the most that any placement can reach"
    )


def optimum_line(results: pd.DataFrame) -> tuple[float, str]:
    """Where the optimum's line stands on the RPS axis (NaN for nowhere), and what it means in words."""
    if truth_known(results) and value_is_rps(results) and _any_known(results, "true_best"):
        best = results.groupby("group")["true_best"].max()
        return float(best.mean()), f"The dashed line is the {limit_of(results)}, {_most(results)}."
    own = results[results["scheduler"] == OPTIMUM]
    if len(own):
        what = "predicted RPS of the simulator's optimum, the most that any placement is predicted to reach"
        if not value_is_rps(results):
            what = "RPS of the exact optimum, which maximises the objective, not the RPS"
        elif own["gap"].max() > 1e-4:
            what = (
                f"best found by the solver, which is within {percent(float(own['gap'].max()))} of the optimum"
            )
        column = "true_rps" if truth_known(results) else "rps"
        return float(own[column].mean()), f"The dashed line is the {what}."
    bounds = results.groupby("group")["bound"].max()
    if value_is_rps(results) and not truth_known(results) and bounds.notna().any():
        return float(bounds.mean()), "The dashed line is the proven bound, which no placement can pass."
    return float("nan"), ""


def _any_known(results: pd.DataFrame, column: str) -> bool:
    return column in results and bool(results[column].notna().any())


def _each(results: pd.DataFrame, order: tuple[str, ...], column: str) -> list[tuple[str, pd.DataFrame]]:
    """The rows of every scheduler that has any finite value in `column`, in `order`."""
    known: Mapping[object, pd.DataFrame] = dict(list(results.dropna(subset=[column]).groupby("scheduler")))
    return [(name, known[name]) for name in order if name in known]


def _finite(values: object) -> FloatArray:
    numbers = np.asarray(values, dtype=np.float64).ravel()
    return numbers[np.isfinite(numbers)]


def _limit(scale: Scale, value: float) -> Markup:
    return vertical(scale.place(value), "limit") if np.isfinite(value) else Markup("")


def _range(scale: Scale, values: FloatArray) -> Markup:
    return Markup('<line class="range" x1="{}" x2="{}" y1="50%" y2="50%"/>').format(
        scale.place(float(values.min())), scale.place(float(values.max()))
    )


def _box(scale: Scale, values: FloatArray) -> Markup:
    """Thin line from least to most, thick bar over the middle half, dot at the mean."""
    low, high = scale.at(np.quantile(values, [0.25, 0.75]))
    bar = Markup('<line class="half" x1="{:.2f}%" x2="{:.2f}%" y1="50%" y2="50%"/>').format(low, high)
    return _range(scale, values) + bar + _circle(scale, float(values.mean()), "mean")


def _circle(scale: Scale, value: float, kind: str) -> Markup:
    return Markup('<circle class="{}" cx="{}" cy="50%" r="5"/>').format(kind, scale.place(value))


def _curve(values: FloatArray, weights: FloatArray, scale: Scale) -> str:
    """SVG path of the share of `values` at or above x, in a box of 100 x 100; `weights` sum to 1."""
    points = np.linspace(scale.low, scale.high, CURVE_POINTS + 1)
    order = np.argsort(values, kind="stable")
    below = np.concatenate([[0.0], np.cumsum(weights[order])])  # share of the first so many
    share = 1 - below[np.searchsorted(values[order], points, side="left")]
    at, height = scale.at(points), 100 - 100 * share.round(9)
    return (
        f"M0 {height[0]:.4g}"
        + "".join(
            f"H{x:.4g}V{y:.4g}"
            for x, y, before in zip(at[1:], height[1:], height[:-1], strict=True)
            if y != before
        )
        + "H100"
    )


def _area(curve: str, outline: str) -> Markup:
    shape = Markup('<path class="area" d="{}V100H0Z"/><path class="edge" d="{}"/>').format(curve, curve)
    if outline:
        shape += Markup('<path class="outline" d="{}"/>').format(outline)
    return Markup(
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" y="6%" width="100%" height="94%">{}</svg>'
    ).format(shape)
