"""The habits of the trade: `make help`, hooks before a commit, a workflow for forks."""

import re
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def read(name):
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def test_make_help_lists_every_target():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1).split()
    printed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^make ([a-z-]+) +\S", printed, re.MULTILINE)
    assert sorted(listed) == sorted(targets)


def test_hooks_fetch_nothing():
    hooks = read(".pre-commit-config.yaml")["repos"]
    assert {one["repo"] for one in hooks} == {"local"}
    for hook in hooks[0]["hooks"]:
        assert hook["language"] == "system", hook
        assert hook["entry"].startswith(".venv/bin/"), hook


def test_lint_and_hooks_run_the_same_tools():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for tool in ("ruff", "lint-imports", "mypy"):
        assert f"$(BIN)/{tool}" in makefile
        assert any(tool in hook["entry"] for hook in read(".pre-commit-config.yaml")["repos"][0]["hooks"])


def test_forks_run_what_ci_runs():
    jobs = read(".github/workflows/ci.yml")["jobs"].values()
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert any(".ci/run" in run for run in runs)
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o100


def test_make_run_ends_with_how_to_get_the_command():
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").partition("\nrun: ")[2].partition("\n\n")[0]
    assert recipe.splitlines()[-1].endswith("source $(BIN)/activate && metis --help'")
