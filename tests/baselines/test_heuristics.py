"""Greedy, spread and round robin: cases solved by hand, and what they document."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.greedy import place_greedy
from baselines.round_robin import place_round_robin
from baselines.spread import place_spread
from metis.errors import PlacementError
from metis.problem.cluster import Cluster
from metis.problem.objectives import MeanRps
from metis.problem.placement import check_placement
from metis.problem.rules import Rules, placing_order
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SPACE = ColocationSpace(("a", "b"), 3)


def worth_of(**values):
    """Worth by the letters a node holds, such as aab=2.0; 0 for all others."""
    worth = np.zeros(SPACE.size)
    for held, value in values.items():
        worth[SPACE.index([held.count("a"), held.count("b")])] = value
    return worth


def place(scheduler, group, cluster, worth):
    placement, _ = scheduler(np.array(group), cluster, worth)
    check_placement(placement, np.array(group), cluster, "it")
    return placement.tolist()


def test_greedy_takes_the_best_gain():
    worth = worth_of(a=1.0, aa=1.5, ab=1.8, b=0.5, aab=1.9)
    # a to node 0 (tie: the first), a to node 1 (1.0 > 0.5), b beside an a (0.8 > 0.5)
    assert place(place_greedy, [2, 1], Cluster(SPACE, 3), worth) == [[1, 1], [1, 0], [0, 0]]


def test_greedy_is_myopic():
    worth = worth_of(a=1.0, aa=1.9, b=0.1, ab=3.0)
    # both a apart look best, and a later b finds each of them alone
    assert place(place_greedy, [2, 1], Cluster(SPACE, 2), worth) == [[1, 1], [1, 0]]


def test_greedy_ties_go_to_the_first_node():
    assert place(place_greedy, [2, 2], Cluster(SPACE, 2), np.zeros(SPACE.size)) == [[2, 1], [0, 1]]


def test_greedy_takes_the_smallest_loss_when_all_lose():
    worth = worth_of(a=-1.0, aa=-1.5, aaa=-9.0, b=-5.0, ab=-9.0, aab=-9.0, bb=-9.0)
    assert place(place_greedy, [3, 0], Cluster(SPACE, 2), worth) == [[2, 0], [1, 0]]


def test_greedy_counts_from_what_is_there():
    worth = worth_of(a=1.0, ab=5.0, b=1.0)
    cluster = Cluster(SPACE, 2, existing=np.array([[0, 0], [0, 1]]))
    assert place(place_greedy, [1, 0], cluster, worth) == [[0, 0], [1, 0]]


def test_round_robin_deals_in_turn():
    worth = np.zeros(SPACE.size)
    assert place(place_round_robin, [3, 2], Cluster(SPACE, 2), worth) == [[2, 1], [1, 1]]
    cluster = Cluster(SPACE, 3, existing=np.array([[0, 0], [3, 0], [0, 0]]))
    assert place(place_round_robin, [4, 0], cluster, worth) == [
        [2, 0],
        [0, 0],
        [2, 0],
    ]  # a full node is passed


def test_spread_prefers_fewest_of_its_own_then_fewest_at_all_then_the_first():
    worth = np.zeros(SPACE.size)
    assert place(place_spread, [2, 2], Cluster(SPACE, 3), worth) == [[1, 1], [1, 0], [0, 1]]
    cluster = Cluster(SPACE, 3, existing=np.array([[1, 0], [0, 2], [0, 0]]))
    # the first a to the empty node; the second to the one without a, although it holds more
    assert place(place_spread, [2, 0], cluster, worth) == [[0, 0], [1, 0], [1, 0]]


@pytest.mark.parametrize("scheduler", [place_greedy, place_round_robin, place_spread])
def test_whoever_finds_no_node_says_for_which_application(scheduler):
    cluster = Cluster(SPACE, 2, allowed=Rules(at_most={"b": 1}).mask(SPACE))
    with pytest.raises(PlacementError, match="no node admits another container of b"):
        scheduler(np.array([0, 3]), cluster, np.zeros(SPACE.size))


def test_a_guest_finds_its_host_although_it_comes_first_in_the_group():
    cluster = Cluster(SPACE, 2, allowed=Rules(only_beside={"a": ["b"]}).mask(SPACE))
    for scheduler in (place_greedy, place_round_robin, place_spread):
        placed = np.array(place(scheduler, [2, 1], cluster, np.zeros(SPACE.size)))
        assert (placed[placed[:, 0] > 0, 1] > 0).all()


def greedy_by_trying(group, cluster, worth):
    """What greedy documents, written down as slowly and plainly as can be."""
    space = cluster.space
    total, placement = cluster.existing.copy(), np.zeros_like(cluster.existing)
    for app in placing_order(space, cluster.allowed):
        for _ in range(group[app]):
            best, at = -np.inf, -1
            for node in range(cluster.nodes):
                after = total[node].copy()
                after[app] += 1
                if after.sum() > space.slots or not cluster.allowed[space.index(after)]:
                    continue
                gain = worth[space.index(after)] - worth[space.index(total[node])]
                if gain > best:
                    best, at = gain, node
            total[at, app] += 1
            placement[at, app] += 1
    return placement


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 4), st.booleans())
def test_greedy_is_what_it_documents(seed, nodes, ties):
    rng = np.random.default_rng(seed)
    worth = rng.integers(0, 4, SPACE.size) / 2 if ties else rng.normal(size=SPACE.size)
    existing = rng.integers(0, 2, (nodes, 2))
    cluster = Cluster(SPACE, nodes, existing=existing)
    group = rng.multinomial(rng.integers(1, cluster.free_slots + 1), [0.5, 0.5])
    placement, _ = place_greedy(group, cluster, worth)
    np.testing.assert_array_equal(placement, greedy_by_trying(group, cluster, worth))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100_000))
def test_spread_and_round_robin_are_blind_to_worth(seed):
    rng = np.random.default_rng(seed)
    cluster = Cluster(SPACE, 4, existing=rng.integers(0, 2, (4, 2)))
    group = rng.multinomial(4, [0.5, 0.5])
    for scheduler in (place_spread, place_round_robin):
        one, other = (scheduler(group, cluster, rng.normal(size=SPACE.size))[0] for _ in range(2))
        np.testing.assert_array_equal(one, other)


def test_round_robin_is_level():
    cluster = Cluster(SPACE, 5)
    for scheduler in (place_spread, place_round_robin):
        placed = np.array(place(scheduler, [4, 5], cluster, np.zeros(SPACE.size))).sum(axis=1)
        assert placed.max() - placed.min() <= 1


def test_a_full_cluster_is_filled_to_the_last_slot():
    cluster = Cluster(SPACE, 4)
    rps = np.where(SPACE.counts > 0, 1.0, 0.0)
    worth = MeanRps().bind(np.array([7, 5]), cluster, Tables(SPACE, {"rps": rps}))
    for scheduler in (place_greedy, place_spread, place_round_robin):
        assert np.array(place(scheduler, [7, 5], cluster, worth)).sum(axis=1).tolist() == [3, 3, 3, 3]
