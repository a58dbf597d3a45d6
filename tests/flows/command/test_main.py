"""The command itself: its help, its exit codes, and what it imports."""

import json
import os
import subprocess
import sys

import pytest

from flows.command.commands import VERBS
from flows.command.main import main

HEAVY = ("mlflow", "prefect", "hydra", "pandas", "tensorflow", "sklearn", "scipy", "cvxpy", "docker")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_help_lists_the_verbs(words, capfd):
    assert main(words) == 0
    out = capfd.readouterr().out
    assert all(verb in out for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capfd):
    assert main([verb, "--help"]) == 0
    assert f"metis {verb}" in capfd.readouterr().out


def test_nothing_and_nonsense(capfd):
    assert main([]) == 2
    assert main(["plaace"]) == 2
    out, err = capfd.readouterr()
    assert "Usage: metis" in out
    assert err == "metis: 'plaace' is not a verb; did you mean place?\n"
    assert main(["xyzzy"]) == 2
    assert capfd.readouterr().err.startswith("metis: 'xyzzy' is not a verb; use one of init, run, ")
    assert main(["--version"]) == 0
    assert capfd.readouterr().out.startswith("metis ")


def test_help_imports_nothing_heavy():
    code = (
        "import json, sys\n"
        "from flows.command.main import main\n"
        "main(['--help'])\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, timeout=200
    )
    assert not set(HEAVY) & set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["place", "--info"], "--info: use `metis config`"),
        (["place", "--config-name=x"], "--config-name: use experiment=NAME"),
        (["place", "-m", "seed=1,2"], "metis place: takes no -m; a sweep is `metis run -m key=a,b`"),
        (["place", "--cfg", "hydra"], "--cfg 'hydra': use `--cfg job`"),
        (["place", "--config-dir", "nowhere"], "--config-dir 'nowhere': give a folder"),
        (["config", "plaace"], "config: 'plaace' is not a verb; did you mean place?"),
        (["completion"], "completion: 'no shell': name one of bash, zsh, fish"),
    ],
)
def test_what_cannot_be_done_is_one_line_that_says_what_to_use(words, says, capfd):
    assert main(words) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"metis: {says}")
    assert err.count("\n") == 1
