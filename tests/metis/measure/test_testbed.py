import numpy as np
import pytest

from metis.errors import InputError
from metis.measure.testbed import (
    EmbeddedTestbed,
    choose_colocations,
    draw_mixes,
    join_profiles,
    list_colocations,
    load_embedded,
)
from metis.problem.space import ColocationSpace
from metis.simulate.replay import FileTestbed


@pytest.fixture(scope="module")
def noisy():
    return load_embedded(slots=3, noise=0.05)


@pytest.fixture(scope="module")
def quiet():
    return load_embedded(slots=3, noise=0.0)


def test_without_noise_measuring_tells_the_truth(quiet):
    counts = quiet.space.counts[1:]
    profile = quiet.measure(counts, seed=4)
    truth = quiet.truth()
    np.testing.assert_allclose(profile.rps[profile.present], truth.rps[1:][profile.present], rtol=1e-12)
    assert np.isnan(profile.rps[~profile.present]).all()
    assert (truth.rps[quiet.space.counts == 0] == 0).all()


def test_noise_depends_on_seed_and_co_location_but_not_on_order_or_company(noisy):
    counts = noisy.space.counts[1:]
    forward, backward = noisy.measure(counts, seed=4), noisy.measure(counts[::-1], seed=4)
    np.testing.assert_array_equal(forward.rps, backward.rps)
    few = noisy.measure(counts[10:13], seed=4)
    np.testing.assert_array_equal(few.rps, forward.rps[10:13])
    shared = forward.present & (counts.sum(axis=1) > 1)[:, None]
    assert (noisy.measure(counts, seed=5).rps[shared] != forward.rps[shared]).all()


def test_what_stands_alone_is_the_unit(noisy):
    """All RPS are divided by that of the same application alone, whatever was measured there."""
    alone = np.eye(len(noisy.space.apps), dtype=int)
    np.testing.assert_array_equal(np.nanmax(noisy.measure(alone, seed=4).rps, axis=1), 1.0)


def test_noise_is_as_large_as_told_and_repeats_lessen_it(noisy):
    counts = noisy.space.counts[1:]
    truth = noisy.truth().rps[1:]

    def spread(repeats):
        profile = noisy.measure(counts, seed=1, repeats=repeats)
        return np.log(profile.rps[profile.present] / truth[profile.present]).std()

    assert spread(1) == pytest.approx(0.05, rel=0.2)
    assert spread(9) < 0.6 * spread(1)


def test_latency_rises_where_rps_falls(quiet):
    tables = quiet.truth(("rps", "speed"))
    measured = [a for a in range(len(tables.space.apps)) if np.isfinite(tables.quantity("speed")[:, a]).all()]
    assert measured
    for a in measured:
        rows = tables.space.counts[:, a] > 0
        order = np.argsort(tables.rps[rows, a], kind="stable")
        assert (np.diff(tables.quantity("speed")[rows, a][order]) >= -1e-9).all()
    assert list(quiet.truth().quantities) == ["rps"]


@pytest.mark.parametrize("noise", [-0.1, 1.5])
def test_refuses_noise_out_of_range(quiet, noise):
    with pytest.raises(InputError, match=r"testbed\.noise"):
        EmbeddedTestbed(quiet.model, 3, noise)


def test_any_number_of_slots():
    testbed = load_embedded(slots=16)
    assert testbed.space.slots == 16
    profile = testbed.measure(np.array([[16, 0, 0, 0, 0, 0, 0]]), seed=0)
    assert 0 < profile.rps[0, 0] < 1


def test_a_share_is_chosen_by_seed_with_all_that_stand_alone(quiet):
    space = quiet.space
    chosen = choose_colocations(space, 0.25, seed=1)
    assert len(chosen) == round(0.25 * (space.size - 1))
    assert len(np.unique(space.index(chosen))) == len(chosen)
    assert set(space.index(np.eye(7, dtype=int))) <= set(space.index(chosen))
    assert 0 not in space.index(chosen)  # the empty co-location needs no measuring
    np.testing.assert_array_equal(chosen, choose_colocations(space, 0.25, seed=1))
    assert set(space.index(chosen)) != set(space.index(choose_colocations(space, 0.25, seed=2)))
    assert len(choose_colocations(space, 1.0, seed=1)) == space.size - 1
    assert len(choose_colocations(space, 0.001, seed=1)) == 7


@pytest.mark.parametrize("share", [0, -0.5, 1.01])
def test_refuses_shares_that_are_none(quiet, share):
    with pytest.raises(InputError, match=r"profile\.share"):
        choose_colocations(quiet.space, share, seed=1)


def test_lists_are_what_they_are_called(quiet):
    space = quiet.space
    assert len(list_colocations(space, "all")) == space.size - 1
    pairs = list_colocations(space, "pairs")
    assert len(pairs) == 7 + 28  # alone, and two alike or not
    assert pairs.sum(axis=1).max() == 2
    np.testing.assert_array_equal(
        list_colocations(space, "share", share=0.25, seed=1), choose_colocations(space, 0.25, seed=1)
    )
    given = np.array([[2, 0, 1, 0, 0, 0, 0], [2, 0, 1, 0, 0, 0, 0]])
    found = list_colocations(space, "given", given=given)
    assert sorted(map(tuple, found)) == [
        (0, 0, 1, 0, 0, 0, 0),
        (1, 0, 0, 0, 0, 0, 0),
        (2, 0, 1, 0, 0, 0, 0),
    ]


def test_mixes_hold_three_containers_or_more_and_need_no_table():
    space = ColocationSpace(tuple(f"app{i}" for i in range(30)), 8)
    mixes = draw_mixes(space, 60, seed=3)
    assert set(mixes.sum(axis=1)) <= set(range(3, 9))
    assert (mixes.sum(axis=1) == 8).mean() > 0.6
    np.testing.assert_array_equal(draw_mixes(space, 20, seed=3), mixes[:20])
    listed = list_colocations(space, "mixes", seed=3, mixes=60)
    totals = listed.sum(axis=1)
    assert (totals == 1).sum() == 30
    assert len(listed) == 30 + len(np.unique(mixes, axis=0))
    both = list_colocations(space, "pairs", seed=3, mixes=60)
    assert (both.sum(axis=1) == 2).sum() == 30 * 31 // 2
    assert len(both) == len(listed) + 30 * 31 // 2
    for choose in ("all", "share"):
        with pytest.raises(InputError, match=r"can be tabulated"):
            list_colocations(space, choose)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "at least one"),
        (np.zeros((0, 7), dtype=int), "at least one"),
        (np.eye(7, dtype=int)[:2] * 0, "row 0 holds no container"),
        (np.array([[4, 0, 0, 0, 0, 0, 0]]), "0 to 3 containers"),
    ],
)
def test_refuses_given_lists_that_cannot_be(quiet, given, message):
    with pytest.raises(InputError, match=message):
        list_colocations(quiet.space, "given", given=given)


def test_a_file_is_replayed(noisy):
    recorded = noisy.measure(noisy.space.counts[1:], seed=4)
    replay = FileTestbed(recorded)
    wanted = noisy.space.counts[[7, 3, 30]]
    again = replay.measure(wanted, seed=99)
    np.testing.assert_array_equal(again.rps, noisy.measure(wanted, seed=4).rps)
    truth = replay.truth().rps[1:]
    np.testing.assert_array_equal(truth[recorded.present], recorded.rps[recorded.present])


def test_a_partial_file_knows_what_it_does_not_know(noisy):
    replay = FileTestbed(noisy.measure(noisy.space.counts[1:20], seed=4))
    with pytest.raises(InputError, match=r"testbed\.path: 2 of the co-locations"):
        replay.measure(noisy.space.counts[[5, 30, 31]], seed=0)
    with pytest.raises(InputError, match=r"testbed\.path: .*100 of 119") as refused:
        replay.truth()
    assert "simulator=" not in str(refused.value)  # the simulator is not what is wrong


def test_profiles_are_joined_by_the_median(noisy):
    counts = noisy.space.counts[1:4]
    first, second = noisy.measure(counts, seed=1), noisy.measure(counts[1:], seed=2)
    joined = join_profiles(first, second, {"source": "both"})
    assert len(joined) == 3
    both = joined.present[1:]
    np.testing.assert_allclose(joined.rps[1:][both], ((first.rps[1:] + second.rps) / 2)[both])
    assert joined.provenance == {"source": "both"}


def test_joining_keeps_what_repeated_runs_told(noisy):
    counts = noisy.space.counts[1:4]
    runs = [noisy.measure(counts, seed=seed) for seed in range(2)]
    repeated = join_profiles(*runs, {})
    assert repeated.spread is not None
    assert np.isfinite(repeated.spread[repeated.present]).all()
    joined = join_profiles(repeated, noisy.measure(noisy.space.counts[4:6], seed=0), {})
    assert joined.spread is not None
    np.testing.assert_array_equal(joined.spread[:3], repeated.spread)
    assert np.isnan(joined.spread[3:]).all()
