"""Predicted means and differences with their error, and the share of measurements that intervals hold."""

import numpy as np
import pytest

from metis.operate.trial_prediction import Predicted, coverage

RATES = np.array([[0.5, 0.8], [1.0, 0.0]])
HELD = np.array([[1, 2], [1, 0]])


def predicted(spread, placement=HELD, draws=400, seed=0):
    drawn = np.exp(spread * np.random.default_rng(seed).standard_normal((draws, *RATES.shape)))
    return Predicted(placement, RATES, RATES * drawn)


def test_the_mean_is_over_containers_and_its_interval_over_draws():
    one = predicted(0.1)
    assert one.mean == pytest.approx((0.5 + 2 * 0.8 + 1.0) / 4)
    deviation = ((0.5**2 + (2 * 0.8) ** 2 + 1) ** 0.5 / 4) * 0.1
    assert one.half == pytest.approx(1.96 * deviation, rel=0.1)


def test_an_error_that_both_placements_share_does_not_count():
    one = predicted(0.1)
    assert one.beyond(one) == (0.0, 0.0)
    more, half = predicted(0.1, HELD * 2).beyond(one)
    assert (more, half) == (pytest.approx(0.0), pytest.approx(0.0))


@pytest.mark.parametrize(("spread", "share"), [(0.1, 0.8), (0.05, 0.478), (0.3, 1.0)])
def test_predicted_intervals_hold_their_share_where_the_spread_is_right(spread, share):
    rng, held, of = np.random.default_rng(1), 0, 0
    one = predicted(spread)
    for _ in range(300):
        true = RATES * np.exp(0.1 * rng.standard_normal(RATES.shape))
        a, b = coverage([one], np.where(HELD > 0, true, np.nan)[None, None])
        held, of = held + a, of + b
    assert of == 900
    assert held / of == pytest.approx(share, abs=0.04)


def test_the_same_colocation_on_alike_nodes_counts_once():
    twice = Predicted(
        HELD[[0, 0]], RATES[[0, 0]], np.repeat(RATES[None, [0, 0]], 2, axis=0) * [[[1.0]], [[1.1]]]
    )
    rates = np.tile(RATES[[0, 0]], (3, 1, 1, 1))
    assert coverage([twice], rates) == (2, 2)
    assert coverage([twice], rates, nodes_alike=False) == (4, 4)


def test_without_draws_nothing_is_said():
    none = Predicted(HELD, RATES, np.zeros((0, 2, 2)))
    assert np.isnan(none.half)
    assert coverage([none], RATES[None, None]) == (0, 0)
