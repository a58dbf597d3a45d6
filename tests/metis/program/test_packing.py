"""Packing: hand-solvable problems, properties, and the published data of 2018."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError, PlacementError
from metis.problem.load_cost import LoadCost
from metis.problem.statement import Statement, broken_rules, check_rows
from metis.problem.tianchi import read_tianchi
from metis.program.load_bound import load_bound
from metis.program.packing import pack

INSTANCES = Path(__file__).parents[3].parent / "shared" / "instances"


def stated(demand, requests, capacity, beside=(), existing=(), dimensions=None):
    requests, capacity = np.atleast_2d(np.array(requests, float)), np.atleast_2d(np.array(capacity, float))
    return Statement(
        apps=tuple(f"app-{i}" for i in range(len(demand))),
        demand=np.array(demand),
        requests=requests,
        nodes=tuple(f"node-{i}" for i in range(len(capacity))),
        capacity=capacity,
        dimensions=dimensions or ("cpu",) * requests.shape[1],
        beside=np.array(beside, dtype=np.int64).reshape(-1, 3),
        existing=np.array(existing, dtype=np.int64).reshape(-1, 3),
    )


def test_cost_by_hand():
    cost = LoadCost()
    used, capacity = np.array([[2.0, 7.0], [0.0, 0.0]]), np.full((2, 2), 10.0)
    np.testing.assert_allclose(cost.of(used, capacity), [1 + 10 * (np.exp(0.2) - 1) / 2, 1.0])


def test_light_containers_share_a_node():
    """Four of a tenth each cost 1 on one node and 2 on two."""
    packed = pack(stated([4], [[1.0]], [[10.0]] * 3), LoadCost(), 0.2)
    assert packed.nodes == 1
    assert packed.cost == pytest.approx(1.0)
    assert packed.rows[:, 2].sum() == 4


def test_peaks_at_other_times_share_a_node():
    """Two applications with peaks at two times: mixed, each node peaks at half of what alike ones do."""
    packed = pack(stated([2, 2], [[5, 0], [0, 5]], [[10, 10]] * 2), LoadCost(), 0.2)
    assert packed.cost == pytest.approx(2.0)  # one of each on a node: both times at the threshold
    assert sorted(packed.rows[:, 2]) == [1, 1, 1, 1]


def test_rules_hold_in_both_directions():
    """Where the first is none of the second may be; the second may have one of the first beside it."""
    one = stated([2, 2], [[1], [1]], [[10], [10]], beside=[(0, 1, 0)])
    packed = pack(one, LoadCost(), 0.2)
    assert packed.nodes == 2
    assert not broken_rules(one, packed.rows)
    assert broken_rules(one, np.array([[0, 0, 2], [0, 1, 2]])) == [(0, 0, 2)]


def test_what_runs_stays():
    one = stated([3], [[1.0]], [[10.0]] * 3, existing=[(2, 0, 1)])
    packed = pack(one, LoadCost(), 0.2)
    assert (2, 0) in {(node, app) for node, app, _ in packed.rows.tolist()}
    assert packed.rows[:, 2].sum() == 3


def test_a_placement_is_checked():
    one = stated([2, 1], [[6.0], [1.0]], [[10.0], [10.0]], beside=[(1, 0, 0)])
    with pytest.raises(PlacementError, match="placed 1 of 2 containers of app-0"):
        check_rows(one, np.array([[0, 0, 1], [1, 1, 1]]), "mine")
    with pytest.raises(PlacementError, match="node-0 has too little cpu"):
        check_rows(one, np.array([[0, 0, 2], [1, 1, 1]]), "mine")
    with pytest.raises(PlacementError, match="node-1 holds 1 of app-0 beside app-1, where at most 0 may be"):
        check_rows(one, np.array([[0, 0, 1], [1, 0, 1], [1, 1, 1]]), "mine")


def least_cost(one, cost):
    """The least over all placements of single containers."""
    of = np.repeat(np.arange(len(one.apps)), one.demand)
    best = np.inf
    for nodes in product(range(len(one.nodes)), repeat=len(of)):
        keys, counts = np.unique(np.array(nodes) * len(one.apps) + of, return_counts=True)
        rows = np.stack([keys // len(one.apps), keys % len(one.apps), counts], axis=1)
        try:
            check_rows(one, rows, "any")
        except PlacementError:
            continue
        best = min(best, cost.total(one, rows))
    return best


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_between_the_bound_and_the_least(seed):
    rng = np.random.default_rng(seed)
    one = stated(
        rng.integers(1, 3, 3),
        rng.uniform(0.5, 3, (3, 2)).round(2),
        [[8, 8], [8, 8], [12, 12]],
        beside=[(0, 1, 1)],
    )
    best = least_cost(one, LoadCost())
    packed = pack(one, LoadCost(), 0.05, seed)
    check_rows(one, packed.rows, "packing")
    assert packed.bound <= best + 1e-6
    assert best - 1e-6 <= packed.cost <= best + 1 + 1e-6  # at worst a node too many in so little time


def test_an_unknown_resource():
    with pytest.raises(InputError, match="'gpu' is no resource of this problem; it has cpu"):
        load_bound(stated([1], [[1.0]], [[1.0]]), LoadCost(resource="gpu"))


@pytest.mark.published
@pytest.mark.skipif(
    not (INSTANCES / "tianchi_b.zip").exists(), reason="the 2018 data are not beside the project"
)
def test_the_published_data():
    """What runs at first costs 9,487.93, no placement less than 6,026.61 (by the checker beside the data)."""
    one, at_first = read_tianchi(INSTANCES)
    assert (len(one.apps), one.demand.sum(), len(one.nodes), len(one.beside)) == (9338, 68224, 6000, 33416)
    assert at_first[:, 2].sum() == 61_254
    assert not broken_rules(one, at_first)
    assert LoadCost().total(one, at_first) == pytest.approx(9487.93, abs=0.01)
    assert 6026.4 < load_bound(one, LoadCost()).cost <= 6026.61
