import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.constraints import Constraint, Constraints
from baselines.paragon import (
    ParagonSettings,
    make_scores,
    node_ranks,
    paragon_scheduler,
    profile_constraints,
)
from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.rules import Rules
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

AB = ColocationSpace(("a", "b"), 4)
NO_WORTH = np.zeros(AB.size)


def constraints(*items, apps=("a", "b")):
    return Constraints(apps, tuple(Constraint(*item) for item in items))


def test_scores_by_hand():
    scores = make_scores(constraints(("a", "b", False, 1), ("b", "a", True, 2)), slots=4)
    # a stands a quarter of b, b all of a; affinities do not enter
    assert scores.tolerated.tolist() == [[1, pytest.approx((0.25 + 2) / 3)], [1, 1]]
    assert scores.caused.tolist() == [[0, 0], [pytest.approx(0.75 / 3), 0]]
    plain = make_scores(constraints(("a", "b", False, 1)), slots=4, sensitivity=1)
    assert plain.tolerated[0, 1] == 0.25
    assert plain.caused[1, 0] == 0.75


def rank_by_filtering(scores, counts, app):
    """The node that the rule as worded would choose among `counts` [nodes, apps]: all of them that tie."""
    candidates = list(range(len(counts)))
    caused, tolerated = scores.caused[app], scores.tolerated[app]
    d1, d2 = [], []
    for row in counts:
        present = [scores.tolerated[a] for a in range(len(row)) if row[a]]
        node_tolerates = np.min(present, axis=0) if present else np.ones(len(row))
        d1.append(node_tolerates - caused)
        d2.append(tolerated - sum(row[a] * scores.caused[a] for a in range(len(row))))
    for source in sorted(range(len(caused)), key=lambda j: -caused[j]):
        missing = {n: round(max(-d1[n][source], 0) + max(-d2[n][source], 0), 9) for n in candidates}
        nearest = 0 if 0 in missing.values() else min(missing.values())
        candidates = [n for n in candidates if missing[n] == nearest]
    norms = {n: round(float(np.abs(d1[n]).sum() + np.abs(d2[n]).sum()), 9) for n in candidates}
    return {n for n in candidates if norms[n] == min(norms.values())}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 3.0]))
def test_ranks_choose_what_filtering_source_by_source_does(seed, sensitivity):
    rng = np.random.default_rng(seed)
    space = ColocationSpace(("a", "b", "c"), 4)
    items = [
        (str(s), str(c), False, int(rng.integers(0, 5)))
        for s in space.apps
        for c in space.apps
        if rng.random() < 0.6
    ]
    scores = make_scores(constraints(*items, apps=space.apps), 4, sensitivity)
    nodes = rng.integers(0, space.size, 6)
    app = int(rng.integers(0, 3))
    rank = node_ranks(scores, space)[nodes, app]
    chosen = set(np.flatnonzero(rank == rank.min()).tolist())
    assert chosen == rank_by_filtering(scores, space.counts[nodes], app)


def test_packs_up_to_what_the_newcomer_tolerates():
    """By hand: one b causes 1 of source a, which a stands (1): D2 = 0; two b cause 2: D2 = -1.

    Beside one b the norm is 2, on the empty node 3; the next a find 1 beside a and b, until that is full.
    """
    mind = constraints(("a", "b", False, 0))
    cluster = Cluster(AB, 3, np.array([[0, 1], [0, 0], [0, 2]]))
    placement, trace = paragon_scheduler(mind, ParagonSettings(sensitivity=1.0))(
        np.array([4, 0]), cluster, NO_WORTH
    )
    assert placement.tolist() == [[3, 0], [1, 0], [0, 0]]
    assert trace == {"sources": "constraints"}


def test_sensitivity_makes_it_bolder():
    """The same with a third of the interference: two b cause 2/3, which a stands, at the least norm (3)."""
    cluster = Cluster(AB, 3, np.array([[0, 1], [0, 0], [0, 2]]))
    placement, _ = paragon_scheduler(constraints(("a", "b", False, 0)))(np.array([3, 0]), cluster, NO_WORTH)
    assert placement.tolist() == [[1, 0], [0, 0], [2, 0]]


def test_without_a_passing_node_the_nearest_is_taken():
    cluster = Cluster(AB, 2, np.array([[0, 3], [0, 2]]))
    mind = constraints(("a", "b", False, 0))
    placement, _ = paragon_scheduler(mind, ParagonSettings(sensitivity=1.0))(
        np.array([1, 0]), cluster, NO_WORTH
    )
    assert placement.tolist() == [[0, 0], [1, 0]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_places_everything_within_the_rules(seed):
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(3, 9))
    existing = rng.integers(0, 2, (nodes, 2))
    cluster = Cluster(AB, nodes, existing, Rules(at_most={"a": 3}).mask(AB))
    group = rng.multinomial(int(rng.integers(1, nodes * 2)), [0.4, 0.6])
    mind = constraints(("a", "a", False, 1), ("b", "a", False, 1))
    scheduler = TimedScheduler("paragon", paragon_scheduler(mind, ParagonSettings(seed=seed % 1000)))
    first = scheduler.place(group, cluster, NO_WORTH)  # checks capacity, rules and counts
    second = scheduler.place(group, cluster, NO_WORTH)
    assert (first.placement == second.placement).all()


def test_ties_follow_the_seed():
    settings = [ParagonSettings(seed=seed) for seed in range(6)]
    group, cluster = np.array([1, 0]), Cluster(AB, 20)
    chosen = [
        paragon_scheduler(constraints(), s)(group, cluster, NO_WORTH)[0].argmax() // 2 for s in settings
    ]
    assert len(set(chosen)) > 1


def test_no_node_left_by_the_rules():
    cluster = Cluster(AB, 2, allowed=Rules(at_most={"a": 1}).mask(AB))
    with pytest.raises(PlacementError, match="another container of a"):
        paragon_scheduler(constraints())(np.array([3, 0]), cluster, NO_WORTH)


def test_profile_counts_neighbours_until_five_per_cent_are_lost():
    counts = AB.counts
    rps = np.where(counts > 0, 1.0, 0.0)
    rps[:, 0] *= 1 - 0.03 * counts[:, 1]  # a loses 3 % to each b, so it stands one
    found = profile_constraints(Tables(AB, {"rps": rps}))
    assert [str(item) for item in found.items] == ["a: at most 1 b"]
    assert not profile_constraints(Tables(AB, {"rps": rps}), drop=0.2).items
    place = paragon_scheduler(constraints(), ParagonSettings(sources="profile"), Tables(AB, {"rps": rps}))
    as_constraints = paragon_scheduler(found)
    task = (np.array([4, 4]), Cluster(AB, 3), NO_WORTH)
    assert (place(*task)[0] == as_constraints(*task)[0]).all()
    with pytest.raises(InputError, match="tables"):
        paragon_scheduler(constraints(), ParagonSettings(sources="profile"))


@pytest.mark.parametrize(
    ("wrong", "value"),
    [("sources", "guess"), ("sensitivity", 0.5), ("sensitivity", math.nan), ("drop", 1.0), ("seed", -1)],
)
def test_settings_out_of_range(wrong, value):
    with pytest.raises(InputError, match=wrong):
        ParagonSettings(**{wrong: value})


def test_constraints_of_other_applications_are_refused():
    place = paragon_scheduler(constraints(apps=("x", "y")))
    with pytest.raises(InputError, match="the cluster runs"):
        place(np.array([1, 0]), Cluster(AB, 2), NO_WORTH)
