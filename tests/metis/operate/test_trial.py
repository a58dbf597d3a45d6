"""Orders that are balanced, intervals that hold the truth, and looks that may be many."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from metis.measure.intervals import LEVEL
from metis.operate.trial import LEAST, alike, differences, look_level, separated, share_held, turns

TRIALS = 600


@pytest.mark.parametrize(("placements", "block"), [(2, 2), (3, 6), (4, 4), (5, 10)])
def test_every_block_is_balanced_by_position_and_by_predecessor(placements, block):
    orders = turns(placements, 3 * block, seed=1)
    for first in range(0, len(orders), block):
        rows = orders[first : first + block]
        assert all(sorted(row) == list(range(placements)) for row in rows)
        for position in range(placements):
            assert set(Counter(row[position] for row in rows).values()) == {block // placements}
        after = Counter(pair for row in rows for pair in pairwise(row))
        assert len(after) == placements * (placements - 1)
        assert len(set(after.values())) == 1


def test_orders_differ_by_seed_and_more_rounds_begin_with_the_same():
    assert turns(4, 4, 1) == turns(4, 9, 1)[:4]
    assert turns(4, 8, 1) != turns(4, 8, 2)


def made_up(rng, rounds, more, drift=0.3, noise=0.02):
    """RPS of three placements by round: a drift that all share, noise, and what the second and third gain."""
    shared = rng.normal(0, drift, (rounds, 1))
    return 1 + shared + np.array([0.0, *more]) + rng.normal(0, noise, (rounds, 3))


def test_a_paired_interval_over_all_rounds_holds_the_truth_95_times_of_100():
    rng, held = np.random.default_rng(5), 0
    for _ in range(TRIALS):
        found = differences(made_up(rng, 6, (0.0, 0.03)))
        held += found[1].holds(0.0) + found[2].holds(0.03)
    assert held / (2 * TRIALS) == pytest.approx(0.95, abs=0.015)


def stopped(rng, rounds, more, level):
    """The intervals of a trial that looks after every round and stops when they have separated."""
    measured = made_up(rng, rounds, more)
    for made in range(LEAST, rounds + 1):
        found = differences(measured[:made], 0, level)
        if separated(found[:2]):
            break
    return found[:2]


def test_looking_after_every_round_equal_placements_tie_95_times_of_100():
    rounds, rng = 12, np.random.default_rng(6)
    level = look_level(rounds)
    ties = sum(stopped(rng, rounds, (0.0, 0.0), level)[1].holds(0.0) for _ in range(TRIALS))
    assert ties / TRIALS == pytest.approx(0.95, abs=0.02)
    often = sum(stopped(rng, rounds, (0.0, 0.0), LEVEL)[1].holds(0.0) for _ in range(TRIALS))
    assert often / TRIALS < 0.9  # what looking that often with ordinary intervals would give


def test_stopped_early_an_interval_holds_a_difference_too():
    rounds, rng = 12, np.random.default_rng(7)
    found = [stopped(rng, rounds, (0.03, 0.0), look_level(rounds)) for _ in range(500)]
    assert sum(one[1].holds(0.03) for one in found) / 500 >= 0.94
    assert sum(separated(one) for one in found) / 500 > 0.7
    assert np.mean([one[1].groups for one in found]) < rounds


def test_the_level_of_a_look_rises_with_how_many_there_are():
    levels = [look_level(rounds) for rounds in (LEAST, 4, 8, 20)]
    assert levels[0] == LEVEL
    assert levels == sorted(levels)
    assert look_level(20) == pytest.approx(0.9923, abs=0.001)


def test_rounds_that_were_not_ended_are_left_out_of_pairs():
    measured = np.array([[1.0, 1.1], [2.0, 2.1], [3.0, np.nan]])
    found = differences(measured)[1]
    assert (found.groups, found.mean, found.half) == (2, pytest.approx(0.1), 0.0)
    assert not separated(differences(measured))  # too few rounds


def test_differences_without_any_noise_separate():
    measured = np.array([[1.0, 1.1]] * LEAST)
    assert separated(differences(measured))
    assert not separated(differences(measured * 0 + 1))


def test_placements_are_alike_whatever_nodes_they_are_on():
    one, other = np.array([[2, 0], [0, 1]]), np.array([[0, 1], [2, 0]])
    different = np.array([[1, 1], [1, 0]])
    assert alike([one, different, other]) == [[0, 2], [1]]
    assert alike([one, different, other], nodes_alike=False) == [[0], [1], [2]]


def test_intervals_that_hold_are_counted_and_unknown_ones_left_out():
    measured = np.array([1.0, 2.0, np.nan, 4.0])
    assert share_held(measured, measured * 0 + 0.5, np.array([1.5, 1.5, 9.0, np.nan])) == (1, 2)
