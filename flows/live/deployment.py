"""Deploying on a live cluster: the plan in words, and what was predicted against what is measured."""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from flows.live.session import LiveSession
from flows.report.elements import COLOURS, svg_of
from metis.problem.counts import IntArray, describe_colocation
from metis.problem.tables import Tables
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.deployment import Change
    from cluster.load.measurement import Results
    from cluster.spec import Container, ContainerSpec

MOST_LINES = 40  # of a plan shown on a terminal
WHERE = ("cluster", "connect", "tracking")  # settings that say which cluster is meant


def plan_rows(changes: "Sequence[Change]") -> list[dict[str, Any]]:
    """Return a row per node that changes: containers that stay, leave, come, and start anew, in words."""
    rows = []
    for change in changes:
        if change.nothing:
            continue
        anew = change.again
        slots = {one.slot for one in anew}
        rows.append(
            {
                "node": change.node,
                "keep": _counted(change.keep),
                "stop": _counted([one for one in change.stop if one.slot not in slots]),
                "start": _counted([one for one in change.start if one.slot not in slots]),
                "again": _counted(anew),
            }
        )
    return rows


def plan_lines(changes: "Sequence[Change]") -> list[str]:
    """Return the plan as lines for a terminal: what happens on every node that changes."""
    rows = plan_rows(changes)
    lines = []
    for row in rows[:MOST_LINES]:
        words = [f"{verb} {row[verb]}" for verb in ("stop", "start", "keep") if row[verb]]
        words += [f"start {row['again']} anew"] if row["again"] else []
        lines.append(f"  {row['node']}: {', '.join(words)}")
    if len(rows) > MOST_LINES:
        lines.append(f"  and {amount(len(rows) - MOST_LINES, 'node')} more")
    kept = sum(len(change.keep) for change in changes)
    stopped = sum(len(change.stop) for change in changes)
    started = sum(len(change.start) for change in changes)
    return [*lines, f"  {kept} containers stay, {stopped} are stopped, {started} are started"]


def _counted(containers: "Sequence[Container | ContainerSpec]") -> str:
    counts = Counter(one.app for one in containers)
    return " + ".join(f"{count} {app}" for app, count in counts.items())


def compared(
    session: LiveSession,
    containers: "Sequence[Container]",
    measured: "Results",
    tables: Tables | None,
    alone: Mapping[str, float],
) -> pd.DataFrame:
    """Return a row per container: its predicted and its measured RPS.

    Columns: node, slot, app, colocation, predicted and measured (normalised RPS; NaN where unknown),
    error (measured / predicted - 1), rps (requests/s), p50, p99 (seconds), requests, failures, reason (why
    it was not measured).
    """
    from cluster.deployment import placement_of
    from cluster.load.generator import LoadResult

    apps, nodes = session.space.apps, list(session.nodes)
    placement = placement_of(containers, nodes, apps)
    predicted = np.full(placement.shape, np.nan)
    if tables is not None:
        predicted = tables.rps[tables.space.index(placement)]
    rows = []
    for one in sorted(containers, key=lambda one: (nodes.index(one.node), one.slot)):
        node, app = nodes.index(one.node), apps.index(one.app)
        result = measured.get(one.name, "was not measured")
        known = result if isinstance(result, LoadResult) else None
        unit = alone.get(one.app, float("nan"))
        rows.append(
            {
                "node": one.node,
                "slot": one.slot,
                "app": one.app,
                "colocation": describe_colocation(placement[node], apps),
                "predicted": float(predicted[node, app]),
                "measured": known.rps / unit if known else float("nan"),
                **{
                    name: getattr(known, name) if known else float("nan")
                    for name in ("rps", "p50", "p99", "requests", "failures")
                },
                "reason": result if isinstance(result, str) else result.error,
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(6, "error", frame["measured"] / frame["predicted"] - 1)
    return frame


def summary(table: pd.DataFrame) -> dict[str, float]:
    """Return the means of the comparison by name; unknown ones are left out."""
    numbers = {
        "containers": float(len(table)),
        "predicted_rps": float(table["predicted"].mean()),
        "measured_rps": float(table["measured"].mean()),
        "error_mean": float(table["error"].abs().mean()),
        "error_max": float(table["error"].abs().max()),
        "requests_per_second": float(table["rps"].sum()),
        "failures": float(table["failures"].sum()),
    }
    return {name: value for name, value in numbers.items() if np.isfinite(value)}


def comparison_figure(table: pd.DataFrame) -> bytes:
    """Return predicted against measured normalised RPS as SVG, a dot per container."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    known = table.dropna(subset=["predicted", "measured"])
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.subplots()
    most = 1.08 * max(1.0, float(known[["predicted", "measured"]].to_numpy().max(initial=0.0)))
    axes.plot([0, most], [0, most], color="#999999", linewidth=1, zorder=0)
    for i, (app, rows) in enumerate(known.groupby("app", sort=False)):
        colour = COLOURS[i % len(COLOURS)]
        axes.scatter(rows["predicted"], rows["measured"], s=36, color=colour, alpha=0.8, label=str(app))
    axes.set(xlim=(0, most), ylim=(0, most), aspect="equal")
    axes.set_xlabel("predicted RPS, 1 is alone on a node")
    axes.set_ylabel("measured RPS, 1 is alone on a node")
    mean = known[["predicted", "measured"]].mean()
    axes.set_title(f"mean predicted {mean['predicted']:.3f}, measured {mean['measured']:.3f}", fontsize=10)
    if len(known):
        axes.legend(frameon=False, fontsize=8)
    return svg_of(figure)


def undeploy_command(command: str) -> str:
    """Return the command that removes what `command` deploys or leaves running.

    Args:
        command: of `deploy`, or of `run` with the stage.
    """
    kept = []
    for word in shlex.split(command)[2:]:
        key = word.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] in WHERE or key == "deploy.session":
            kept.append(word)
    return shlex.join(["metis", "undeploy", *kept])


def by_name(placement: IntArray, names: Sequence[str] | None, nodes: Sequence[str]) -> IntArray:
    """Return a placement in the order of the cluster's nodes, int [nodes, apps].

    Args:
        placement: int [rows, apps].
        names: of its rows, as its file gives them; None where it gives none.
        nodes: of the cluster. Where one of the names is none of these, row i is for node i.
    """
    if names is None or not set(names) <= set(nodes):
        return whole_placement(placement, len(nodes))
    rows = dict(zip(names, placement, strict=True))
    nothing = np.zeros(placement.shape[1], dtype=np.int64)
    return np.stack([rows.get(node, nothing) for node in nodes])


def whole_placement(placement: IntArray, nodes: int) -> IntArray:
    """Return the placement with a row for every node; nodes without one hold nothing."""
    missing = max(nodes - len(placement), 0)
    return np.vstack([placement, np.zeros((missing, placement.shape[1]), dtype=np.int64)])
