"""Measuring a list: every one as often as asked, in rounds, whatever happens."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis.errors import InputError, SurroundingsError
from metis.measure.circumstances import KEPT
from metis.measure.journal import Patience, load_journal
from metis.measure.profile import MEASURES, make_profile
from metis.measure.profile_files import load_profile
from metis.measure.series import in_rounds, measure_list
from metis.measure.testbed import UnmeasuredError, join_profiles, load_embedded
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("a", "b", "c"), 3)


@pytest.fixture(scope="module")
def testbed():
    return load_embedded(slots=2, noise=0.05)


class Failing:
    """A testbed that fails for some co-locations, some of the time, and can stop answering."""

    def __init__(self, inner, failures=None, last=10**9):
        self.inner, self.failures, self.last, self.calls = inner, dict(failures or {}), last, []

    @property
    def space(self):
        return self.inner.space

    def truth(self, *, latency=False):
        return self.inner.truth(latency=latency)

    def measure(self, colocations, seed, repeats=1):
        ids = self.space.index(colocations).tolist()
        self.calls.append(ids)
        if len(self.calls) > self.last:
            raise SurroundingsError("manager does not answer")
        failed = {i: f"attempt {self.failures[i]}" for i in ids if self.failures.get(i, 0) > 0}
        for i in failed:
            self.failures[i] -= 1
        well = [i for i in ids if i not in failed]
        found = self.inner.measure(self.space.counts[well], seed, repeats) if well else None
        if found is not None:
            found = replace(found, provenance={"notes": {i: {"raw": [float(i)] * 7} for i in well}})
        if failed:
            raise UnmeasuredError(failed, found)
        return found


@given(
    st.lists(st.integers(1, SPACE.size - 1), unique=True, min_size=1), st.integers(1, 4), st.integers(0, 99)
)
def test_rounds_hold_every_one_and_turn_round(ids, repeats, seed):
    order = in_rounds(SPACE, np.array(ids), repeats, seed)
    rounds = order.reshape(repeats, len(ids))
    for number, one in enumerate(rounds):
        assert sorted(one.tolist()) == sorted(ids)
        np.testing.assert_array_equal(one, rounds[0][:: -1 if number % 2 else 1])
    alone = [i for i in ids if SPACE.totals[i] == 1]
    assert set(rounds[0][: len(alone)].tolist()) == set(alone)


def test_each_is_measured_as_often_as_asked_and_the_median_and_spread_kept(testbed):
    ids = np.arange(1, testbed.space.size)
    journal = measure_list(testbed, testbed.space.counts[ids], repeats=3, at_once=4)
    runs = np.array([run["id"] for run in journal.runs])
    np.testing.assert_array_equal(np.bincount(runs)[1:], 3)
    profile = journal.profile()
    row = int(np.flatnonzero(profile.colocations.sum(axis=1) == 2)[0])
    i = int(testbed.space.index(profile.colocations[row]))
    three = np.array([run["rps"] for run in journal.runs if run["id"] == i])
    np.testing.assert_allclose(profile.rps[row], np.median(three, axis=0))
    assert profile.spread is not None
    np.testing.assert_allclose(profile.spread[row], np.ptp(three, axis=0) / np.median(three, axis=0))


@pytest.mark.parametrize("calls", [0, 1, 7, 19])
def test_stopped_it_goes_on_with_what_is_missing(testbed, tmp_path, calls):
    counts, path = testbed.space.counts[1:11], tmp_path / "p.npz"
    options = {"repeats": 2, "at_once": 1, "wait": lambda seconds: None}
    whole = measure_list(Failing(testbed), counts, **options).profile()
    first = Failing(testbed, last=calls)
    with pytest.raises(SurroundingsError, match=f"manager does not answer; kept: {calls} measurement"):
        measure_list(first, counts, path=path, **options)
    second = Failing(testbed)
    rest = measure_list(second, counts, path=path, **options)
    assert len(second.calls) == 20 - calls
    for name in MEASURES:
        np.testing.assert_array_equal(getattr(rest.profile(), name), getattr(whole, name))
        np.testing.assert_array_equal(getattr(load_profile(path), name), getattr(whole, name))
    third = Failing(testbed)
    measure_list(third, counts, path=path, **options)
    assert not third.calls


def test_failures_are_retried_then_named_and_cost_nobody_else(testbed):
    ids = np.arange(1, 9)
    failing = Failing(testbed, {3: 2, 5: 10**6})
    told = []
    journal = measure_list(
        failing, testbed.space.counts[ids], at_once=4, progress=lambda now: told.append(len(now.pending))
    )
    assert sorted({run["id"] for run in journal.sound}) == [1, 2, 3, 4, 6, 7, 8]
    assert list(journal.quarantined) == [5]
    assert journal.quarantined[5].startswith("attempt")
    whys = [run.get("why") for run in journal.runs if run["id"] == 3]
    assert whys == ["attempt 2", "attempt 1", None]
    assert told[0] == len(ids)
    assert told[-1] == 0
    assert sum(run["id"] == 5 for run in journal.runs) == Patience().retries + 1


class Disturbed(Failing):
    """A testbed of which some co-locations are disturbed, some of the time."""

    def measure(self, colocations, seed, repeats=1):
        found = super().measure(colocations, seed, repeats)
        notes = dict(found.provenance["notes"])
        for i in notes:
            if self.failures.get(-i, 0) > 0:
                self.failures[-i] -= 1
                notes[i] |= {"disturbed": "others took 40%", "weight": 0.1, "circumstances": {"taken": 0.4}}
            else:
                notes[i] |= {"circumstances": {"taken": 0.01}}
        return replace(found, provenance={"notes": notes})


def test_a_disturbed_run_is_repeated_then_kept_with_less_weight(testbed, tmp_path):
    path, ids = tmp_path / "p.npz", np.arange(1, 6)
    disturbed = Disturbed(testbed, {-2: 1, -4: 5})  # by the id: that often
    journal = measure_list(disturbed, testbed.space.counts[ids], path=path)
    weights = {i: [run.get("weight") for run in journal.runs if run["id"] == i] for i in ids.tolist()}
    assert weights == {1: [None], 2: [0.0, None], 3: [None], 4: [0.1, 0.1], 5: [None]}
    assert [run["why"] for run in journal.runs if not run["sound"]] == ["others took 40%"] * 3
    assert not journal.quarantined
    profile = load_profile(path)
    weight = dict(zip(profile.space.index(profile.colocations).tolist(), profile.weight, strict=True))
    assert weight == {1: 1.0, 2: 1.0, 3: 1.0, 4: pytest.approx(0.1), 5: 1.0}
    taken = profile.circumstances[:, KEPT.index("taken")]
    np.testing.assert_allclose(taken, [0.01, 0.01, 0.01, 0.4, 0.01])
    again = measure_list(Disturbed(testbed), testbed.space.counts[ids], path=path)
    assert len(again.runs) == len(journal.runs)  # it is as good as it gets


def test_undisturbed_runs_of_a_colocation_count_alone():
    rows, measures = (
        np.array([[2, 0], [2, 0], [1, 1]]),
        {"rps": np.array([[0.5, np.nan], [0.9, np.nan], [0.8, 0.7]])},
    )
    conditions = {"weight": np.array([0.2, 1.0, 0.3])}
    profile = make_profile(("a", "b"), 2, rows, measures, {}, conditions)
    np.testing.assert_allclose(profile.rps, [[0.8, 0.7], [0.9, np.nan]])
    np.testing.assert_allclose(profile.weight, [0.3, 1.0])
    other = make_profile(("a", "b"), 2, np.array([[1, 0]]), {"rps": np.array([[1.0, np.nan]])}, {})
    both = join_profiles(profile, other, {})
    assert dict(zip(both.colocations.sum(axis=1).tolist(), both.weight.tolist(), strict=False))[1] == 1.0


def test_notes_and_reasons_are_kept_in_the_journal(testbed, tmp_path):
    path = tmp_path / "p.npz"
    counts = testbed.space.counts[1:4]
    measure_list(Failing(testbed, {2: 1}), counts, path=path)
    stored = load_journal(path, testbed.space, "whatever").runs
    assert {run["id"]: run["note"] for run in stored if run["sound"]} == {
        i: {"raw": [float(i)] * 7} for i in (1, 2, 3)
    }
    assert [run["why"] for run in stored if not run["sound"]] == ["attempt 1"]


def test_more_repeats_take_over_what_was_measured(testbed, tmp_path):
    path, counts = tmp_path / "p.npz", testbed.space.counts[1:6]
    measure_list(testbed, counts, path=path)
    more = Failing(testbed)
    journal = measure_list(more, counts, repeats=2, path=path)
    assert len(more.calls) == 5
    assert len(journal.sound) == 10


def test_what_a_testbed_can_never_measure_first_of_all_is_an_error(testbed):
    class Refusing(Failing):
        def measure(self, colocations, seed, repeats=1):
            raise InputError("there is no such image")

    with pytest.raises(InputError, match="no such image"):
        measure_list(Refusing(testbed), testbed.space.counts[1:4])
