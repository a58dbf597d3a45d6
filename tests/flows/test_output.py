"""One JSON document on standard output, and nothing else, whoever prints."""

import json
import os
import subprocess
import sys

import pytest

from flows.command.output import only_json

CODE = """
import os, subprocess, sys
from flows.command.output import only_json
print('before')
with only_json({wanted}) as answer:
    print('from python')
    os.write(1, b'from a library in C\\n')
    subprocess.run([sys.executable, '-c', "print('from a child')"], check=True)
    if {wanted}: answer({{'a': 'é', 'b': [1.5, None]}})
    if {fails}: raise SystemExit(3)
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
    with pytest.raises(ValueError, match="JSON"), only_json(True) as answer:
        answer({"gap": float("nan")})
    assert capfd.readouterr().out == ""
    with only_json(False) as answer, pytest.raises(RuntimeError):
        answer({})
