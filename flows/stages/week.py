"""Stage week: policies look after the same simulated life of a cluster, side by side."""

import csv
import io
from functools import partial

from flows.configuration.objects import knows_truth
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.work import TIMINGS, Work
from flows.placing.week import run_week, week_document
from flows.stages.shared import TESTBED, asks_for, packaged_coefficients

RESULT = "week.json"
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
    (work.recording.about / "week.svg").write_bytes(week_figure(document))


def has_week(settings: Settings) -> bool:
    """Whether a week is simulated in a run: only where the stage is asked for."""
    return asks_for(settings, "week")


STAGE = Stage(
    name="week",
    about="Let policies look after a simulated week of arrivals, departures, lost nodes and drift.",
    run=run,
    settings=("week", "rebalance", "cluster.nodes", "rules", "objective", *TESTBED),
    derived={"truth": knows_truth, "coefficients": packaged_coefficients},
    modules=("flows.placing.week", "metis.problem.objectives"),
    present=has_week,
    doing="simulated",
)
