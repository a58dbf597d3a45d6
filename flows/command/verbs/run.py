"""Run the chain of stages; what is finished under the same settings is reused.

metis run                                   the whole chain on the embedded testbed
metis run experiment=quick                  the same in seconds
metis run size=large group.size=1000        729 nodes
metis run rerun=[simulator]                 do one stage again
metis run until=evaluate                    stop there
metis run -m group.size=200,300 seed=0,1    a sweep: every combination, one MLflow parent
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from flows.command.output import only_json
from flows.command.verbs.compare import as_json, title_of
from flows.configuration.compose import compose_plain
from flows.configuration.settings import Settings, validated
from flows.engine.chain import Outcome, StepError, run_chain
from flows.engine.console import comparison_table, progress_bar, say, stdout
from flows.sweeps.sweep import is_sweep, run_sweep
from metis.files import written_whole


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    if is_sweep(arguments):
        return run_sweep(arguments)
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        try:
            with progress_bar() as progress:
                outcome = run_chain(settings, progress, resume_command(arguments))
        except StepError as error:
            say(f"metis: {error}")
            say(resume_command(arguments))
            return error.exit_code
        page = publish_page(settings, outcome)
        results = read_results(outcome)
        if settings.output == "json":
            answer(
                {
                    "done": list(outcome.done),
                    "runs": {name: record.run_id for name, record in outcome.records.items()},
                    "report": str(page) if page else None,
                    "schedulers": {} if results is None else as_json(results),
                }
            )
        else:
            _show(settings, outcome, results, page)
    return 0


def resume_command(arguments: Sequence[str]) -> str:
    """The exact command that goes on where a run stopped."""
    return shlex.join(["metis", "run", *arguments])


def read_results(outcome: Outcome) -> pd.DataFrame | None:
    """The results of the evaluate stage, if it was asked for."""
    folder = outcome.folder("evaluate")
    return None if folder is None else pd.read_csv(folder / "results.csv")


def publish_page(settings: Settings, outcome: Outcome) -> Path | None:
    """Copy the report to where a person finds it: `report`, or `report.html` beside the tracking store."""
    folder = outcome.folder("report")
    if folder is None:
        return None
    target = Path(settings.report) if settings.report else Path(settings.tracking.path) / "report.html"
    with written_whole(target) as file:
        file.write((folder / "report.html").read_bytes())
    return target.absolute()


def _show(settings: Settings, outcome: Outcome, results: pd.DataFrame | None, page: Path | None) -> None:
    reused = len(outcome.records) - len(outcome.done)
    if results is not None:
        stdout.print(comparison_table(results, title_of(settings, results)))
    stdout.print(f"{len(outcome.done)} steps done, {reused} reused", style="dim")
    if page is not None:
        stdout.print(f"report: {page}", soft_wrap=True, markup=False)
