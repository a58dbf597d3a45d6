"""Intervals over groups: hand-solved, ties, one group, a group missing."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from flows.report.intervals import ALONE, TIE, Interval, interval, lead, predicted, predicted_lead


def table(**values):
    rows = [
        {"scheduler": name, "group": group, "value": value}
        for name, several in values.items()
        for group, value in enumerate(several)
        if value is not None
    ]
    return pd.DataFrame(rows)


def test_the_interval_of_one_two_three():
    found = interval([1, 2, 3])
    assert (found.mean, found.groups) == (2, 3)
    assert found.half == pytest.approx(4.302653 / 3**0.5)  # t(0.975, 2) * 1 / sqrt(3)
    assert found.holds(0)  # 2 - 2.48 < 0
    assert found.verdict() == TIE
    assert not found.holds(4.5)


@pytest.mark.parametrize("groups", [2, 5, 10, 30])
def test_it_is_student_s(groups):
    values = np.random.default_rng(groups).normal(1, 0.1, groups)
    low, high = stats.t.interval(0.95, groups - 1, values.mean(), stats.sem(values))
    found = interval(values)
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high))
    assert found.verdict() == ""


def test_one_group_has_no_interval_and_none_has_no_mean():
    alone = interval([0.3])
    assert (alone.mean, alone.groups, alone.verdict()) == (0.3, 1, ALONE)
    assert not alone.holds(0.3)
    assert alone.document() == {"mean": 0.3, "half_width": None, "tie": None}
    assert interval([np.nan]).document() == {"mean": None, "half_width": None, "tie": None}
    assert interval([]).verdict() == ""


def test_equal_values_are_a_tie_and_a_constant_difference_is_none():
    assert interval([0.0, 0.0]).document() == {"mean": 0.0, "half_width": 0.0, "tie": True}
    assert interval([1e-14, 3e-14]).verdict() == TIE  # rounding
    assert interval([0.1, 0.1, 0.1]) == Interval(pytest.approx(0.1), 0.0, 3)
    assert interval([0.1, 0.1, 0.1]).verdict() == ""


def test_a_lead_is_paired_group_by_group():
    # groups differ by far more than schedulers do: unpaired, nothing would be seen
    found = lead(table(one=[2, 11, 103], other=[1, 9, 100]), "one", "other", "value")
    scale = (1 + 9 + 100) / 3
    assert found.mean == pytest.approx(2 / scale)
    assert found.half == pytest.approx(4.302653 / 3**0.5 / scale)


def test_a_group_that_one_did_not_place_is_left_out():
    found = lead(table(one=[2, 11, 103, 7], other=[1, 9, 100, None]), "one", "other", "value")
    assert (found.groups, found.mean) == (3, pytest.approx(6 / 110))
    assert lead(table(one=[1, None], other=[None, 1]), "one", "other", "value").groups == 0
    assert lead(table(one=[1, 2]), "one", "", "value").groups == 0
    assert lead(table(one=[1, 2], other=[0, 0]), "one", "other", "value").groups == 0


def drawn(**values):
    """Results of two groups from scheduler -> (value, its draws), alike in both groups."""
    rows = [
        {"scheduler": name, "group": group, "value": own, **{f"drawn_{k}": v for k, v in enumerate(draws)}}
        for name, (own, draws) in values.items()
        for group in range(2)
    ]
    return pd.DataFrame(rows)


def test_an_error_that_two_placements_share_does_not_count():
    results = drawn(one=(1.1, [1.0, 1.2]), other=(1.0, [0.9, 1.1]))
    assert predicted(results, "one") == Interval(pytest.approx(1.1), pytest.approx(1.96 * 0.02**0.5), 2)
    found = predicted_lead(results, "one", "other")
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(1.96 * np.std([0.1 / 0.9, 0.1 / 1.1], ddof=1))
    assert not found.holds(0)
    # the same lead, were it as often the other way round
    assert predicted_lead(drawn(one=(1.1, [1.0, 1.2]), other=(1.0, [1.2, 1.0])), "one", "other").holds(0)


def test_a_simulator_without_draws_knows_no_error():
    results = table(one=[1.2, 1.1], other=[1.0, 0.9])
    assert np.isnan(predicted(results, "one").half)
    assert np.isnan(predicted_lead(results, "one", "other").half)
