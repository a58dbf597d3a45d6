"""Load in turns: the ratio of paired slices and its interval, and what the load file makes of them."""

import json
import math

import numpy as np
import pytest

from cluster.load.duet import Turns, read_turns, turns_of
from cluster.load.loadimage.slices import LEAST, enough, lengths, ratio, student, turns
from cluster.load.run import paired_of
from metis.errors import InputError, SurroundingsError


def test_the_ratio_is_that_of_the_sums_and_what_disturbs_both_cancels():
    assert ratio([50.0, 50.0], [100.0, 100.0]) == (0.5, 0.0)
    machine = [1.0, 0.3, 0.8, 0.6]  # how fast it was in each cycle
    found, half = ratio([40 * one for one in machine], [80 * one for one in machine])
    assert found == pytest.approx(0.5)
    assert half == pytest.approx(0.0, abs=1e-9)


def test_the_interval_by_hand():
    found, half = ratio([4.0, 6.0, 5.0], [10.0, 10.0, 10.0])
    assert found == pytest.approx(0.5)
    assert half == pytest.approx(student(2) * 1.0 / math.sqrt(3) / 10)


def test_one_pair_says_nothing_of_its_error_and_no_base_no_ratio():
    assert ratio([4.0], [8.0]) == (0.5, math.inf)
    assert math.isnan(ratio([4.0, 4.0], [0.0, 0.0])[0])


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (3, 3.182), (5, 2.571), (30, 2.042)])
def test_students_quantile(freedom, quantile):
    assert student(freedom) == pytest.approx(quantile, rel=0.01)


def test_intervals_hold_the_true_ratio_as_often_as_they_say():
    rng, held, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        machine = np.exp(np.cumsum(rng.normal(0, 0.1, 12)))  # it drifts
        of, to = (level * machine * np.exp(rng.normal(0, 0.1, 12)) for level in (60, 100))
        found, half = ratio(of.tolist(), to.tolist())
        held += abs(found - 0.6) <= half
    assert 0.92 <= held / runs <= 0.98


def test_it_stops_once_all_are_precise_and_never_on_a_lucky_start():
    sure = ([5.0] * LEAST, [10.0] * LEAST)
    assert enough([sure], 0.05)
    assert not enough([([5.0, 5.0], [10.0, 10.0])], 0.05)
    assert not enough([sure, ([1.0, 9.0] * 2, [10.0] * 4)], 0.05)
    assert [turns(3, cycle) for cycle in range(2)] == [[0, 1, 2], [2, 1, 0]]


@pytest.mark.parametrize(
    ("slowest", "budget", "expected"),
    [(0.01, 300, (0.05, 1.0)), (0.01, 12, (0.05, 0.95)), (1.0, 300, (1.0, 3.0)), (5.0, 12, (1.5, 1.5))],
)
def test_slow_requests_make_slices_longer_and_little_time_shorter(slowest, budget, expected):
    assert lengths(1.0, slowest, 2, budget) == pytest.approx(expected)


def test_a_colocation_takes_turns_with_one_container_of_each_application():
    made = turns_of({"web": ["s-0", "s-1"], "cache": ["s-2"]}, {"web": "s-0", "cache": "s-3"})
    assert made.sets == (("s-0", "s-1", "s-2"), ("s-0",), ("s-3",))
    assert made.ratios == (
        ((0, ("s-0", "s-1")), (1, ("s-0",))),
        ((0, ("s-2",)), (2, ("s-3",))),
    )
    with pytest.raises(InputError, match="set 1 is not loaded"):
        Turns((("a",), ("b",)), (((0, ("a",)), (1, ("a",))),))


def test_results_are_read_by_set_and_the_interval_made_of_the_rates():
    one = {"rps": 40.0, "p50": 0.01, "p99": None, "requests": 80, "failures": 0, "seconds": 2.0}
    found = {
        "sets": [{"a": one}, {"a": one | {"rps": 80.0}}],
        "pairs": [[[39.0, 41.0], [80.0, 80.0]]],
        "seconds": 4.4,
    }
    duet = read_turns(f"noise\nMETIS-LOAD {json.dumps(found)}\n", "", "ended")
    assert (duet.cycles, duet.seconds, duet.sets[1]["a"].rps) == (2, 4.4, 80.0)
    paired = paired_of(duet, [False, True])
    np.testing.assert_allclose(paired.ratio, [np.nan, 0.5])
    np.testing.assert_allclose(paired.unit, [np.nan, 80.0])
    assert paired.width[1] == pytest.approx(ratio([39.0, 41.0], [80.0, 80.0])[1] / 0.5)
    with pytest.raises(SurroundingsError, match="ended without results: boom"):
        read_turns("METIS-LOAD {}", "boom", "ended")
