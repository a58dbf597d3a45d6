"""Stage rebalance: plans to improve what runs by few moves, each with its bound and a safe order."""

import csv
import io
from functools import partial
from typing import Any

import numpy as np

from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.declaration import Stage
from flows.engine.work import TIMINGS, Work
from flows.placing.rebalancing import group_given, propose
from flows.placing.tables import known_in, notes_on, tables_of
from flows.stages.shared import PROBLEM, asks_for
from metis.operate.settings import PLANNING

RESULT = "rebalance.json"
TIMED = ("seconds", "cpu_seconds")
NUMBERS = ("moves", "value", "rps", "bound", "gap", "price")


def run(work: Work) -> None:
    """Write `rebalance.json` (the frontier, or one plan), and `placement.npz` of the plan proposed."""
    from flows.report.frontier import frontier_figure
    from metis.files import save_arrays

    settings = work.settings
    simulator = known_in(work.inputs["simulator"])
    for note in notes_on(simulator, settings):
        say(f"  {note}")
    known = tables_of(simulator)
    made = propose(settings, known, group_given(settings), partial(work.progress, "plans"))
    document = made.document
    points = document.get("frontier", [document])
    seconds = io.StringIO()
    table = csv.writer(seconds, lineterminator="\n")
    table.writerow(["moves", *TIMED])
    table.writerows([point["moves"], *(point.pop(name) for name in TIMED)] for point in points)
    work.write(TIMINGS, seconds.getvalue().encode())
    work.write_json(RESULT, document)
    placement = made.found.plans[made.knee.index].placement
    names = {"apps": np.array(known.space.apps), "nodes": np.array(made.found.nodes)}
    save_arrays(work.folder / "placement.npz", {"placement": placement, **names})
    work.recording.curve([_numbers(point) for point in points])
    (work.recording.about / "frontier.svg").write_bytes(frontier_figure(document))


def _numbers(point: dict[str, Any]) -> dict[str, float]:
    return {name: float(point[name]) for name in NUMBERS}


def has_moves(settings: Settings) -> bool:
    """Whether moves are planned in a run: only where the stage is asked for."""
    return asks_for(settings, "rebalance")


STAGE = Stage(
    name="rebalance",
    about="Plan the few moves that improve what runs.",
    run=run,
    settings=(*PROBLEM, "moves", "move_cost", *PLANNING),
    inputs=("simulator",),
    modules=("metis.operate.rebalance", "metis.problem.objectives", "metis.problem.placement_files"),
    present=has_moves,
)
