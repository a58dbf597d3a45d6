"""The change between two states under load, and how sure it is."""

import numpy as np
import pytest

from metis.operate.guard import change_between


def test_the_width_is_how_much_loads_of_one_state_differ():
    before, after = np.array([[1.0, 0.6], [1.2, 0.8]]), np.array([[0.1, 0.7], [0.3, 0.9]])
    found = change_between(before, after, 0.95)
    assert found.mean == pytest.approx(-0.4)
    assert found.half == pytest.approx(4.303 * 0.02**0.5, rel=1e-3)  # two degrees of freedom
    assert not found.worse()
    assert change_between(before, after, 0.5).worse()
    assert not change_between(before, after, 0.5).worse(expected=-0.35)


def test_further_states_say_more_of_the_deviation():
    before, after = np.array([[1.0], [1.2]]), np.array([[0.5], [0.7]])
    further = [np.array([[3.0], [3.2]]), np.array([[2.0], [2.2]])]
    found = change_between(before, after, 0.95, further)
    assert found.half == pytest.approx(2.776 * 0.02**0.5, rel=1e-3)  # four degrees of freedom
    assert found.half < change_between(before, after, 0.95).half


def test_one_load_of_each_proves_nothing():
    found = change_between(np.array([[1.0, 1.0]]), np.array([[0.1, 0.1]]), 0.95)
    assert np.isnan(found.half)
    assert not found.worse()
