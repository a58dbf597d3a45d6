"""Stage week: policies look after the same simulated life of a cluster, side by side."""

import csv
import io
from functools import partial
from pathlib import Path
from typing import Any

from flows.configuration.objects import knows_truth
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.runs import ABOUT
from flows.engine.work import TIMINGS, Work, read_json
from flows.placing.week import run_week, week_document
from flows.stages.shared import TESTBED, asks_for, packaged_coefficients
from metis.operate.settings import PLANNING

RESULT, FIGURE = "week.json", "week.svg"
NUMBERS = ("share", "value", "moves", "above_slo", "waiting")


def run(work: Work) -> None:
    """Write `week.json`, and as artifacts the figure and a table by hour."""
    from flows.report.week import week_figure

    settings = work.settings
    week = run_week(settings, partial(work.progress, "hours"))
    document = week_document(week, settings.objective.name)
    seconds = io.StringIO()
    table = csv.writer(seconds, lineterminator="\n")
    table.writerow(["policy", "cpu_seconds"])
    table.writerows([name, kept.cpu_seconds] for name, kept in week.kept.items())
    work.write(TIMINGS, seconds.getvalue().encode())
    work.write_json(RESULT, document)
    hours = range(document["hours"])
    work.recording.curve(
        [
            {
                f"{name.replace('+', '_')}/{number}": float(found["by_hour"][number][hour])
                for name, found in document["policies"].items()
                for number in NUMBERS
            }
            for hour in hours
        ]
    )
    (work.recording.about / FIGURE).write_bytes(week_figure(document))


def read_week(folder: Path) -> dict[str, Any]:
    """Return the output of this stage, with the CPU seconds of each policy and the path of the figure.

    The figure is None where it is on another machine.
    """
    document: dict[str, Any] = read_json(folder / RESULT)
    with (folder / TIMINGS).open(newline="", encoding="utf-8") as file:
        spent = {row["policy"]: float(row["cpu_seconds"]) for row in csv.DictReader(file)}
    found = {name: document["policies"][name] | {"cpu_seconds": spent[name]} for name in spent}
    figure = folder / ABOUT / FIGURE
    return document | {"policies": found, "figure": str(figure) if figure.is_file() else None}


def has_week(settings: Settings) -> bool:
    """Whether a week is simulated in a run: only where the stage is asked for."""
    return asks_for(settings, "week")


STAGE = Stage(
    name="week",
    about="Let policies look after a simulated week of arrivals, departures, lost nodes and drift.",
    run=run,
    settings=("week", *PLANNING, "cluster.nodes", "rules", "objective", *TESTBED),
    derived={"truth": knows_truth, "coefficients": packaged_coefficients},
    modules=("flows.placing.week", "metis.problem.objectives"),
    present=has_week,
    doing="simulated",
)
