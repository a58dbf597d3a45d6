"""Lines of progress: the first after two seconds, then every ten, with the time left of the whole."""

import pytest

from flows.engine import console
from flows.engine.console import FIRST_AFTER, LINE_EVERY, Lines, clock


@pytest.fixture
def at(monkeypatch):
    """A clock that stands still; set `at[0]` to move it."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_what_reports_nothing_more_is_named_all_the_same(at, capsys):
    lines = Lines("2/6 seed=1: ")
    lines.report("simulator", 0, 1)
    lines.print_due(100 + FIRST_AFTER - 0.1)
    assert capsys.readouterr().err == ""
    lines.print_due(100 + FIRST_AFTER)
    assert capsys.readouterr().err == "  2/6 seed=1: simulator: 2 s so far\n"
    lines.print_due(100 + FIRST_AFTER + LINE_EVERY - 0.1)
    assert capsys.readouterr().err == ""
    lines.print_due(100 + FIRST_AFTER + LINE_EVERY)
    assert capsys.readouterr().err == "  2/6 seed=1: simulator: 12 s so far\n"


def test_a_line_says_how_much_is_done_what_is_known_and_the_time_left(at, capsys):
    lines = Lines()
    lines.report("vanilla_rl", 0, 3)
    at[0] = 160.0
    lines.report("vanilla_rl", 0.5, 3, ", 95.10% of the bound")
    assert capsys.readouterr().err == "  vanilla_rl: 0.5 of 3, 95.10% of the bound, about 5:00 left\n"


def test_nothing_is_said_of_what_has_ended(at, capsys):
    lines = Lines()
    lines.report("greedy", 0, 1)
    lines.report("greedy", 1, 1)
    lines.print_due(200.0)
    assert capsys.readouterr().err == ""


def test_durations_are_read_as_a_clock_shows_them():
    assert [clock(s) for s in (7.4, 750, 3723)] == ["0:07", "12:30", "1:02:03"]
