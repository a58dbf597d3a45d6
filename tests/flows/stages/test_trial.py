"""A trial rehearsed as a step: recorded with a child for each scheduler, found again, gone on with."""

import json
from dataclasses import replace

import pytest

from flows.command.main import main
from flows.command.verbs.trial import notes
from flows.engine.runs import ABOUT
from flows.placing.trial import of_first_group
from flows.stages.trial import DONE, JOURNAL, PAGE, RESULT
from tests.flows.conftest import settings_of

TRIED = (
    "schedulers=[greedy+local_search,greedy,spread]",
    "group.counts={Redis:3,MMS:3,ISR:3}",
    "trial.rounds=4",
)


@pytest.fixture(scope="module")
def memo(memo_of, full_profile):
    """The small chain, with the full profile as the truth."""
    return memo_of(*TRIED, "testbed=file", f"testbed.path={full_profile}", "testbed.noise=0.01")


@pytest.fixture(scope="module")
def record(memo):
    """A trial, made."""
    return memo.obtain("trial")


def test_its_document_holds_intervals_beside_what_is_predicted(record):
    found = json.loads((record.folder / RESULT).read_text())
    assert [row["scheduler"] for row in found["schedulers"]] == ["greedy+local_search", "greedy", "spread"]
    first, same, other = found["schedulers"]
    assert first["difference"] is None
    assert same["as"] == ["greedy+local_search"]
    assert same["difference"] == {"mean": 0.0, "half_width": 0.0, "tie": True}
    assert other["difference"]["mean"] == pytest.approx(other["predicted_difference"]["mean"], abs=0.03)
    assert other["difference"]["half_width"] > 0
    assert other["difference"]["tie"] is False
    for row in found["schedulers"]:
        assert row["rps"]["mean"] == pytest.approx(
            row["predicted"]["mean"], abs=0.02
        )  # the table is the truth
        assert row["rounds"] == found["rounds"] == len(found["by_round"])
    assert (record.folder / ABOUT / PAGE).read_text().count("<svg") == 1
    assert "<script" not in (record.folder / ABOUT / PAGE).read_text()


def test_it_is_a_parent_with_a_child_for_each_scheduler(memo, record):
    wanted = f"tags.`mlflow.parentRunId` = '{record.run_id}'"
    client = memo.store._client
    children = client.search_runs([memo.store.experiment], wanted)
    by_name = {run.data.tags["metis.scheduler"]: run for run in children}
    assert set(by_name) == set(memo.settings.schedulers)
    found = json.loads((record.folder / RESULT).read_text())
    for row in found["schedulers"]:
        run = by_name[row["scheduler"]]
        assert run.data.metrics["rps"] == pytest.approx(row["rps"]["mean"])
        assert run.data.params["beside"] == "greedy+local_search"


def test_the_same_trial_is_found_again_and_another_seed_is_another_one(memo, record, memo_of, full_profile):
    again = memo_of(*TRIED, "testbed=file", f"testbed.path={full_profile}", "testbed.noise=0.01")
    assert again.find("trial").run_id == record.run_id
    other = memo_of(*TRIED, "trial.seed=1", "testbed=file", f"testbed.path={full_profile}")
    assert other.find("trial") is None


def test_rerun_begins_anew_and_one_that_was_stopped_goes_on(memo, record, capsys):
    again = replace(memo, again=("trial",), records={}, done=[])
    made = again.obtain("trial")
    assert made.run_id != record.run_id
    assert "earlier command" not in capsys.readouterr().err
    assert made.digest == record.digest
    scratch = memo.store.root / "checkpoints" / made.key
    (scratch / DONE).unlink()  # as a kill right before its end leaves it
    replace(memo, again=("trial",), records={}, done=[]).obtain("trial")
    assert "kept from an earlier command: 6 measurements" in capsys.readouterr().err


def test_what_counts_as_one_is_measured_where_that_is_asked_for(memo_of, full_profile):
    words = ("trial.alone=true", "trial.units=2", "testbed=file", f"testbed.path={full_profile}")
    record = memo_of(*TRIED, *words, "testbed.noise=0.01").obtain("trial")
    found = json.loads((record.folder / RESULT).read_text())
    rounds = found["rounds"]
    assert sum(one["runs"] for one in found["alone"].values()) == 3 + 2 * rounds
    assert {app: found["units"][app] for app in found["alone"]} == pytest.approx(
        dict.fromkeys(("Redis", "MMS", "ISR"), 1.0), abs=0.02
    )
    assert all(0 < one["error"] < 0.02 for one in found["alone"].values())
    assert any(line.startswith("what counts as 1: at least") for line in notes(found))
    once = {app: {"runs": 1, "error": 0.0} for app in found["alone"]}
    assert any("whose error is not known" in line for line in notes({**found, "alone": once}))
    assert "What counts as 1" in (record.folder / ABOUT / PAGE).read_text()


def test_its_journal_is_kept(record):
    made = json.loads((record.folder / JOURNAL).read_text())["measured"]
    assert len({(one["round"], one["placement"]) for one in made}) == len(made)


def test_the_command_places_its_group_alone_and_finds_the_same(small, memo_of, full_profile, capsys):
    """The first of the groups drawn, though a run places all of them."""
    drawn = ["schedulers=[greedy,spread]", "trial.rounds=2", "groups.count=3", "groups.seed=5"]
    drawn += ["testbed=file", f"testbed.path={full_profile}", "testbed.noise=0.01"]
    kept = [word for word in small if not word.startswith(("groups.", "value.", "dealer.", "scheduler"))]
    typed = [word for word in drawn if not word.startswith("groups.count")]  # ten, unless one says otherwise
    assert main(["trial", *kept, *typed, "output=json"]) == 0
    found = json.loads(capsys.readouterr().out)
    alone, whole = memo_of(*drawn, "groups.count=1"), memo_of(*drawn)
    assert alone.find("trial").run_id == found["run"]
    assert whole.find("baselines/greedy") is None  # all three were placed before
    same = json.loads((whole.obtain("trial").folder / RESULT).read_text())
    assert {name: found[name] for name in same} == same


@pytest.mark.parametrize(
    ("words", "rows", "count"),
    [
        (["groups.count=5"], None, 1),
        (["groups.count=5", "groups.skewed=true"], None, 5),
        (["groups.count=5", "demand=run"], None, 5),
        (["groups.path=g.npz"], "0", 10),
        (["groups.path=g.npz", "groups.rows=3:7"], "3", 10),
        (["groups.path=g.npz", "groups.rows=:7"], "0", 10),
        (["groups.path=g.npz", "groups.rows=4"], "4", 10),
    ],
)
def test_the_group_alone_is_the_first_of_all(words, rows, count):
    groups = of_first_group(settings_of(*words)).groups
    assert (groups.rows, groups.count) == (rows, count)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["schedulers=[greedy]"], "a trial needs two at least, such as schedulers=[greedy,spread]"),
        (
            ["schedulers=[greedy,spread]", "group.counts={Redis:30}"],
            "30 containers do not fit: 6 nodes of 3 slots",
        ),
        (["schedulers=[greedy,nothing]"], "nothing"),
        (
            ["schedulers=[greedy,spread]", "group.counts={Redis:3,MMS:3}", "trial.units=2"],
            "trial.units=2: stand-alone RPS are given here, and none is measured; give trial.alone=true too",
        ),
        (
            [
                "schedulers=[greedy,spread]",
                "group.counts={Redis:3,MMS:3}",
                "trial.units=99",
                "trial.alone=true",
            ],
            "trial.units=99: loads so many applications alone after a round, and the group has "
            "2 applications; give at most 2",
        ),
        (
            ["schedulers=[greedy,spread]", "existing=plan.csv"],
            "existing: a trial places a group on nodes that are empty",
        ),
        (["schedulers=[greedy,spread]", "cluster=lab", "group.counts={Redis:1}"], "apps.names"),
    ],
)
def test_bad_input_is_one_line(small, words, says, capsys):
    kept = [word for word in small if not word.startswith(("groups.", "value.", "dealer.", "scheduler="))]
    assert main(["trial", *kept, *words]) == 2
    err = [line for line in capsys.readouterr().err.splitlines() if line.startswith("metis: ")]
    assert len(err) == 1
    assert says in err[0]
