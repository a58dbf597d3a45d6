"""`metis runs`: recorded runs filtered, sorted and written, from MLflow's file and by its client alike."""

import json
import shutil
import sqlite3

import pytest

from flows.command.main import main
from flows.configuration.sections import TrackingSettings
from flows.engine.rows import recorded_rows
from flows.engine.store import Store

RUNS = (("metis", 0, 0.99), ("metis", 1, 0.97), ("greedy", 0, None), ("spread", 0, 0.8))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, empty_database):
    """A folder with four schedulers as evaluated, and the step that they are below."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copy(empty_database, folder)
    store = Store(TrackingSettings(path=str(folder)))
    with store.recording("evaluate", "evaluate", "key", {}, {}, {"simulator": "long"}) as recording:
        (recording.folder / "a.txt").write_text("a")
        for name, seed, ratio in RUNS:
            metrics = {"seconds": 0.5, "rps": 1.25} | ({} if ratio is None else {"true_ratio": ratio})
            params = {"scheduler": name, "nodes": "81", "containers": "50-648", "seed": str(seed)}
            recording.child(f"{name} {seed}", {"metis.stage": "scheduler"}, params, metrics)
    return folder


@pytest.fixture
def runs(recorded, capfd):
    """Run the verb; return the exit code, the document or the text, and standard error."""

    def run(*words):
        code = main(["runs", f"tracking.path={recorded}", *words])
        out, err = capfd.readouterr()
        return code, json.loads(out) if "output=json" in words and not code else out, err

    return run


def names(document):
    return [(row["scheduler"], row["seed"]) for row in document["runs"]]


def test_the_columns_are_those_that_are_compared(runs):
    code, document, _ = runs("output=json")
    assert code == 0
    expected = ["when", "scheduler", "nodes", "containers", "seed", "true_ratio", "rps", "seconds", "run"]
    assert document["columns"] == expected  # no run has a ratio to the simulator's optimum
    assert names(document) == [("spread", 0), ("greedy", 0), ("metis", 1), ("metis", 0)]  # the newest first
    first = document["runs"][0]
    assert (first["nodes"], first["containers"], first["true_ratio"]) == (81, "50-648", 0.8)


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        ("scheduler=metis", [("metis", 1), ("metis", 0)]),
        ("scheduler = metis, seed=0", [("metis", 0)]),
        ("scheduler!=metis", [("spread", 0), ("greedy", 0)]),
        ("true_ratio>=0.97", [("metis", 1), ("metis", 0)]),
        ("true_ratio<0.97", [("spread", 0)]),  # an unknown one is neither above nor below
        ("scheduler~RE", [("spread", 0), ("greedy", 0)]),
        ("seed>7", []),
    ],
)
def test_all_conditions_hold_of_what_is_shown(runs, condition, found):
    assert names(runs("output=json", f"runs.filter={condition}")[1]) == found


@pytest.mark.parametrize(
    ("sort", "found"),
    [("true_ratio", [0.8, 0.97, 0.99, None]), ("-true_ratio", [0.99, 0.97, 0.8, None])],
)
def test_what_is_unknown_comes_last_whichever_way(runs, sort, found):
    document = runs("output=json", f"runs.sort={sort}")[1]
    assert [row["true_ratio"] for row in document["runs"]] == found


def test_a_table_shows_some_rows_and_a_file_has_all(runs, tmp_path):
    path = tmp_path / "runs.csv"
    code, out, _ = runs("runs.columns=[scheduler,true_ratio]", "runs.most=1", f"out={path}")
    assert code == 0
    assert "spread" in out
    assert "80.00%" in out
    assert "metis" not in out.replace(str(path), "")
    assert "3 more" in out
    lines = ["scheduler,true_ratio", "spread,0.8", "greedy,", "metis,0.97", "metis,0.99"]
    assert path.read_text().splitlines() == lines


def test_runs_of_other_stages_are_steps(runs):
    _, document, _ = runs("output=json", "runs.stage=evaluate")
    assert [row["name"] for row in document["runs"]] == ["evaluate"]
    _, document, _ = runs("output=json", "runs.stage=null", "runs.columns=[name,metis.step]")
    assert len(document["runs"]) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["runs.columns=[tru_ratio]"], "runs.columns: no run has 'tru_ratio'; did you mean true_ratio?"),
        (["runs.sort=-sed"], "runs.sort: no run has 'sed'; did you mean seed?"),
        (["runs.filter=metis"], "runs.filter: 'metis' is no condition; write one such as true_ratio>0.99"),
        (["runs.filter=seed<x"], "runs.filter: 'seed<x' compares with 'x'; give a number"),
    ],
)
def test_what_is_not_understood_is_one_line(runs, words, message):
    code, _, err = runs(*words)
    assert (code, err) == (2, f"metis: {message}\n")


def test_a_filter_that_holds_for_no_run_says_so(runs):
    code, text, _ = runs("runs.filter=seed>99")
    assert code == 0
    assert "runs: runs.filter holds for none" in text
    assert text.startswith("0 of ")


def test_a_store_without_such_runs_says_so(runs):
    assert runs("runs.stage=explore")[1] == "no runs of explore yet: `metis run` records them\n"


def test_nothing_recorded_is_said_and_nothing_made(tmp_path, capfd):
    assert main(["runs", f"tracking.path={tmp_path / 'none'}"]) == 2
    assert "nothing is recorded there yet" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_damaged_database_is_named(recorded, tmp_path, capfd):
    (tmp_path / "mlflow.db").write_bytes((recorded / "mlflow.db").read_bytes()[:40_000] + b"?" * 9000)
    assert main(["runs", f"tracking.path={tmp_path}"]) == 1
    assert "mlflow.db" in capfd.readouterr().err


@pytest.mark.parametrize("stage", ["scheduler", "evaluate", None])
def test_the_client_of_mlflow_finds_the_same_rows(recorded, stage):
    here = TrackingSettings(path=str(recorded))
    there = TrackingSettings(path=str(recorded), uri=f"sqlite:///{recorded}/mlflow.db")
    own = {row["run"]: row for row in recorded_rows(here, stage)}
    assert own == {row["run"]: row for row in recorded_rows(there, stage)}
    assert len(own) == {"scheduler": 4, "evaluate": 1, None: 5}[stage]


def test_a_thousand_runs_take_no_look_at_artifacts(recorded, tmp_path):
    shutil.copy(recorded / "mlflow.db", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        for table in ("runs", "tags", "params", "latest_metrics"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            copied = ", ".join("run_uuid || n" if one == "run_uuid" else one for one in columns)
            connection.execute(
                f"WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < 249) "
                f"INSERT INTO {table} ({', '.join(columns)}) SELECT {copied} FROM {table}, more"
            )
    rows = recorded_rows(TrackingSettings(path=str(tmp_path)), "scheduler")
    assert len(rows) == 1000
    assert all({"scheduler", "seconds", "rps"} <= row.keys() for row in rows)
