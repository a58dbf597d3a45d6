"""The real chain, shrunk: what is finished is reused, and only what a change touches is done again."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from flows.command.main import main
from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.prefect.run import run_chain
from tests import preloaded

SAMPLED = ["profile=testbed", "simulator=boosted"]  # a random share: nothing is explored
SMALL = [
    "experiment=quick",
    "cluster.nodes=9",
    "cluster.slots=4",
    "group.size=20",
    "groups.count=2",
    "simulator.trees=10",
    "simulator.held_out=0.1",
    "schedulers=[greedy,greedy+local_search]",
    *SAMPLED,
]
STEPS = [
    "setup",
    "profile",
    "simulator",
    "constraints",
    "baselines/optimum",
    "baselines/greedy",
    "baselines/greedy+local_search",
    "evaluate",
    "report",
]
PLACED = STEPS[4:7]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, empty_database):
    """One tracking folder for all tests here; each looks at what its own change adds."""
    folder = tmp_path_factory.mktemp("chain") / "my [runs] é=1"
    folder.mkdir()
    shutil.copy(empty_database, folder)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    def run(*overrides):
        words = [*SMALL, f"tracking.path={folder}", "tracking.orchestrate=false", *overrides]
        return run_chain(validated(compose_plain(words)))

    return run


@pytest.fixture(scope="module")
def first(run):
    return run()


def test_a_first_run_does_every_step_in_order(first):
    assert list(first.done) == STEPS
    assert list(first.records) == STEPS
    for step, name in (
        ("setup", "inventory.json"),
        ("profile", "profile.npz"),
        ("simulator", "simulator.npz"),
        ("constraints", "interference_applist.csv"),
        ("baselines/greedy", "decisions.npz"),
        ("evaluate", "results.csv"),
        ("report", "report.html"),
    ):
        assert (first.folder(step) / name).stat().st_size > 0, step
    assert first.folder("deploy") is None


def test_a_second_run_does_nothing(first, run):
    again = run()
    assert list(again.done) == []
    assert again.records == first.records


def test_what_only_shows_changes_nothing(first, run):
    assert list(run("output=json", "report=elsewhere.html", "scheduler=spread").done) == []
    assert first.done


def test_another_seed_of_the_groups_places_again_but_learns_nothing_again(first, run):
    again = run("groups.seed=7")
    assert list(again.done) == [*PLACED, "evaluate", "report"]
    assert again.records["simulator"] == first.records["simulator"]


def test_one_more_scheduler_is_one_more_step(first, run):
    again = run("schedulers=[greedy,greedy+local_search,spread]")
    assert list(again.done) == ["baselines/spread", "evaluate", "report"]
    assert again.records["baselines/greedy"] == first.records["baselines/greedy"]


def test_rerun_does_a_stage_again_and_reuses_what_an_unchanged_output_feeds(first, run):
    again = run("rerun=[simulator]")
    assert list(again.done) == ["simulator"]
    assert again.records["simulator"].run_id != first.records["simulator"].run_id
    assert again.records["simulator"].digest == first.records["simulator"].digest
    assert list(run().done) == []


def test_rerun_of_one_scheduler_redoes_nothing_after_it_where_it_decides_the_same(first, run):
    again = run("rerun=[baselines/greedy]")
    assert list(again.done) == ["baselines/greedy"]  # other seconds, the same decisions
    assert again.records["baselines/greedy"].run_id != first.records["baselines/greedy"].run_id
    assert again.records["evaluate"] == first.records["evaluate"]


def test_a_part_of_the_chain(run, folder):
    assert set(run("until=simulator").records) == {"setup", "profile", "simulator"}
    partial = run("stages=[baselines/greedy]", "groups.seed=11")
    assert list(partial.done) == ["baselines/greedy"]
    assert not list(folder.glob(".stage-*"))


def test_a_damaged_artifact_is_done_again(run):
    before = run("groups.seed=13")
    victim = before.folder("baselines/greedy") / "decisions.npz"
    raw = bytearray(victim.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    victim.write_bytes(bytes(raw))
    again = run("groups.seed=13")
    assert list(again.done) == ["baselines/greedy"]
    assert again.records["simulator"] == before.records["simulator"]
    assert list(run("groups.seed=13").done) == []


def test_a_deleted_simulator_is_fitted_again_and_feeds_the_same(run):
    words = ["simulator.seed=3", "until=baselines/greedy"]
    before = run(*words)
    (before.folder("simulator") / "simulator.npz").unlink()
    again = run(*words)
    assert list(again.done) == ["simulator"]
    assert again.records["simulator"].digest == before.records["simulator"].digest


def test_the_command_ends_with_a_table_and_a_page(folder, capfd):
    words = [*SMALL, f"tracking.path={folder}", "tracking.orchestrate=false"]
    assert main(["run", *words]) == 0
    out, err = capfd.readouterr()
    for name in ("optimum", "greedy", "greedy+local_search", "100.00%"):
        assert name in out
    assert "9 nodes" in out
    assert "0 steps done, 9 reused" in out
    assert f"report: {folder / 'report.html'}" in out
    assert "Traceback" not in err
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "greedy+local_search" in page
    assert "<svg" in page


def test_the_command_says_the_same_to_a_program(folder, capfd, tmp_path):
    words = [*SMALL, f"tracking.path={folder}", "tracking.orchestrate=false", "output=json"]
    assert main(["run", *words, f"report={tmp_path / 'a b=c.html'}"]) == 0
    answer = json.loads(capfd.readouterr().out)
    assert answer["done"] == []
    assert set(answer["runs"]) == set(STEPS)
    assert set(answer["schedulers"]) == {"optimum", "greedy", "greedy+local_search"}
    ratios = {name: values["ratio"]["mean"] for name, values in answer["schedulers"].items()}
    assert ratios["optimum"] == pytest.approx(1)
    assert ratios["greedy"] <= ratios["greedy+local_search"] + 1e-9 <= 1 + 2e-6
    assert (tmp_path / "a b=c.html").is_file()


def test_the_report_verb_is_a_run_up_to_the_page(folder, capfd, tmp_path):
    words = [*SMALL, f"tracking.path={folder}", "tracking.orchestrate=false", f"report={tmp_path / 'r.html'}"]
    assert main(["report", *words]) == 0
    assert (tmp_path / "r.html").is_file()
    assert "reused" in capfd.readouterr().out


def in_a_process(words):
    """The command in a process of its own: Prefect's engine wants to be imported before everything else."""
    path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("PREFECT_LOGGING_LEVEL", None)  # a `metis serve` within the tests may have left its own
    return preloaded.run(
        [sys.executable, "-m", "flows.command.main", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
        check=False,
    )
