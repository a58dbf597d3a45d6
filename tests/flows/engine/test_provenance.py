"""What MLflow is told of every run, as docs/mlflow.md says: names, tags, numbers, artifacts, data."""

import json
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import mlflow.data
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from flows.configuration.compose import compose_plain
from flows.configuration.settings import validated
from flows.engine import provenance as recorded
from flows.engine.database import sqlite_uri
from flows.engine.keys import ROOT
from flows.engine.provenance import sizes_of
from flows.engine.secrets import masked
from flows.prefect.run import run_chain
from flows.report.placement_picture import placement_svg
from flows.stages.evaluate import read_results
from metis.wording import amount
from tests.pipeline.test_chain import SMALL

SCHEDULERS = ("optimum", "greedy", "greedy+local_search")
PARAMS = {
    "nodes": "9",
    "containers": "20",
    "groups": "2",
    "objective": "rps",
    "simulator": "boosted",
    "testbed": "embedded",
    "seed": "3",
}
NUMBERS = {"rps", "true_rps", "value", "bound", "ratio", "true_ratio", "gap", "seconds", "seconds_max"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scheme")
    words = [*SMALL, "seed=3", f"tracking.path={folder}", "tracking.orchestrate=false"]
    return run_chain(validated(compose_plain(words)))


@pytest.fixture(scope="module")
def client(outcome):
    root = outcome.folder("setup").parents[2]
    return MlflowClient(sqlite_uri(root))


@pytest.fixture(scope="module")
def children(client, outcome):
    """The run of every scheduler, by its name."""
    parent = outcome.records["evaluate"].run_id
    (experiment,) = [e.experiment_id for e in client.search_experiments() if e.name == "metis"]
    runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    return {run.data.params["scheduler"]: run for run in runs}


def test_the_run_of_a_scheduler_says_which_how_large_which_seed_how_good_how_long(children, outcome):
    assert set(children) == set(SCHEDULERS)
    results = read_results(outcome.folder("evaluate")).groupby("scheduler").mean()
    for name, run in children.items():
        assert run.info.run_name == f"{name}, 20 on 9 nodes, seed 3"
        assert run.data.params == {"scheduler": name, **PARAMS}
        assert set(run.data.metrics) >= NUMBERS
        for number in ("rps", "true_rps", "ratio", "gap", "seconds"):
            assert run.data.metrics[number] == pytest.approx(results.loc[name, number])
        assert run.data.tags["metis.scheduler"] == name
        assert (run.data.tags["metis.containers"], run.data.tags["metis.seed"]) == ("20", "3")


def test_it_leads_to_the_run_that_placed_and_shows_the_placement(children, outcome, client, tmp_path):
    for name, run in children.items():
        placed_by = run.data.tags["metis.placed_by"]
        assert placed_by == outcome.records[f"baselines/{name}"].run_id
        folder = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
        told = pd.read_csv(folder / "placements.csv")
        kept = np.load(outcome.folder(f"baselines/{name}") / "decisions.npz")["placements"]
        apps = [column for column in told if column not in ("group", "node")]
        np.testing.assert_array_equal(told[apps].to_numpy(), kept.reshape(-1, len(apps)))
        picture = ET.parse(folder / "placement.svg").getroot()
        assert f"{name}, group 0: 20 containers on 9 nodes" in "".join(picture.itertext())


def test_the_run_of_a_step_has_the_same_words(outcome, client):
    for name in SCHEDULERS:
        run = client.get_run(outcome.records[f"baselines/{name}"].run_id)
        assert run.info.run_name == f"baselines/{name}"
        assert run.data.params.items() >= {"scheduler": name, **PARAMS}.items()
        assert run.data.metrics["seconds"] <= run.data.metrics["seconds_max"]
        listed = {file.path for file in client.list_artifacts(run.info.run_id, "about")}
        assert listed == {
            f"about/{name}" for name in ("versions.json", "placement-group-0.svg", "traces.json")
        }
        listed = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert listed >= {"decisions.npz", "placements.csv", "timings.csv"}


def test_every_run_says_where_it_comes_from(outcome, client, children):
    runs = [client.get_run(record.run_id) for record in outcome.records.values()] + list(children.values())
    for run in runs:
        tags = run.data.tags
        assert tags["metis.host"]
        assert tags["mlflow.user"]
        assert f"numpy {np.__version__}" in tags["metis.versions"]
        assert tags["metis.version"]
        assert tags["metis.stage"]
    for name, record in outcome.records.items():
        tags = client.get_run(record.run_id).data.tags
        assert (tags["metis.step"], tags["metis.stage"]) == (name, name.partition("/")[0])
        assert (tags["metis.key"], tags["metis.digest"]) == (record.key, record.digest)
        versions = json.loads((record.folder / "about" / "versions.json").read_text(encoding="utf-8"))
        assert versions["numpy"] == np.__version__


def test_the_commit_is_that_of_our_checkout(client, children):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no checkout")
    head = subprocess.run(
        ["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    tags = children["greedy"].data.tags
    assert tags["mlflow.source.git.commit"] == head
    assert tags["metis.commit"] in (head, f"{head}-dirty")


@pytest.mark.parametrize("without", ["checkout", "git"])
def test_without_git_there_is_no_commit(monkeypatch, tmp_path, without):
    if without == "checkout":
        monkeypatch.setattr(recorded, "ROOT", tmp_path)
    else:
        (tmp_path / "nothing").mkdir()
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    recorded.provenance.cache_clear()
    try:
        tags = recorded.provenance()
    finally:
        recorded.provenance.cache_clear()
    assert tags["metis.host"]
    assert not {"metis.commit", "mlflow.source.git.commit"} & set(tags)


def test_the_data_a_run_was_given_is_named_with_its_digest(outcome, client, children, monkeypatch):
    simulator = client.get_run(outcome.records["simulator"].run_id)
    (profile,) = simulator.inputs.dataset_inputs
    assert profile.dataset.name == "profile"
    assert json.loads(profile.dataset.profile)["num_rows"] > 10
    # MLflow's own way from a run to its data leads to the profile's file
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    found = Path(mlflow.data.get_source(profile).load())
    assert found.read_bytes() == (outcome.folder("profile") / "profile.npz").read_bytes()

    digests = set()
    for run in [client.get_run(outcome.records["baselines/greedy"].run_id), *children.values()]:
        (groups,) = client.get_run(run.info.run_id).inputs.dataset_inputs
        assert groups.dataset.name == "groups"
        assert "20 containers" in groups.dataset.source
        digests.add(groups.dataset.digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("postgresql+psycopg2://metis:s3cr:t@db/mlflow", "postgresql+psycopg2://metis:***@db/mlflow"),
        ("http://me:a@b/c@host:5000 is away", "http://me:***@host:5000 is away"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("metis run tracking.uri=http://me:x@h", "metis run tracking.uri=http://me:***@h"),
    ],
)
def test_passwords_are_left_out(typed, kept):
    assert masked(typed) == kept


def test_sizes():
    assert sizes_of(np.array([[1, 2], [3, 0]])) == "3"
    assert sizes_of(np.array([[1, 2], [10, 0]])) == "3-10"


@given(st.integers(1, 120), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_a_picture_of_any_placement_is_sound_and_counts_right(nodes, apps, seed):
    placement = np.random.default_rng(seed).integers(0, 4, (nodes, apps))
    names = tuple(f"<app & {i}>" for i in range(apps))
    picture = ET.fromstring(placement_svg(placement, names, 'a "title" <&>'))
    texts = ["".join(text.itertext()) for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    free = int((placement.sum(axis=1) == 0).sum())
    held, on = amount(placement.sum(), "container"), amount(nodes, "node")
    assert texts[0] == f'a "title" <&>: {held} on {on}, {free} of them free'
    for i, name in enumerate(names):
        assert name in texts
        assert str(placement[:, i].sum()) in texts
