"""Lines and progress on standard error."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from flows.engine import work
from flows.engine.secrets import masked

FIRST_AFTER = 2.0  # seconds after which what goes on is said for the first time
LINE_EVERY = 10.0  # seconds between two lines about the same
TICK = 0.25
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[work.Progress]:
    """Show a progress bar on standard error; where that is no terminal, lines as `progress_lines` does."""
    if not sys.stderr.isatty():
        with progress_lines() as report:
            yield report
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def report(text: str, done: float, total: int, known: str = "") -> None:
            if text not in tasks:
                tasks[text] = bar.add_task(text, total=total)
            described = f"{text}{known}"
            bar.update(tasks[text], description=described, completed=done, visible=done < total)

        yield report


@contextmanager
def progress_lines(prefix: str = "") -> Iterator[work.Progress]:
    """Print what goes on as lines: after `FIRST_AFTER` seconds, then every `LINE_EVERY`, come reports or not.

    Args:
        prefix: begins every line, where several processes write to one terminal.
    """
    lines = Lines(prefix)
    lines.report("starting", 0, 1)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(TICK):
            lines.print_due(time.monotonic())

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield lines.report
    finally:
        ended.set()


class Lines:
    """What goes on, as lines that are due from time to time."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix
        self._lock = threading.Lock()
        self._begun: dict[str, tuple[float, float]] = {}  # text -> when, and how much was done then
        self._said: set[str] = set()
        self._last = time.monotonic()
        self._now: tuple[str, float, int, str] | None = None

    def report(self, text: str, done: float, total: int, known: str = "") -> None:
        """See `work.Progress`."""
        now = time.monotonic()
        with self._lock:
            self._begun.setdefault(text, (now, done))
            self._now = (text, done, total, known)
        self.print_due(now)

    def print_due(self, now: float) -> None:
        """Print a line, if anything goes on and one is due at `now`, in seconds of the monotonic clock."""
        with self._lock:
            if self._now is None or self._now[1] >= self._now[2]:
                return
            begun = self._begun[self._now[0]][0]
            new = self._now[0] not in self._said
            if now - max(self._last, begun if new else 0.0) < (FIRST_AFTER if new else LINE_EVERY):
                return
            self._last = now
            self._said.add(self._now[0])
            line = self._line(now, *self._now)
        say(line)

    def _line(self, now: float, text: str, done: float, total: int, known: str) -> str:
        begun, before = self._begun[text]
        amount = f"{_short(done)} of {total:,}" if total > 1 or done else f"{now - begun:.0f} s so far"
        left = ""
        if done > before:
            left = f", about {clock((now - begun) * (total - done) / (done - before))} left"
        return f"  {self._prefix}{text}: {amount}{known}{left}"


def _short(done: float) -> str:
    """Return how much is done: whole numbers whole, others to two places."""
    return f"{done:,.2f}".rstrip("0").rstrip(".")


def clock(seconds: float) -> str:
    """Return a duration as `0:07`, `12:30` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def say(text: str) -> None:
    """Print one line on standard error, as it stands (no markup) but for secrets."""
    stderr.print(masked(text), markup=False)
