"""What measurements that fell have in common."""

import numpy as np
import pytest

from metis.operate.diagnosis import Diagnosis, diagnose, nearer

NAN = np.nan


def of(*rows):
    residuals = np.array(rows)
    return diagnose(residuals, np.full(residuals.shape, 0.07))


def test_nothing_is_named_where_nothing_or_one_value_is_off():
    assert of([0.0, 0.1], [-0.1, 0.05]) == Diagnosis()
    # interference changed in one co-location: neither its node nor the application everywhere
    assert of([0.0, -0.8], [0.02, 0.05], [0.0, 0.03]) == Diagnosis()


def test_a_node_an_application_and_everything():
    assert of([0.0, 0.02], [-0.5, -0.6], [0.03, -0.04]).nodes == {1: pytest.approx(np.exp(-0.55))}
    assert of([-0.5, 0.02], [-0.55, 0.0], [-0.45, -0.04]).apps == {0: pytest.approx(np.exp(-0.5))}
    assert of([-0.5, -0.6], [-0.5, -0.4], [-0.4, -0.5]).everything == pytest.approx(np.exp(-0.5))


def test_mixtures():
    both = of([-0.5, 0.02], [-1.1, -0.6], [-0.45, -0.04])
    assert list(both.nodes) == [1]
    assert list(both.apps) == [0]
    two = of([-0.5, -0.6], [0.0, 0.02], [-0.7, -0.8], [0.01, -0.02])
    assert sorted(two.nodes) == [0, 2]
    assert two.sound(range(4)) == [1, 3]


def test_an_application_alone_on_a_node_is_told_by_where_else_it_runs():
    # the first stands by itself on a node, and is as ever on another one
    assert list(of([-0.5, NAN], [0.0, 0.02], [NAN, -0.04]).nodes) == [0]
    # and where it runs nowhere else it is taken to have changed
    assert list(of([-0.5, NAN], [NAN, 0.02], [NAN, -0.04]).apps) == [0]


def test_an_aggressor_that_changed_is_no_bad_node():
    # all that stand beside the first fall with it, but elsewhere they are as ever
    found = of([-0.7, -0.3], [-0.7, -0.3], [-0.7, -0.3], [NAN, 0.0])
    assert list(found.apps) == [0]
    assert not found.nodes


def test_of_two_measurements_the_nearer_to_what_was_expected_counts():
    found = nearer(np.array([-0.5, -0.5, 0.3, NAN, 0.1]), np.array([-0.4, 0.1, NAN, -0.2, 0.2]))
    np.testing.assert_allclose(found, [-0.4, 0.0, 0.3, -0.2, 0.1])
