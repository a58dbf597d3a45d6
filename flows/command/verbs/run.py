"""Run the chain of stages; what is finished under the same settings is reused.

metis run                                   the whole chain on the embedded testbed
metis run experiment=quick                  the same in seconds
metis run size=large group.size=1000        729 nodes
metis run rerun=[simulator]                 do one stage again
metis run until=evaluate                    stop there
metis run experiment=week                   policies look after a simulated week of a cluster
metis run -m group.size=200,300 seed=0,1    a sweep: every combination, one MLflow parent
"""

from collections.abc import Sequence
from pathlib import Path

from flows.command.comparison import (
    comparison_document,
    comparison_table,
    comparison_title,
    error_lines,
    noted,
)
from flows.command.request import EVERY, OF_ONE_VERB, Request, Verb
from flows.command.result import Line, Result, View
from flows.command.week import week_views
from flows.configuration.settings import Settings
from flows.engine.memo import Outcome
from flows.prefect.run import run_chain
from flows.stages.evaluate import read_notes, read_results
from flows.stages.sample import in_words
from flows.stages.week import read_week
from metis.errors import SurroundingsError
from metis.files import written_whole


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    with request.progress() as progress:
        outcome = run_chain(settings, progress, request.command)
    page, unwritten = None, None
    try:
        page = publish_page(settings, outcome)
    except SurroundingsError as error:  # once what was computed is shown
        unwritten = error
    evaluated = outcome.folder("evaluate")
    results = None if evaluated is None else read_results(evaluated)
    notes = [] if evaluated is None else read_notes(evaluated)
    document = {
        "done": list(outcome.done),
        "runs": {name: record.run_id for name, record in outcome.records.items()},
        "report": str(page) if page else None,
        **({"schedulers": {}} if results is None else noted(comparison_document(results), notes)),
    }
    views: list[View] = []
    week = outcome.folder("week")
    if week is not None:
        document["week"] = read_week(week)
        views += week_views(document["week"])
    if results is not None:
        exact = settings.simulator.kind == "testbed"
        views.append(comparison_table(results, comparison_title(settings, results), exact=exact))
        views += [*error_lines(results), *(Line(note) for note in notes)]
    sample = outcome.folder("sample")
    if sample is not None:
        views.append(Line(in_words(sample)))
    reused = len(outcome.records) - len(outcome.done)
    views.append(Line(f"{len(outcome.done)} steps done, {reused} reused", "dim"))
    if page is not None:
        views.append(Line(f"report: {page}"))
    return Result(document, views, error=unwritten)


def publish_page(settings: Settings, outcome: Outcome) -> Path | None:
    """Copy the page to where a person finds it: `report`, or `report.html` beside the tracking store."""
    folder = outcome.folder("report")
    if folder is None:
        return None
    target = Path(settings.report) if settings.report else Path(settings.tracking.path) / "report.html"
    with written_whole(target) as file:
        file.write((folder / "report.html").read_bytes())
    return target.absolute()


def _sweep(words: Sequence[str]) -> int | None:
    """Run a sweep where one is asked for."""
    if not any(word in ("-m", "--multirun") or "experiment=" in word for word in words):
        return None
    from flows.command.presenter import present
    from flows.command.sweep import sweep_result
    from flows.sweeps.sweep import is_sweep, run_sweep

    if not is_sweep(words):
        return None
    outcome = run_sweep(words)
    if outcome.summary is not None:
        present(sweep_result(outcome), as_json=outcome.settings.output == "json")
    return outcome.exit_code


VERB = Verb(run, settings=EVERY, unread=OF_ONE_VERB, unparsed=_sweep)
