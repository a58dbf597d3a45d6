from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError
from metis.problem.space import ColocationSpace

SIZES = {(7, 8): 6_435, (9, 8): 24_310, (4, 16): 4_845}


def space_of(apps, slots):
    return ColocationSpace(tuple(f"app{i}" for i in range(apps)), slots)


def test_two_applications_on_two_slots_by_hand():
    space = space_of(2, 2)
    assert space.counts.tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]]
    assert space.totals.tolist() == [0, 1, 2, 1, 2, 2]
    assert space.plus.tolist() == [[3, 1], [4, 2], [-1, -1], [5, 4], [-1, -1], [-1, -1]]
    assert space.minus.tolist() == [[-1, -1], [-1, 0], [-1, 1], [0, -1], [1, 3], [3, -1]]


@pytest.mark.parametrize("shape", SIZES)
def test_sizes_of_the_issue_round_trip(shape):
    space = space_of(*shape)
    assert len(space) == space.size == SIZES[shape]
    assert space.counts.shape == (space.size, shape[0])
    assert (space.index(space.counts) == np.arange(space.size)).all()
    assert space.totals.max() == shape[1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6))
def test_every_co_location_once_in_lexicographic_order(apps, slots):
    space = space_of(apps, slots)
    expected = [row for row in product(range(slots + 1), repeat=apps) if sum(row) <= slots]
    assert [tuple(row) for row in space.counts] == expected
    assert (space.index(space.counts) == np.arange(space.size)).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6))
def test_neighbours_are_one_container_away(apps, slots):
    space = space_of(apps, slots)
    for a in range(apps):
        one = np.eye(apps, dtype=int)[a]
        roomy = space.totals < slots
        assert (space.counts[space.plus[roomy, a]] == space.counts[roomy] + one).all()
        assert (space.plus[~roomy, a] == -1).all()
        there = space.counts[:, a] > 0
        assert (space.counts[space.minus[there, a]] == space.counts[there] - one).all()
        assert (space.minus[~there, a] == -1).all()


def test_index_of_any_leading_shape():
    space = space_of(3, 4)
    rows = space.counts[:30].reshape(2, 5, 3, 3)
    assert space.index(rows).shape == (2, 5, 3)
    assert space.index(rows).ravel().tolist() == list(range(30))
    assert space.index([0, 0, 1]).item() == 1
    assert space.index(np.zeros((0, 3), dtype=int)).shape == (0,)


@pytest.mark.parametrize("rows", [[-1, 0, 0], [0, 5, -1], [2, 2, 1], [0, 0, 5]])
def test_index_refuses_what_no_node_holds(rows):
    with pytest.raises(InputError, match="0 to 4 containers"):
        space_of(3, 4).index(rows)


def test_index_refuses_fractions_and_other_widths():
    with pytest.raises(InputError, match="whole"):
        space_of(3, 4).index([0.5, 0, 0])
    with pytest.raises(InputError, match="3 applications"):
        space_of(3, 4).index([1, 1])


@pytest.mark.parametrize(
    ("apps", "slots", "told"),
    [
        ((), 8, "at least one"),
        (("a", "a"), 8, "each name once"),
        (("a",), 0, "slots 0"),
        (("a",), -3, "slots -3"),
    ],
)
def test_refuses_spaces_that_are_none(apps, slots, told):
    with pytest.raises(InputError, match=told):
        ColocationSpace(apps, slots)


@pytest.mark.parametrize("asked", ["counts", "totals", "plus", "minus"])
def test_a_space_too_large_to_tabulate_has_names_and_slots_alone(asked):
    space = ColocationSpace(tuple("abcdefghijklmnop"), 16)
    assert (len(space.apps), space.slots, space.size, space.tabulated) == (16, 16, 601_080_390, False)
    with pytest.raises(InputError, match=r"16 applications and 16 slots make 601,080,390 .* at most 2,000"):
        getattr(space, asked)


def test_tables_cannot_be_changed_by_accident():
    space = space_of(2, 2)
    with pytest.raises(ValueError, match="read-only"):
        space.counts[0, 0] = 9
    with pytest.raises(ValueError, match="read-only"):
        space.plus[0, 0] = 9


def test_spaces_are_equal_by_applications_and_slots():
    assert space_of(2, 3) == space_of(2, 3)
    assert len({space_of(2, 3), space_of(2, 3), space_of(2, 4)}) == 2
    assert space_of(2, 3) != space_of(3, 3)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6))
def test_rows_are_the_counts_of_ids(apps, slots):
    space = space_of(apps, slots)
    np.testing.assert_array_equal(space.rows(np.arange(space.size)), space.counts)


def test_a_wide_space_is_numbered_though_not_tabulated():
    space = space_of(300, 8)
    counts = np.random.default_rng(0).multinomial(8, np.full(300, 1 / 300), size=50)
    ids = space.index(counts)
    np.testing.assert_array_equal(space.rows(ids), counts)
    assert space.rows([0, space.size - 1]).sum(axis=1).tolist() == [0, 8]
    with pytest.raises(InputError, match=r"co-locations: at most"):
        len(space.counts)
    with pytest.raises(InputError, match=r"this space numbers 0 to"):
        space.rows([space.size])
    with pytest.raises(InputError, match=r"more than can be numbered"):
        space_of(1000, 30).index(np.zeros(1000, dtype=int))
