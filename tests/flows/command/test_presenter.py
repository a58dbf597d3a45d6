"""One JSON document on standard output and nothing else, whoever prints; tables for a person."""

import json
import os
import subprocess
import sys

import pytest

from flows.command.presenter import present
from flows.command.result import Column, Facts, Line, Result, Table

CODE = """
import os, subprocess, sys
from flows.command.presenter import only_json, present
from flows.command.result import Result
print('before')
with only_json({wanted}):
    print('from python')
    os.write(1, b'from a library in C\\n')
    subprocess.run([sys.executable, '-c', "print('from a child')"], check=True)
    if {fails}: raise SystemExit(3)
if {wanted}: present(Result({{'a': 'é', 'b': [1.5, None]}}), as_json=True)
print('after')
"""


def printed(wanted, fails=False):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(wanted=wanted, fails=fails)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines()


CHATTER = {"from python", "from a library in C", "from a child"}


def test_only_the_document_reaches_standard_output():
    code, out, err = printed(wanted=True)
    assert code == 0, err
    assert (out[0], out[-1], len(out)) == ("before", "after", 3)
    assert json.loads(out[1]) == {"a": "é", "b": [1.5, None]}
    assert set(err) >= CHATTER


def test_a_failure_prints_no_document_and_gives_standard_output_back():
    code, out, err = printed(wanted=True, fails=True)
    assert (code, out) == (3, ["before"])
    assert set(err) >= CHATTER


def test_without_it_nothing_is_changed():
    code, out, err = printed(wanted=False)
    assert code == 0, err
    assert set(out) == CHATTER | {"before", "after"}


def test_what_json_cannot_say_is_no_document(capfd):
    with pytest.raises(ValueError, match="JSON"):
        present(Result({"gap": float("nan")}), as_json=True)
    assert capfd.readouterr().out == ""


def test_views_are_for_a_person_and_the_document_for_a_program(capfd):
    columns = ["name", Column("figure", right=True)]
    views = [
        Table("Title", columns, [["[bold]x[/bold]", "1.5"]], {0: "bold"}, {"name": {"y": "red"}}),
        Facts("Facts", {"a": 1, "b": "two"}),
        Line("a path/" + "long/" * 60 + "end", "dim"),
    ]
    present(Result({"a": 1}, views), as_json=False)
    out = capfd.readouterr().out
    assert "[bold]x[/bold]" in out  # as it stands, no markup
    assert [word in out for word in ("Title", "figure", "1.5", "Facts", "two")] == [True] * 5
    assert "long/" * 60 in out  # a path is not broken
    present(Result({"a": 1}, views), as_json=True)
    assert capfd.readouterr().out == '{"a": 1}\n'
    present(Result(), as_json=True)
    assert capfd.readouterr().out == ""


def test_a_table_wider_than_a_pipe_loses_no_letter(capsys):
    columns = tuple(f"heading {i:02d}" for i in range(20))
    cells = tuple(f"{i:02d}: 100.00%" for i in range(20))
    present(Result(views=(Table("Wide", columns, (cells,)),)), as_json=False)
    out = capsys.readouterr().out
    for text in (*columns, *cells):
        assert text in out
