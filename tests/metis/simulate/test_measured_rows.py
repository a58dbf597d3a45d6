"""Measured co-locations over predicted ones: by hand, shrunk where noisy, and within proven bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.measure.profile import make_profile
from metis.problem.cluster import Cluster
from metis.problem.kinds import problem_of
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.space import ColocationSpace
from metis.program.column_program import solve_column_program
from metis.simulate.lowrank import LowRank
from metis.simulate.lowrank_oracle import LowRankFits, LowRankOracle
from metis.simulate.measured_rows import MeasuredRows, shrunk

SPACE = ColocationSpace(("a", "b", "c"), 3)
ROWS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [2, 0, 1]])
SHARES = np.array(
    [[1, np.nan, np.nan], [np.nan, 1, np.nan], [np.nan, np.nan, 1], [0.9, 0.8, np.nan], [0.7, np.nan, 1.5]]
)


def oracle_of(seed=0, own=0.0):
    rng = np.random.default_rng(seed)
    model = LowRank(rng.exponential(1, (3, 2)), rng.exponential(0.5, (3, 2)), np.zeros((3, 3)))
    return LowRankOracle(SPACE, {"rps": LowRankFits(model, (model, model), own, np.ones(3))})


def measured(noise=0.0, **options):
    profile = make_profile(SPACE.apps, SPACE.slots, ROWS, {"rps": SHARES}, {})
    return oracle_of(**options).with_measured(profile, noise)


def test_what_was_measured_is_returned_and_all_else_predicted():
    rows = np.array([[2, 0, 1], [1, 2, 0], [1, 1, 0], [0, 0, 0]])
    predicted = oracle_of().quantities_of(rows, ("rps",))["rps"]
    found = measured().quantities_of(rows, ("rps",))["rps"]
    np.testing.assert_array_equal(found[[0, 2]], [[0.7, 0, 1.5], [0.9, 0.8, 0]])
    np.testing.assert_array_equal(found[[1, 3]], predicted[[1, 3]])


def test_a_noisy_measurement_leans_towards_the_prediction_by_what_each_is_worth():
    value, spread = shrunk(np.array([[0.4]]), np.array([[0.1]]), np.array([[0.3]]), 0.3)
    assert value.item() == pytest.approx(0.2)  # the geometric mean
    assert spread.item() == pytest.approx(0.3 / np.sqrt(2))
    value, spread = shrunk(np.array([[0.4]]), np.array([[0.1]]), np.array([[0.0]]), 0.3)
    assert value.item() == pytest.approx(0.1)
    assert spread.item() == 0
    value, spread = shrunk(np.array([[0.4, np.nan]]), np.array([[0.1, 0.2]]), np.array([[0.3, 0.3]]), 0.0)
    np.testing.assert_array_equal(value, [[0.4, np.nan]])
    assert (spread == 0).all()


def test_what_was_measured_exactly_is_not_doubted():
    rows = np.array([[2, 0, 1], [1, 2, 0]])
    oracle = measured(own=0.2)
    spread = oracle.spread(rows, "rps")
    np.testing.assert_array_equal(spread, [[0, 0, 0], [0.2, 0.2, 0]])
    careful = oracle.cautious(2.0).quantities_of(rows, ("rps",))["rps"]
    np.testing.assert_array_equal(careful[0], [0.7, 0, 1.5])
    assert careful[1, 0] < oracle.quantities_of(rows, ("rps",))["rps"][1, 0]
    for could_be in oracle.drawn():
        np.testing.assert_array_equal(could_be.quantities_of(rows, ("rps",))["rps"][0], [0.7, 0, 1.5])


def test_measured_rows_are_stored(tmp_path):
    oracle = measured(noise=0.1, own=0.2)
    oracle.save(tmp_path / "oracle.npz")
    again = LowRankOracle.load(tmp_path / "oracle.npz")
    for name in ("quantities_of", "spread"):
        before, after = (getattr(one, name) for one in (oracle, again))
        if name == "spread":
            np.testing.assert_array_equal(before(ROWS, "rps"), after(ROWS, "rps"))
        else:
            np.testing.assert_array_equal(before(ROWS, ("rps",))["rps"], after(ROWS, ("rps",))["rps"])


def test_a_row_that_was_disturbed_is_only_a_hint():
    profile = make_profile(SPACE.apps, SPACE.slots, ROWS, {"rps": SHARES}, {})
    object.__setattr__(profile, "weight", np.array([1, 1, 1, 0.5, 1.0]))
    oracle = oracle_of().with_measured(profile, 0.0)
    assert oracle.known is not None
    assert ROWS[3].tolist() not in oracle.known.colocations.tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_limits_hold_for_measured_rows_that_a_co_location_may_grow_into(seed):
    rng = np.random.default_rng(seed)
    rows = np.unique(rng.multinomial(3, [0.4, 0.3, 0.3], 4), axis=0)
    shares = np.where(rows > 0, rng.uniform(0.1, 3.0, rows.shape), np.nan)
    known = MeasuredRows(rows, {"rps": shares}, {"rps": np.zeros(rows.shape)})
    oracle = LowRankOracle(SPACE, oracle_of(seed).fits, known=known)
    held = rng.integers(0, 2, (8, 3))
    held[:, 0] += held.sum(axis=1) == 0
    later = rng.random((8, 3)) < 0.6
    there, more = oracle.most_rps(held, later)
    for _ in range(10):
        added = rng.integers(0, 3, (8, 3)) * later
        reached = oracle.quantities_of(held + added, ("rps",))["rps"]
        worth = ((held + added) * reached).sum(axis=1)
        assert (worth <= (held * there).sum(axis=1) + (added * more).sum(axis=1) + 1e-9).all()


def test_columns_use_a_measured_co_location_that_is_better_than_predicted_and_prove_it():
    """Two containers of `a` and one of `c` are measured at 0.7 and 1.5 of what they reach alone."""
    oracle = measured(seed=3)
    cluster = Cluster(SPACE, 2)
    group = np.array([2, 0, 1])
    worth = worth_of(MeanRps(), group, cluster, oracle)
    problem, kind_of = problem_of(group, cluster, worth)
    found = solve_column_program(problem, kind_of, seconds=30)
    # by hand: all on one node, or one container alone (1) and two together, as the model has these
    counts = np.array([[2, 0, 1], [2, 0, 0], [1, 0, 1], [0, 0, 1], [1, 0, 0]])
    each = (counts * oracle.quantities_of(counts, ("rps",))["rps"]).sum(axis=1)
    best = max(each[0], each[1] + 1, each[2] + 1)
    assert found.value == pytest.approx(best / 3)
    assert found.bound_kind == "proven"
    assert found.value <= found.bound + 1e-9
