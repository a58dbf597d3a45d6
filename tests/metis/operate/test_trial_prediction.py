"""Predicted means and differences with their error, and the share of measurements that intervals hold."""

import numpy as np
import pytest

from metis.operate.trial_prediction import Predicted, chosen, coverage, predict, with_units
from metis.problem.cluster import Cluster
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

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


def test_the_error_of_what_counts_as_one_is_common_to_all_placements():
    exact = [predicted(0.0), predicted(0.0, HELD * 2)]
    one, other = with_units(exact, np.array([0.1, 0.1]), seed=3)
    assert other.half == pytest.approx(one.half)
    assert one.beyond(other) == (pytest.approx(0.0), pytest.approx(0.0))
    logs = np.log(one.drawn[:, HELD > 0] / RATES[HELD > 0])
    assert logs.std(axis=0) == pytest.approx([0.1] * 3, rel=0.1)
    assert np.ptp(logs[:, [0, 2]], axis=1).max() == pytest.approx(0.0)  # both of the first application
    alone, both = predicted(0.0, np.array([[1, 0], [1, 0]])), predicted(0.0, np.array([[0, 0], [2, 0]]))
    found = with_units([alone, both], np.array([0.1, 0.0]), seed=0)
    more, half = found[1].beyond(found[0])
    assert more == pytest.approx(0.25)
    assert half == pytest.approx(1.96 * 0.1 * 0.25, rel=0.1)  # in proportion to the difference


def test_predicted_intervals_hold_where_what_counts_as_one_was_measured_wrong():
    rng, held, exact, of = np.random.default_rng(1), 0, 0, 0
    for seed in range(300):
        unit = np.exp(0.15 * rng.standard_normal(2))
        rates = np.where(HELD > 0, RATES / unit, np.nan)[None, None]
        plain = predicted(0.02, draws=24, seed=seed)
        held += coverage(with_units([plain], np.array([0.15, 0.15]), seed), rates)[0]
        exact += coverage([plain], rates)[0]
        of += 3
    assert held / of == pytest.approx(0.8, abs=0.05)
    assert exact / of < 0.3


APPS2 = ColocationSpace(("a", "b"), 2)
APART, MIXED = np.array([[2, 0], [0, 2]]), np.array([[1, 1], [1, 1]])


def tables(mixed, alike):
    """Rates where two of one application, or one of each, share a node."""
    rps = np.zeros((APPS2.size, 2))
    rps[APPS2.index(np.array([[1, 0], [0, 1]]))] = np.eye(2)
    rps[APPS2.index(np.array([[2, 0], [0, 2]]))] = alike * np.eye(2)
    rps[APPS2.index(np.array([[1, 1]]))] = mixed
    return Tables(APPS2, {"rps": rps})


def test_a_placement_is_chosen_by_as_much_as_it_gains_over_its_containers_dealt_at_random():
    cluster = Cluster(APPS2, 2)
    assert chosen([APART, MIXED], cluster, tables(mixed=0.9, alike=0.5)).tolist() == [0.0, 1.0]
    assert chosen([APART, MIXED], cluster, tables(mixed=0.5, alike=0.9)).tolist() == [1.0, 0.0]
    # where nothing matters, nothing was chosen
    assert chosen([APART, MIXED], cluster, tables(mixed=0.7, alike=0.7)).tolist() == [0.0, 0.0]


def test_intervals_of_a_placement_that_was_not_chosen_are_narrower():
    cluster, known = Cluster(APPS2, 2), tables(mixed=0.9, alike=0.5)
    drawn = [tables(0.9 * f, 0.5 * f) for f in np.exp([-0.2, -0.1, 0.1, 0.2])]
    apart, mixed = predict([APART, MIXED], cluster, known, drawn, (0.5, 1.2))
    assert np.log(apart.drawn[:, 0, 0] / 0.5) == pytest.approx([-0.1, -0.05, 0.05, 0.1])
    assert np.log(mixed.drawn[:, 0, 0] / 0.9) == pytest.approx([-0.24, -0.12, 0.12, 0.24])
    assert apart.drawn[:, 0, 1].tolist() == [0.0] * 4
    assert (apart.mean, mixed.mean) == (pytest.approx(0.5), pytest.approx(0.9))
    plain = predict([APART], cluster, known, drawn)[0]
    assert np.log(plain.drawn[:, 0, 0] / 0.5) == pytest.approx([-0.2, -0.1, 0.1, 0.2])
    assert predict([APART], cluster, known, [])[0].drawn.shape == (0, 2, 2)


def test_without_draws_nothing_is_said():
    none = Predicted(HELD, RATES, np.zeros((0, 2, 2)))
    assert np.isnan(none.half)
    assert coverage([none], RATES[None, None]) == (0, 0)
