"""The result of a sweep: its summary as a table, and where its files lie."""

from flows.command.result import Column, Line, Result, Table, View
from flows.sweeps.sweep import SweepOutcome


def sweep_result(outcome: SweepOutcome) -> Result:
    """Return what a sweep ended with."""
    from flows.sweeps.table import sweep_rows

    if outcome.summary is None:
        return Result(exit_code=outcome.exit_code)
    named, figures, rows = sweep_rows(outcome.summary)
    columns = [Column(name, wrap=False) for name in named]
    columns += [Column(name, right=True, wrap=False) for name in figures]
    document = {"sweep": outcome.run_id, "summary": outcome.summary.to_dict("records")}
    views: list[View] = [Table("Sweep", columns, rows), Line(f"table and figure: {outcome.folder}")]
    return Result(document, views, outcome.exit_code)
