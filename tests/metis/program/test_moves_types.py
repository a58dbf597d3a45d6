"""The program of moves where nodes differ: against every plan there is, and where columns are searched."""

from itertools import product

import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.limits import limits_of, most_on_one
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.program.moves import MoveProgram

SPACE = ColocationSpace(("a", "b"), 3)
TYPES = (
    NodeTypeSettings("small", count=2, slots=2, capacity={"cpu": 2}, domains={"zone": "x"}),
    NodeTypeSettings("large", count=2, slots=3, capacity={"cpu": 6}, domains={"zone": "y"}),
)
REQUESTS = {"a": {"cpu": 1}, "b": {"cpu": 2}}
RULES = {
    "none": Rules(),
    "apart": Rules(never_together=(("a", "b"),)),
    "eligible": Rules(eligible={"b": ("large",)}),
    "spread": Rules(spread={"a": {"zone": 2}}),
}


def stated(rules, existing, space=SPACE, types=TYPES, requests=REQUESTS):
    placed = np.ones(len(space.apps), dtype=np.int64)
    made = state_problem(types, requests, rules, space.apps, space.slots, placed)
    cluster = Cluster(space, len(made.nodes), existing=existing, rules=rules, stated=made)
    return Cluster(
        space, cluster.nodes, existing=existing, allowed=rules.mask(space), rules=rules, stated=made
    )


def within(cluster, placement):
    """Whether a placement keeps capacities, rules and limits, or leaves nodes as they are."""
    made, existing = cluster.stated, cluster.existing
    kept = (placement == existing).all(axis=1)
    right = (placement @ made.requests <= made.capacity).all(axis=1) & cluster.admits(placement)
    right &= (placement <= most_on_one(made, placement.sum(axis=0))).all(axis=1)
    limits = limits_of(made, placement.sum(axis=0))
    return (right | kept).all() and all(
        one.used(placement) <= max(one.most, one.used(existing)) for one in limits
    )


@pytest.mark.parametrize("name", RULES)
def test_no_plan_on_nodes_that_differ_is_better_and_none_breaks_anything(name):
    rng = np.random.default_rng(1)
    rows = [[tuple(row) for row in SPACE.counts.tolist() if sum(row) <= slots] for slots in (2, 2, 3, 3)]
    every = np.array(list(product(*rows)))
    for _ in range(6):
        free = stated(RULES["none"], np.zeros((4, 2), dtype=np.int64))
        started = [p for p in every[rng.integers(len(every), size=40)] if within(free, p) and p.sum() > 3]
        cluster = stated(RULES[name], started[0])
        worth = SPACE.totals * rng.uniform(0.5, 1, SPACE.size)
        arriving = np.array([int(rng.integers(2)), 0])
        moves = int(rng.integers(4))
        demand = cluster.existing.sum(axis=0) + arriving
        left = np.maximum(cluster.existing - every, 0).sum(axis=(1, 2))
        plans = every[(every.sum(axis=1) == demand).all(axis=1) & (left <= moves)]
        best = max((worth[SPACE.index(p)].sum() for p in plans if within(cluster, p)), default=None)
        try:
            plan = MoveProgram(worth, cluster, arriving=arriving, gap=0.0).plan(moves)
        except InputError:
            assert best is None
            continue
        assert within(cluster, plan.placement)
        assert plan.value == pytest.approx(best)
        assert plan.bound >= best - 1e-9
        assert plan.bound_kind == "proven"
        assert plan.moves <= moves
        assert value(plan.placement, stated(RULES[name], None), worth) == pytest.approx(plan.value)


def test_what_may_not_move_stays_on_nodes_that_differ():
    cluster = stated(Rules(), np.array([[2, 0], [0, 1], [0, 1], [0, 0]]))
    worth = SPACE.totals * np.where((SPACE.counts > 0).all(axis=1), 1.0, 0.5)
    plan = MoveProgram(worth, cluster, cost=np.array([np.inf, 0.0]), gap=0.0).plan(3)
    assert plan.placement[0, 0] == 2


def twelve_nodes():
    """Worth and cluster of four applications on nodes of two types."""
    space = ColocationSpace(("a", "b", "c", "d"), 6)
    types = (
        NodeTypeSettings("small", count=6, slots=4, capacity={"cpu": 4}),
        NodeTypeSettings("large", count=6, slots=6, capacity={"cpu": 9}),
    )
    requests = {app: {"cpu": cpu} for app, cpu in zip(space.apps, (1, 1, 2, 1.5), strict=True)}
    rng = np.random.default_rng(4)
    worth = space.totals * rng.uniform(0.5, 1, space.size)
    return worth, stated(Rules(), rng.integers(2, size=(12, 4)) * [1, 1, 1, 0], space, types, requests)


def test_columns_that_are_searched_reach_what_all_of_them_do(monkeypatch):
    worth, cluster = twelve_nodes()
    program = MoveProgram(worth, cluster)
    proven, linear = program.plan(6), program._relaxation.solve(6).bound
    monkeypatch.setattr("metis.program.moves_relaxation.MOST", 10)
    searched = MoveProgram(worth, cluster).plan(6)
    assert proven.bound_kind == "proven"
    assert searched.bound_kind == "estimated"
    assert searched.bound == pytest.approx(linear, rel=2e-3)
    assert searched.value >= proven.value * (1 - 3e-3)
    assert searched.gap < 0.01
    assert searched.ended
    assert searched.moves <= 6


def test_where_time_is_short_the_best_moves_are_a_plan(monkeypatch):
    """The search of columns ends at once: what single moves and swaps reach is much of what there is."""
    worth, cluster = twelve_nodes()
    before = float(worth[cluster.space.index(cluster.existing)].sum())
    best = MoveProgram(worth, cluster).plan(6).value - before
    monkeypatch.setattr("metis.program.moves_relaxation.MOST", 10)
    monkeypatch.setattr(MoveProgram, "_left", lambda self: lambda: 0.1 * self._time_limit)
    monkeypatch.setattr("metis.program.moves.round_to_whole", lambda *args: args[-1])
    for moves in (1, 6):
        plan = MoveProgram(worth, cluster).plan(moves)
        assert 0 < plan.moves <= moves
        assert not plan.ended
        assert within(cluster, plan.placement)
        assert (plan.placement.sum(axis=0) == cluster.existing.sum(axis=0)).all()
    assert plan.value - before > 0.7 * best
