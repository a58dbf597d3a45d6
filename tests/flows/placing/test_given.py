"""Placements by file or by the id of a run, whole or as tables show it; tables that cost too much."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from flows.configuration.settings import Settings
from flows.placing.given import chosen_placement, given_placement, with_files
from flows.placing.known import known_tables
from metis.errors import InputError
from metis.files import save_arrays
from metis.problem.space import ColocationSpace

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
