"""Placements by file or by the id of a run, whole or as tables show it; tables that cost too much."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from flows.command.verbs.explain import _beside
from flows.configuration.objects import make_cluster
from flows.configuration.settings import Settings
from flows.placing.decisions import Decisions
from flows.placing.given import chosen_placement, given_names, given_placement, with_files
from flows.placing.known import known_tables
from flows.placing.tables import tables_in
from flows.stages.baselines import STAGE as BASELINES
from flows.stages.chain import STAGES
from metis.errors import InputError
from metis.files import save_arrays
from metis.problem.placement_files import named_apps
from metis.problem.space import ColocationSpace
from tests.flows.conftest import settings_of

SPACE = ColocationSpace(("a", "b"), 2)
STEP = ("highlevel/metis", "highlevel")


@pytest.fixture(scope="module")
def run_id(store):
    """A run that placed one group."""
    with store.recording(*STEP, "given", {}, {}, {}) as recording:
        save_arrays(recording.folder / "decisions.npz", {"placements": [[[1, 1]]], "apps": ["a", "b"]})
    return recording.run_id


@pytest.mark.parametrize("digits", [6, 8, 31, 32])
def test_a_run_is_named_by_its_id_or_the_beginning_of_it(store, run_id, digits):
    chosen = replace(Settings(), placement=run_id[:digits])
    assert given_placement(with_files(chosen, store), SPACE).tolist() == [[1, 1]]
    beside = with_files(replace(Settings(), existing=run_id[:digits]), store)
    assert beside.existing.endswith("decisions.npz")


def test_a_run_that_judges_a_scheduler_stands_for_the_run_that_placed(store, run_id):
    with store.recording("evaluate", "evaluate", "judged", {}, {}, {}) as recording:
        judged = recording.child("a", {"metis.placed_by": run_id}, {}, {})
    chosen = with_files(replace(Settings(), placement=judged[:8]), store)
    assert given_placement(chosen, SPACE).tolist() == [[1, 1]]


def test_a_run_of_before_that_was_noted_does_too(store, run_id):
    inputs = {"simulator": "none", "highlevel/a": run_id}
    with store.recording("evaluate", "evaluate", "judged before", inputs, {}, {}) as recording:
        judged = recording.child("a", {"metis.stage": "scheduler", "metis.scheduler": "a"}, {}, {})
        other = recording.child("b", {"metis.stage": "scheduler", "metis.scheduler": "b"}, {}, {})
    chosen = with_files(replace(Settings(), placement=judged[:8]), store)
    assert given_placement(chosen, SPACE).tolist() == [[1, 1]]
    with pytest.raises(InputError, match=f"{other}': it has no whole output"):
        with_files(replace(Settings(), placement=other), store)


def test_a_beginning_that_several_runs_share_is_refused(store, monkeypatch):
    monkeypatch.setattr(store, "ids", lambda prefix: [f"{prefix}01", f"{prefix}02"])
    with pytest.raises(InputError, match="'abcdef': several MLflow runs begin so; give more of abcdef01"):
        with_files(replace(Settings(), placement="abcdef"), store)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("000000", "placement '000000': neither a file nor the beginning of an MLflow run's id"),
        ("0" * 32, "there is none under"),
        ("abcde", "placement 'abcde': no such file; give one, or the id of an MLflow run"),
        ("plan.json", "no such file"),
    ],
)
def test_what_is_neither_file_nor_run_is_refused(store, named, says):
    with pytest.raises(InputError, match=says):
        with_files(replace(Settings(), placement=named), store)


def test_a_run_that_placed_nothing_is_refused(store):
    with store.recording("simulator", "simulator", "nothing placed", {}, {}, {}) as recording:
        (recording.folder / "a.txt").write_text("a")
    with pytest.raises(InputError, match=f"{recording.run_id} holds no placement; name a run of highlevel"):
        with_files(replace(Settings(), placement=recording.run_id[:8]), store)


def test_files_are_left_as_they_are(store, tmp_path):
    path = tmp_path / "plan.npz"
    np.savez(path, placement=[[0, 2]])
    chosen = replace(Settings(), placement=str(path))
    assert with_files(chosen, store) is chosen
    assert given_placement(chosen, SPACE).tolist() == [[0, 2]]
    with pytest.raises(InputError, match=r"placement: give a file .* or the id of an MLflow run"):
        given_placement(Settings(), SPACE)


def test_the_placement_of_the_first_group_is_that_of_the_scheduler(tmp_path):
    save_arrays(tmp_path / "decisions.npz", {"placements": [[[1, 0]], [[0, 1]]], "apps": ["a", "b"]})
    assert chosen_placement({"baselines/greedy": tmp_path}, "greedy", SPACE).tolist() == [[1, 0]]
    with pytest.raises(InputError, match="'metis' placed nothing in this run"):
        chosen_placement({"baselines/greedy": tmp_path}, "metis", SPACE)


def test_hours_of_measurements_are_not_begun_by_a_verb():
    memo = SimpleNamespace(affordable=lambda step: False)
    with pytest.raises(InputError, match=r"no profile was measured .* `metis run stages=\[profile\]`"):
        known_tables(memo)


def test_a_run_that_placed_beside_what_runs_is_a_plan_of_both(do, small, memo_of, store, tmp_path):
    """By its run alone it held the new containers: deployed, it stopped the others."""
    running = tmp_path / "running.csv"
    held = [["eins", 1, 1], ["zwei", 0, 2], *([name, 0, 0] for name in "abcd")]
    running.write_text("node,Redis,MMS\n" + "\n".join(",".join(map(str, row)) for row in held) + "\n")
    words = (*small, f"existing={running}", "group.size=5")
    inputs = {"simulator": memo_of().obtain("simulator")}
    record = do(BASELINES, settings_of(*words), inputs, "greedy")
    tables = tables_in(inputs["simulator"].folder)
    new = Decisions.load(record.folder).placements[0]
    before = make_cluster(settings_of(*words), tables.space).existing
    assert (before.sum(), new.sum()) == (4, 5)
    settings = with_files(replace(settings_of(*small), placement=record.run_id), store)
    assert given_placement(settings, tables.space).tolist() == (new + before).tolist()
    assert given_names(settings, tables.space)[:2] == ("eins", "zwei")
    assert named_apps(Path(settings.placement)) == tables.space.apps
    added, cluster = _beside(settings, make_cluster(settings, tables.space))
    assert added.tolist() == new.tolist()
    assert cluster.existing.tolist() == before.tolist()
    table = replace(settings, placement=str(record.folder / "placements.csv"))
    assert given_placement(table, tables.space).tolist() == (new + before).tolist()
    # runs of before this was so are not found again
    sources = STAGES["baselines"].step(settings_of(*words), "greedy").modules
    assert set(sources) - set(STAGES["baselines"].step(settings_of(*small), "greedy").modules)


def test_an_archive_of_other_shapes_is_refused(tmp_path):
    path = tmp_path / "decisions.npz"
    save_arrays(path, {"placements": [[[1, 0]]], "existing": [[0, 1], [0, 0]]})
    with pytest.raises(InputError, match=r"existing of shape \(2, 2\) beside placements of \(1, 2\)"):
        given_placement(replace(Settings(), placement=str(path)), SPACE)
