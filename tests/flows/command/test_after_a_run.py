"""After the chain has run, the verbs on the same settings train, fit and measure nothing."""

import json
from pathlib import Path

import pytest

from flows.command.main import main
from flows.command.result import Result
from flows.engine.store import Store
from flows.prefect.run import run_chain
from tests.flows.conftest import settings_of

CHAIN = [
    *("profile=explore", "profile.path=null", "explore.budget=40", "explore.start_size=16"),
    *("demand.nodes=6", "demand.size=9", "demand.count=2", "demand.seed=4"),
    *("simulator=boosted", "simulator.trees=5", "schedulers=[greedy,metis]", "groups.seed=4"),
]


def words_for(verb, small, chain=CHAIN, words=()):
    """The words of the chain, without what has no effect for the verb."""
    left_out = {
        "place": ("schedulers", "groups"),
        "explain": ("schedulers", "groups"),
        "compare": ("scheduler",),
        "explore": ("scheduler", "schedulers", "simulator", "value", "dealer", "demand"),
    }
    keys = left_out.get(verb, ())
    if verb in ("place", "explain") and "scheduler=metis" not in words:
        keys = (*keys, "value", "dealer")
    return [word for word in [*small, *chain] if word.partition("=")[0].partition(".")[0] not in keys]


@pytest.fixture(scope="module")
def outcome(small):
    """The chain, run once."""
    return run_chain(settings_of(*small, *CHAIN))


@pytest.fixture
def document(small, outcome, store, capfd):
    """Run a verb; return its document. It must not make a run in MLflow."""

    def run(verb, *words):
        before = steps_of(store)
        code = main([verb, *words_for(verb, small, words=words), *words, "output=json"])
        out, err = capfd.readouterr()
        assert code == 0, err
        assert steps_of(store) == before, err
        assert out.count("\n") == 1
        return json.loads(out)

    return run


@pytest.fixture
def plain(small, capfd):
    """Run a verb on the measured profile; return its document. What is missing is made."""

    def run(verb, *words):
        code = main([verb, *words_for(verb, small, (), words), *words, "output=json"])
        out, err = capfd.readouterr()
        assert code == 0, err
        return json.loads(out)

    return run


def steps_of(store):
    """How often every step was done."""
    runs = Store(store_settings(store))._client.search_runs([store.experiment], max_results=5000)
    return sorted(run.data.tags.get("metis.step", "") for run in runs)


def store_settings(store):
    return settings_of(f"tracking.path={store.root}").tracking


@pytest.mark.parametrize("scheduler", ["greedy", "metis", "medea"])
def test_place(document, scheduler):
    assert document("place", f"scheduler={scheduler}")["scheduler"] == scheduler


def test_place_other_groups_elsewhere(document, full_profile, tmp_path):
    """What was explored for typical groups serves whatever is placed."""
    existing = tmp_path / "existing.csv"
    existing.write_text("Redis,MMS\n1,0\n0,1\n0,0\n", "utf-8")
    words = [
        "group.counts=[1,1,1,0,0,0,0]",
        "cluster.nodes=3",
        f"existing={existing}",
        "rules.at_most={MMS:1}",
    ]
    assert document("place", "scheduler=greedy", *words)["scheduler"] == "greedy"


def test_compare(document, outcome):
    found = document("compare")["schedulers"]
    assert set(found) == {"greedy", "metis"}


def test_explain(document):
    assert document("explain", "scheduler=metis")["scheduler"] == "metis"


def test_explore(document, outcome):
    found = document("explore")
    assert Path(found["profile"]) == outcome.folder("explore") / "profile.npz"
    assert all(row["seconds"] >= 0 for row in found["history"])


def test_run_and_report_and_status(document, outcome):
    assert document("run")["done"] == []
    found = document("report")
    assert found["done"] == []
    assert Path(found["report"]).is_file()
    states = {one["step"]: one["state"] for one in document("status")["steps"]}
    assert set(states.values()) == {"done"} or set(states.values()) <= {"done", "reused"}
    assert set(states) == set(outcome.records)


def test_constraints(small, outcome, store, capfd, tmp_path):
    kept = ("profile", "demand", "simulator", "cluster", "tracking", "explore", "group", "groups")
    words = [word for word in [*small, *CHAIN] if word.partition("=")[0].partition(".")[0] in kept]
    words = [word for word in words if not word.startswith("tracking.orch")]
    before = steps_of(store)
    code = main(["constraints", *words, f"out={tmp_path / 'tables'}", "output=json"])
    out, err = capfd.readouterr()
    assert code == 0, err
    assert steps_of(store) == before
    assert all(Path(path).is_file() for path in json.loads(out)["written"])


def test_a_plan_is_read_by_explain_export_and_existing(plain, tmp_path, capfd):
    plan = tmp_path / "plan [a] é=1.json"
    placed = plain("place", f"out={plan}")
    written = json.loads(plan.read_text(encoding="utf-8"))
    assert written == {name: placed[name] for name in ("apps", "nodes", "placement")}
    assert plain("explain", f"placement={plan}")["rps"] == pytest.approx(placed["rps"])
    containers = sum(sum(node.values()) for node in placed["placement"].values())
    beside = plain("place", f"existing={plan}", "group.size=3")
    assert sum(sum(node.values()) for node in beside["placement"].values()) == 3
    names = "[" + ",".join(placed["apps"]) + "]"
    words = [f"placement={plan}", f"apps.names={names}", "cluster.slots=3", f"tracking.path={tmp_path}"]
    assert main(["export", *words, "format=csv"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == ",".join(["node", *placed["apps"]])
    assert [line.partition(",")[0] for line in lines[1:]] == placed["nodes"]
    assert sum(int(n) for line in lines[1:] for n in line.split(",")[1:]) == containers


@pytest.mark.parametrize("step", ["baselines/greedy", "highlevel/metis"])
def test_the_id_of_a_run_is_as_good_as_a_file(plain, small, outcome, capfd, step):
    run = outcome.records[step].run_id
    explained = plain("explain", f"placement={run}")
    assert explained["containers"] == 9
    beside = plain("place", f"existing={run}", "group.size=3")
    assert sum(sum(node.values()) for node in beside["placement"].values()) == 3
    apps = "[Redis,MMS,Checksum,YCSB-A,YCSB-B,SceneDetect,ISR]"
    tracking = next(word for word in small if word.startswith("tracking.path="))
    assert (
        main(["export", f"placement={run}", f"apps.names={apps}", "cluster.slots=3", tracking, "format=csv"])
        == 0
    )
    assert len(capfd.readouterr().out.splitlines()) == 7


def test_a_run_that_placed_nothing_is_refused(small, outcome, capfd):
    run = outcome.records["simulator"].run_id
    assert main(["explain", *words_for("explain", small), f"placement={run}"]) == 2
    assert "holds no placement; name a run of highlevel, baselines, deploy or watch" in capfd.readouterr().err


def test_a_report_says_what_it_does_first(small, outcome, tmp_path, monkeypatch, capfd):
    """On an empty store it ran the whole chain, minutes of it, without a word."""
    monkeypatch.setattr("flows.command.verbs.run.run", lambda given: Result({"until": given.settings.until}))
    words = [*(word for word in small if not word.startswith("tracking.path=")), f"tracking.path={tmp_path}"]
    assert main(["report", *words, "output=json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"until": "report"}
    steps = ["setup", "profile", "simulator", "constraints", "baselines/optimum", "baselines/greedy"]
    says = f"not done yet under these settings, and so done now: {', '.join([*steps, 'evaluate', 'report'])}"
    assert err.splitlines()[-1] == says
    assert main(["report", *small, *CHAIN, "output=json"]) == 0
    assert "not done yet" not in capfd.readouterr().err
