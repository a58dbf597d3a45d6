"""Figures of sweeps, each in the form of the paper's figure that it can be laid beside.

What differs between the jobs decides the form: the size of groups (Figure 8), the fan-out (10), the share
profiled (13), the objective (the two case studies), the profile (measurements against the true optimum); a
run with learning curves is drawn against training time (4), one whose groups arrive by arrival. Every figure
has a title, a legend, the published values where the experiment holds them, and a line that says what is
drawn and of how many groups.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from flows.report.elements import svg_of
from flows.sweeps.marks import (
    BOX,
    COLOURS,
    MEAN,
    OPTIMUM,
    Published,
    best_first,
    box,
    colours_of,
    diamond,
    finish,
    groups_of,
    legend_above,
    line_at_optimum,
    means,
    new_figure,
    published_at,
)
from flows.sweeps.table import setting_columns


def sweep_figure(
    results: pd.DataFrame, published: Published, curves: pd.DataFrame | None = None, *, arrive: bool = False
) -> bytes:
    """Return the SVG of a sweep.

    Args:
        results: rows of all jobs, one per scheduler and group.
        published: setting -> scheduler -> [median, p5, p95] or [value] of the paper, drawn beside ours.
        curves: learning curves: scheduler, group, cpu_seconds, best, episodes.
        arrive: whether the groups of a job came one after another.
    """
    draw = _form(results, curves, arrive=arrive)
    figure = draw(results, published, curves)
    return svg_of(figure)


Draw = Callable[[pd.DataFrame, Published, pd.DataFrame | None], Any]


def _form(results: pd.DataFrame, curves: pd.DataFrame | None, *, arrive: bool) -> Draw:
    """Return the function that draws these results."""
    settings = setting_columns(results)
    if settings == ["objective"] and results["objective"].astype(str).str.match(r"(slo|free)_\d+$").all():
        return draw_objectives
    if settings == ["profile.share"] and "mse" in results:
        return draw_shares
    if settings == ["profile"] and "measured" in results and "true_ratio" in results:
        return draw_measurements
    if settings == ["divide_conquer.fan_out"]:
        return draw_fan_outs
    if not settings and arrive:
        return draw_arrivals
    if not settings and curves is not None and len(curves):
        return draw_training
    return draw_boxes


def draw_training(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """RPS of the best placement so far against CPU seconds of training (Figure 4)."""
    assert curves is not None
    figure, (axes,) = new_figure(1, "RPS against training time", wide=8.0)
    names = list(dict.fromkeys(curves["scheduler"]))
    colours = colours_of(names)
    for name in names:
        mine = curves[curves["scheduler"] == name]
        for i, (_, one) in enumerate(mine.groupby("group")):
            axes.plot(one["cpu_seconds"], one["best"], color=colours[name], label=None if i else name)
    for seconds, known in published.items():
        for name, values in known.items():
            diamond(axes, float(seconds), values, colours.get(name, "#666666"))
    line_at_optimum(axes, results, "rps")
    axes.set_xscale("log")
    axes.set_xlabel("CPU seconds of training (log), start-up and tracing left out")
    axes.set_ylabel("mean normalised RPS, best so far")
    episodes = curves.groupby("scheduler")["episodes"].max()
    spent = ", ".join(f"{name} {episodes[name]:,.0f}" for name in names)
    finish(figure, [axes], f"n = {groups_of(results)}; episodes: {spent}", published, "after so many seconds")
    return figure


def draw_boxes(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """Boxes over groups, side by side per setting: RPS above, seconds below (Figure 8)."""
    del curves
    settings = setting_columns(results)
    same = pd.Series("all groups", index=results.index)
    label = results[settings].astype(str).agg(", ".join, axis=1) if settings else same
    panels = list(dict.fromkeys(label[results.sort_values(settings, kind="stable").index]))
    schedulers = best_first(results)
    column, wording = _measure(results, settings)
    wide = max(7.0, 1.5 + 0.34 * len(panels) * (len(schedulers) + 1))
    figure, (above, below) = new_figure(
        2, f"{wording[0].upper()}{wording[1:]} by scheduler", wide=wide, stacked=True
    )
    colours = colours_of(schedulers)
    step = len(schedulers) + 1.5
    for i, panel in enumerate(panels):
        part = results[label == panel]
        for j, name in enumerate(schedulers):
            mine = part[part["scheduler"] == name]
            for axes, measure in ((above, column), (below, "seconds")):
                box(axes, i * step + j, mine[measure].to_numpy(dtype=float), colours[name])
            if "worst" in mine and mine["worst"].notna().any():
                above.vlines(
                    i * step + j, mine["worst"].mean(), mine["best"].mean(), "#cccccc", linewidth=7, zorder=0
                )
            if name in published.get(str(panel), {}):
                diamond(above, i * step + j, published[str(panel)][name], "#111111")
    middle = [i * step + (len(schedulers) - 1) / 2 for i in range(len(panels))]
    for axes in (above, below):
        axes.set_xticks(middle, panels)
    below.set_xlabel(", ".join(settings) or "")
    below.set_yscale("log")
    above.set_ylabel(wording)
    below.set_ylabel("seconds per group (log)")
    legend_above(above, schedulers, colours)
    ends = "; grey bar: between the worst and best of Medea's equals" if "worst" in results else ""
    finish(figure, [], f"{BOX}; n = {groups_of(results)} per box{ends}", published, "bar: 5-95 %")
    return figure


def draw_fan_outs(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """RPS of divide-and-conquer against its fan-out K (Figure 10)."""
    del curves
    figure, (axes,) = new_figure(1, "Divide-and-conquer by fan-out K", wide=7.0)
    own = results[results["scheduler"] != OPTIMUM]
    for name, colour in colours_of(best_first(own)).items():
        mine = own[own["scheduler"] == name]
        means(axes, mine, "divide_conquer.fan_out", "rps", name, colour)
    for k, known in published.items():
        for values in known.values():
            diamond(axes, float(k), values, "#111111")
    line_at_optimum(axes, results, "rps")
    fans = sorted({float(k) for k in (*results["divide_conquer.fan_out"], *published)})
    axes.set_xscale("log")
    axes.set_xticks(fans, [f"{k:g}" for k in fans])
    axes.minorticks_off()
    axes.set_xlabel("fan-out K (log); K = the number of nodes is Vanilla RL")
    axes.set_ylabel("mean normalised RPS")
    spent = ""
    if "episodes" in own and own["episodes"].notna().any():
        least, most = own["episodes"].min(), own["episodes"].max()
        spent = f"; {least:,.0f}" + (f" to {most:,.0f}" if most > least else "") + " episodes a group"
    finish(figure, [axes], f"{MEAN}; n = {groups_of(results)} per point{spent}", published, "after 60 min")
    return figure


def draw_shares(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """Error of the simulator, and true RPS, against the share of the co-locations profiled (Figure 13)."""
    del curves
    figure, (left, right) = new_figure(2, "What a smaller profile costs", wide=11.0)
    share = "profile.share"
    results = results.assign(**{share: results[share].astype(float) * 100, "mse": results["mse"] * 100})
    means(left, results.drop_duplicates([share]), share, "mse", "simulator", COLOURS[0])
    column, wording = _measure(results, [share])
    schedulers = best_first(results)
    colours = colours_of(schedulers)
    for name in schedulers:
        means(right, results[results["scheduler"] == name], share, column, name, colours[name])
    for key, known in published.items():
        for name, values in known.items():
            axes, factor = (left, 100.0) if name == "mse" else (right, 1.0)
            diamond(axes, float(key) * 100, [factor * value for value in values], "#111111")
    for axes in (left, right):
        axes.set_xscale("log")
        shares = sorted(set(results[share]))
        axes.set_xticks(shares, [f"{value:g}" for value in shares])
        axes.minorticks_off()
        axes.set_xlabel("% of the co-locations profiled (log)")
    left.set_ylabel("mean squared error of RPS, %")
    right.set_ylabel(wording)
    finish(figure, [left, right], f"{MEAN}; n = {groups_of(results)} per point", published, "Metis")
    return figure


def draw_objectives(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """The two case studies: SLO satisfaction by level; RPS and vacant nodes by the weight of vacancy."""
    del curves
    kind = results["objective"].astype(str)
    number = kind.str.extract(r"_(\d+)$")[0].astype(float)
    panels = [name for name in ("slo", "free") if kind.str.startswith(name).any()]
    figure, drawn = new_figure(
        1 if panels == ["slo"] else 3 if len(panels) == 2 else 2, "Case studies", wide=14.0
    )
    schedulers = best_first(results)
    colours = colours_of(schedulers)
    left = list(drawn)
    if "slo" in panels:
        axes = left.pop(0)
        slo = results[kind.str.startswith("slo")].assign(x=number / 100, y=results["value"] * 100)
        for name in schedulers:
            means(axes, slo[slo["scheduler"] == name], "x", "y", name, colours[name])
        published_at(axes, published, "slo_", 100, 100.0, colours)
        axes.set_xticks(sorted(set(slo["x"])))
        axes.set(title="SLO satisfaction", xlabel="SLO: share of the stand-alone RPS")
        axes.set_ylabel("containers at or above it, %")
    if "free" in panels:
        vacant = (
            results["free_nodes"] / results["nodes"] * 100 if "nodes" in results else results["free_nodes"]
        )
        free = results[kind.str.startswith("free")].assign(x=number / 10, y=results["rps"], vacant=vacant)
        for axes, column in zip(left, ("y", "vacant"), strict=True):
            for name in schedulers:
                means(axes, free[free["scheduler"] == name], "x", column, name, colours[name])
            axes.set_xticks(sorted(set(free["x"])))
            axes.set_xlabel("weight beta of vacant nodes")
        left[0].set(title="RPS beside vacancy", ylabel="mean normalised RPS")
        left[1].set(title="vacant nodes", ylabel="vacant nodes, %" if "nodes" in results else "vacant nodes")
        published_at(left[0], published, "free_", 10, 1.0, colours)
        if "nodes" in results:
            published_at(left[1], published, "vacant_", 10, 100.0, colours)
    finish(
        figure,
        drawn[:1],
        f"{MEAN}; n = {groups_of(results)} per point",
        published,
        "in its colour",
        outside=True,
    )
    return figure


def draw_measurements(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """Share of the true optimum against measurements: random profiles, and what plans ask for."""
    del published, curves
    figure, (axes,) = new_figure(1, "Share of the true optimum against measurements", wide=8.0)
    counts = sorted(set(results["measured"]))
    results = results.assign(ratio=results["true_ratio"] * 100, measured=results["measured"].astype(float))
    explored = results["profile"].astype(str) == "explore"
    schedulers = best_first(results)
    colours = colours_of(schedulers)
    for i, name in enumerate(schedulers):
        mine = results["scheduler"] == name
        # side by side, or equal ones would hide each other
        results.loc[mine, "measured"] = results.loc[mine, "measured"] * 1.03 ** (i - len(schedulers) / 2)
        shown = "optimum of the simulator" if name == OPTIMUM else name
        means(axes, results[mine & ~explored], "measured", "ratio", f"{shown}, random", colours[name])
        own = results[mine & explored]
        if len(own):
            label = f"{shown}, what plans ask for"
            means(axes, own, "measured", "ratio", label, colours[name], marker="*", size=13)
    axes.axhline(100, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.set_xticks(counts, [f"{count:,.0f}" for count in counts], rotation=30)
    axes.minorticks_off()
    axes.set_xlabel("co-locations measured (log)")
    axes.set_ylabel("true value, % of the true optimum")
    finish(figure, [axes], f"{MEAN}; n = {groups_of(results)} per point", {}, "")
    return figure


def draw_arrivals(results: pd.DataFrame, published: Published, curves: pd.DataFrame | None) -> Any:
    """Ratio to the optimum on the cluster that each group met, by arrival."""
    del published, curves
    figure, (axes,) = new_figure(1, "Groups that arrive one after another", wide=8.0)
    results = results.assign(arrival=results["group"] + 1, ratio=results["ratio"] * 100)
    for name, colour in colours_of(best_first(results)).items():
        mine = results[results["scheduler"] == name]
        axes.plot(mine["arrival"], mine["ratio"], "o-", color=colour, markersize=4, label=name)
    axes.set_xticks(sorted(set(results["arrival"])))
    axes.set_xlabel("arrival")
    axes.set_ylabel("value, % of the optimum on the cluster it met")
    finish(figure, [axes], f"A point is one group; n = {groups_of(results)} one after another", {}, "")
    return figure


def _measure(results: pd.DataFrame, settings: Sequence[str]) -> tuple[str, str]:
    """Return the column to draw, and its label."""
    if any(name.startswith("objective") for name in settings):
        return "value", "value of the objective"
    simulated = any(name.startswith(("profile", "simulator", "explore")) for name in settings)
    if simulated and "true_rps" in results:
        return "true_rps", "mean normalised RPS on the true table"
    return "rps", "mean normalised RPS"
