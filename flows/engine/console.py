"""What a person sees: progress on standard error, tables on standard output."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from flows.engine import work

if TYPE_CHECKING:
    import pandas as pd

LINE_EVERY = 10.0
stderr = Console(stderr=True, highlight=False, soft_wrap=True)
# a pipe has no width of its own: wide enough that no column is cut
stdout = Console(highlight=False, width=None if sys.stdout.isatty() else 120)


@contextmanager
def progress_bar() -> Iterator[work.Progress]:
    """A progress bar on standard error; where that is no terminal, a line every `LINE_EVERY` seconds."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def tell(text: str, done: int, total: int, known: str = "") -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(text, total=total)
            described = f"{text}{known}"
            bar.update(tasks[text], description=described, completed=done, visible=done < total)

        yield tell


def _lines() -> work.Progress:
    told = time.monotonic()

    def tell(text: str, done: int, total: int, known: str = "") -> None:
        nonlocal told
        if time.monotonic() - told >= LINE_EVERY:
            told = time.monotonic()
            say(f"  {text}: {done} of {total}{known}")

    return tell


def say(text: str) -> None:
    """One line on standard error, as it stands (no markup)."""
    stderr.print(text, markup=False)


def comparison_table(results: "pd.DataFrame", title: str) -> Table:
    """Schedulers against each other, best first: RPS, ratio to the optimum, seconds, free nodes.

    Args:
        results: one row per scheduler and group, see `flows.placing.decisions.judge`.
        title: of the table.
    """
    from flows.report.data import summarise  # pandas is slow to import, and only tables need it

    summary = summarise(results)
    columns = [
        ("mean RPS", "rps_mean", "{:.4f}"),
        ("true RPS", "true_rps_mean", "{:.4f}"),
        ("of optimum", "ratio_mean", "{:.2%}"),
        ("worst", "ratio_min", "{:.2%}"),
        ("truly", "true_ratio_mean", "{:.2%}"),
        ("seconds", "seconds_mean", "{:.4f}"),
        ("free nodes", "free_nodes_mean", "{:.1f}"),
        ("SLO 0.95", "slo_0.95_mean", "{:.1%}"),
    ]
    shown = [column for column in columns if column[1] in summary and summary[column[1]].notna().any()]
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    table.add_column("scheduler", no_wrap=True)
    for heading, _, _ in shown:
        table.add_column(heading, justify="right")
    for row in summary.to_dict("records"):
        cells = [form.format(row[key]) for _, key, form in shown]
        table.add_row(str(row["scheduler"]), *cells, style="bold" if row["is_optimum"] else None)
    return table


def facts_table(title: str, facts: dict[str, Any]) -> Table:
    """Names and values, two columns."""
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in facts.items():
        table.add_row(name, str(value))
    return table
