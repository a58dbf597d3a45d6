"""What the docs say to type works as they say."""

import json
import re
import shlex
from pathlib import Path

import pytest

from flows.command.commands import VERBS
from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.stages.chain import CHAIN

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
WALKED = (
    "objective=apart",
    "schedulers=[optimum,greedy,pack]",
)  # what the walks of CONTRIBUTING.md would add
FENCE = re.compile(r"```[a-z]*(?: title=\"([^\"]+)\")?\n(.*?)```", re.DOTALL)


def commands(page):
    """Every `metis` command line of a page's code blocks and tables."""
    text = page.read_text(encoding="utf-8")
    lines = [line.strip() for _, block in FENCE.findall(text) for line in block.splitlines()]
    lines = [line.partition("  #")[0].strip() for line in lines if line.startswith("metis ")]
    return [*lines, *within_text(page)]


def within_text(page):
    """Those within text and tables; `test_shell` sees to code blocks."""
    return re.findall(r"`(metis [^`]+)`", page.read_text(encoding="utf-8"))


def test_the_page_of_many_applications_explains_how_long_columns_are_sought():
    text = (DOCS / "many-applications.md").read_text(encoding="utf-8")
    assert [one for one in ("seconds", "prove", "quick") if f"`columns.{one}" not in text] == []


def test_there_are_pages_with_commands():
    assert len(PAGES) > 10
    assert sum(len(commands(page)) for page in PAGES) > 40


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_within_text_names_a_verb_and_settings_that_exist(page):
    for line in within_text(page):
        verb, *words = shlex.split(line)[1:]
        if verb.startswith("-") or verb == "VERB" or any(word in (*WALKED, "--config-dir") for word in words):
            continue
        assert verb in VERBS, line
        overrides = [word for word in words if "=" in word and not word.startswith("-")]
        if any("," in word and "[" not in word and "{" not in word for word in overrides):
            continue  # a sweep: its jobs are composed by its own tests
        given = {word.partition("=")[0] for word in overrides}
        if "cluster=hosts" in overrides:
            overrides += [] if "cluster.inventory" in given else ["cluster.inventory=hosts.yaml"]
            overrides += [] if "apps.names" in given else ["apps.names=[Redis]"]
        validated(compose_plain(overrides))


@pytest.mark.parametrize("page", [DOCS / "stages.md", DOCS.parent / "README.md"], ids=lambda page: page.stem)
def test_the_chain_is_shown_in_its_order_with_all_that_every_run_does(page):
    shown = re.search(r"`(setup → [^`]*)`", page.read_text(encoding="utf-8"))[1].split(" → ")
    beside = {"rebalance", "week", "deploy", "trial", "watch"}  # which only some runs ask for
    assert shown == [stage.name for stage in CHAIN if stage.name not in beside]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_shell_splits_a_word_with_braces(page):
    for line in commands(page):
        bare = re.sub(r"'[^']*'", "", line)
        assert not re.search(r"{[^}\s]*,[^}\s]*}", bare), line


def test_the_scheduler_of_the_docs_places_every_container(tmp_path, monkeypatch, capsys, full_profile):
    blocks = dict(FENCE.findall((DOCS / "add-your-own-scheduler.md").read_text(encoding="utf-8")))
    (tmp_path / "mine.py").write_text(blocks["mine.py"], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = ["place", "scheduler=mine:place", "group.size=14", "cluster.nodes=6", "cluster.slots=3"]
    profile = ["profile=file", f"profile.path={full_profile}", "simulator=table", "output=json"]
    assert main([*words, *profile, f"tracking.path={tmp_path / 'mlruns'}"]) == 0
    placed = json.loads(capsys.readouterr().out)
    assert sum(sum(held.values()) for held in placed["placement"].values()) == 14
    assert placed["gap"] < 0.2


def test_own_measurements_by_the_page_end_in_a_placement(tmp_path, monkeypatch, capfd):
    page = DOCS / "own-measurements.md"
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    for title, text in blocks:
        if title:
            (tmp_path / title).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    lines = [line for title, text in blocks if not title for line in text.splitlines()]
    typed = [shlex.split(line)[1:] for line in lines if line.startswith("metis ")]
    assert len(typed) == 7
    for words in typed:
        assert main(words) == 0, words
    out = capfd.readouterr().out
    assert "web 812, db 96.5" in out
    placed = json.loads((tmp_path / "plan.json").read_text())["placement"]
    assert {app: sum(held.get(app, 0) for held in placed.values()) for app in ("web", "db")} == {
        "web": 5,
        "db": 3,
    }
    exec(next(text for _, text in blocks if "from_frame" in text), {})
    assert {path.name for path in tmp_path.glob("*.npz")} >= {
        f"{name}.npz" for name in ("mine", "long", "typed", "runs", "frame")
    }


def test_the_page_of_own_measurements_has_the_columns_that_are_read():
    from metis.measure.load_results import HEY, K6, K6_FAILED, LOCUST

    text = (DOCS / "own-measurements.md").read_text(encoding="utf-8")
    metrics = [f"{metric}.{value}" for metric, value in K6] + [K6_FAILED[0]]
    for name in (*LOCUST, *metrics, *(set(HEY) - {"offset"})):
        assert f"`{name}`" in text, name


def test_the_pages_build_and_their_links_lead_somewhere(tmp_path):
    import subprocess
    import sys

    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=DOCS.parent)
    assert built.returncode == 0, built.stdout + built.stderr
    assert (tmp_path / "stages" / "index.html").is_file()


def test_what_the_commands_of_the_readme_write_is_ignored_by_git():
    import subprocess

    root = DOCS.parent
    if not (root / ".git").exists():
        pytest.skip("not a checkout")
    words = [word for line in commands(root / "README.md") for word in shlex.split(line)]
    written = [word.partition("=")[2] for word in words if word.startswith(("out=", "report="))]
    written += [line.split()[2] for line in commands(root / "README.md") if line.startswith("metis init ")]
    assert {"constraints/", "plan.json", "mine"} <= set(written)
    for name in written:
        ignored = subprocess.run(["git", "check-ignore", "-q", name.rstrip("/") + "/x"], cwd=root)
        assert ignored.returncode == 0, f"{name}: not in .gitignore"
