"""The tree of decisions and the ranges of load."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis.errors import InputError
from metis.learn.paper.sub_scheduler import load_ranges
from metis.learn.paper.tree import levels_for, split_evenly, spread


@given(st.integers(2, 5), st.integers(1, 4), st.data())
def test_spread_is_even_at_every_level(fan_out, levels, data):
    units = data.draw(st.integers(1, fan_out**levels))
    leaves = spread(units, fan_out, levels)
    assert len(leaves) == units
    assert (np.diff(leaves) > 0).all()
    for level in range(levels):
        width = fan_out ** (levels - level - 1)
        held = np.bincount(leaves // width, minlength=fan_out ** (level + 1)).reshape(-1, fan_out)
        assert (np.ptp(held, axis=1) <= 1).all()


def test_spread_refuses_more_units_than_leaves():
    with pytest.raises(InputError, match="28 units"):
        spread(28, 3, 3)


def test_depth_follows_from_size():
    assert [levels_for(n, 3) for n in (1, 3, 4, 9, 27, 28, 81, 243, 729, 2187)] == [
        1,
        1,
        2,
        2,
        3,
        4,
        4,
        5,
        6,
        7,
    ]
    assert levels_for(81, 9) == 2
    assert levels_for(81, 81) == 1
    assert split_evenly(100, 4).tolist() == [25, 25, 25, 25]
    assert split_evenly(10, 4).tolist() == [3, 3, 2, 2]


def test_the_published_load_ranges():
    ranges = load_ranges(216, None)
    assert len(ranges) == 21
    assert ranges[:2] == [(1, 10), (11, 20)]
    assert ranges[-1] == (201, 216)
    assert load_ranges(216, 1) == [(1, 216)]
    assert load_ranges(6, None) == [(1, 6)]


@given(st.integers(1, 300), st.data())
def test_load_ranges_cover_every_load_once(capacity, data):
    ranges = load_ranges(capacity, data.draw(st.none() | st.integers(1, capacity)))
    covered = [n for first, last in ranges for n in range(first, last + 1)]
    assert covered == list(range(1, capacity + 1))
