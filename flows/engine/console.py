"""Lines and progress on standard error."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from flows.engine import work
from flows.engine.secrets import masked

LINE_EVERY = 10.0
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[work.Progress]:
    """Show a progress bar on standard error; where that is no terminal, a line every `LINE_EVERY` seconds."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(text: str, done: int, total: int, known: str = "") -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(text, total=total)
            described = f"{text}{known}"
            bar.update(tasks[text], description=described, completed=done, visible=done < total)

        yield report


def _lines() -> work.Progress:
    last = time.monotonic()

    def report(text: str, done: int, total: int, known: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY:
            last = time.monotonic()
            say(f"  {text}: {done} of {total}{known}")

    return report


def say(text: str) -> None:
    """Print one line on standard error, as it stands (no markup) but for secrets."""
    stderr.print(masked(text), markup=False)
