"""Problem folders with arrivals for `metis place problem=FOLDER`: each container placed when it arrives."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.command.request import Request
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.engine.console import say
from metis.errors import InputError
from metis.problem.arrivals import ARRIVALS, Arrivals, read_arrivals, write_placed
from metis.problem.statement import Statement
from metis.program.arrivals import Placed, place_arrivals
from metis.wording import amount

READS = ("problem", "arrivals", "out", "output", "seed", "tracking")
SHOWN = 10  # applications of which containers found no room


def placed_arrivals(request: Request, statement: Statement) -> Result:
    """Place the containers of `arrivals.csv` of a problem folder in their order.

    Raises:
        InputError: an override that has no effect on them, or the file is not as described.
    """
    _refuse_others(request.overrides)
    settings = request.settings
    arrivals = read_arrivals(Path(settings.problem or ""), statement)
    total = len(arrivals.app)
    from_apps, nodes = amount(len(statement.apps), "application"), amount(len(statement.nodes), "node")
    say(f"  {amount(total, 'container')} of {from_apps} arrive at {nodes}")
    with request.progress() as progress:

        def report(placed: int, unplaced: int) -> None:
            progress("placing", placed + unplaced, total, f", {unplaced} without room")

        placed = place_arrivals(statement, arrivals, settings.arrivals, report)
    document = _document(statement, arrivals, placed, settings.arrivals.policy)
    views = _views(statement, document)
    if settings.out:
        write_placed(Path(settings.out), statement, arrivals, placed.node, placed.devices)
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    else:
        views.append(Line("out=plan.csv writes where each went", "dim"))
    return Result(document, views)


def _refuse_others(overrides: Sequence[str]) -> None:
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        if key.partition(".")[0] not in READS:
            raise InputError(f"{key}: has no effect on a folder with {ARRIVALS}; it reads arrivals and out")


def _document(statement: Statement, arrivals: Arrivals, placed: Placed, policy: str) -> dict[str, Any]:
    without = np.bincount(arrivals.app[placed.node < 0], minlength=len(statement.apps))
    return {
        "policy": policy,
        "containers": len(arrivals.app),
        "placed": placed.placed,
        "unplaced": {statement.apps[a]: int(without[a]) for a in np.flatnonzero(without)},
        "running": placed.running,
        "nodes_used": len(np.unique(placed.node[placed.node >= 0])),
        "free": {statement.devices or statement.dimensions[0]: placed.free},
        "unusable": placed.unusable,
        "seconds": placed.seconds,
        "milliseconds": {
            "mean": float(placed.milliseconds.mean()) if len(placed.milliseconds) else 0.0,
            "worst": float(placed.milliseconds.max(initial=0.0)),
        },
    }


def _views(statement: Statement, found: dict[str, Any]) -> list[View]:
    (resource, free), *_ = found["free"].items()
    facts = {
        "placed": f"{found['placed']:,} of {found['containers']:,} when they arrived",
        "running at the end": f"{found['running']:,}",
        "nodes used": f"{found['nodes_used']:,} of {len(statement.nodes):,}",
        f"free {resource}": f"{free:,.6g}",
        "seconds": f"{found['seconds']:.2f}, {found['milliseconds']['mean']:.3f} ms a container",
    }
    if found["unusable"] is not None:
        facts["fragmented"] = (
            f"{found['unusable']:.2%} of all {resource}, free but of no use to most arrivals"
        )
    views: list[View] = [Facts(f"Placement on arrival by {found['policy']}", facts)]
    without = sorted(found["unplaced"].items(), key=lambda pair: -pair[1])
    if without:
        rows = [[app, str(count)] for app, count in without[:SHOWN]]
        views.append(
            Table("Without room when they arrived", ["application", Column("containers", right=True)], rows)
        )
    if len(without) > SHOWN:
        views.append(Line(f"and {len(without) - SHOWN} applications more; output=json lists all", "dim"))
    return views
