import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError
from metis.measure.contention import KNEE
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.measure.testbed import EmbeddedTestbed


def test_two_containers_by_hand():
    model = SyntheticModel(
        ("a", "b"),
        pressure=np.array([[3.0], [1.0]]),
        sensitivity=np.array([[0.5], [0.0]]),
        helpers=np.array([[1], [0]]),
        help=np.array([[0.0], [0.2]]),
    )
    contention = np.logaddexp(0, np.array([3.0, 4.0]) - KNEE)  # of a alone, and beside b
    slowed = np.exp(-0.5 * (contention[1] - contention[0]))
    np.testing.assert_allclose(model.rps(np.array([[1, 1]])), [[slowed, np.exp(0.2)]])
    np.testing.assert_array_equal(model.rps(np.array([[1, 0], [0, 1], [0, 0]])), [[1, 0], [0, 1], [0, 0]])
    p50, p99 = model.latency(np.array([[1, 1]]), np.array([[0.5, 1.0]]))
    assert (p50.tolist(), p99.tolist()) == ([[2.0, 1.0]], [[4.0, 2.0]])


def test_a_seed_draws_the_same_and_another_one_another():
    one, same, other = (SyntheticModel.drawn(30, seed) for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.pressure, same.pressure)
    assert (one.pressure != other.pressure).any()
    assert one.apps[0] == "app-01"
    assert (one.helpers != np.arange(30)[:, None]).all()
    with pytest.raises(InputError, match=r"apps.count 1"):
        SyntheticModel.drawn(1, 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_limits_hold_for_whatever_a_co_location_becomes(seed):
    rng = np.random.default_rng(seed)
    model = SyntheticModel.drawn(8, seed)
    held = rng.integers(0, 2, (20, 8))
    held[:, 0] += held.sum(axis=1) == 0
    later = rng.random((20, 8)) < 0.6
    there, more = model.most_rps(held, later)
    for _ in range(5):
        added = rng.integers(0, 3, (20, 8)) * later
        reached = model.rps(held + added)
        assert (reached <= np.where(held > 0, there, np.inf) + 1e-12).all()
        assert (np.where(added > 0, reached, 0) <= more + 1e-12).all()


def test_the_oracle_is_stored_and_knows_what_the_tables_do(tmp_path):
    model = SyntheticModel.drawn(4, 2)
    oracle = SyntheticOracle(model, 3)
    oracle.save(tmp_path / "oracle.npz")
    again = SyntheticOracle.load(tmp_path / "oracle.npz")
    assert again.space == oracle.space
    names = ("rps", "speed", "p50", "p99")
    tables = EmbeddedTestbed(model, 3, 0.0).truth(names)
    known = again.quantities_of(oracle.space.counts, names)
    for name in names:
        np.testing.assert_allclose(known[name], tables.quantities[name], atol=1e-12, err_msg=name)
    with pytest.raises(InputError, match="quantity 'p90'"):
        oracle.quantities_of(oracle.space.counts, ("p90",))
    (tmp_path / "other.npz").write_bytes((tmp_path / "oracle.npz").read_bytes()[:100])
    with pytest.raises(InputError, match=r"other\.npz"):
        SyntheticOracle.load(tmp_path / "other.npz")
