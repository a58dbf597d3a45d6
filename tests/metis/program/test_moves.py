"""The program of moves: by hand, against every plan there is, and what must hold of any plan."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.kinds import problem_of
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import solve_colocation_program
from metis.program.master import Solution
from metis.program.moves import MoveProgram
from metis.program.moves_relaxation import MoveRelaxation

SPACE = ColocationSpace(("a", "b"), 2)


def worth_of(table):
    """Worth of each co-location of SPACE from {(a, b): worth}."""
    return np.array([table.get(tuple(counts), 0.0) for counts in SPACE.counts.tolist()])


HAND = worth_of({(1, 0): 1.0, (0, 1): 1.0, (2, 0): 1.0, (0, 2): 1.0, (1, 1): 1.8})


def moved(before, after):
    return int(np.maximum(before - after, 0).sum())


def every_plan(cluster, demand):
    """All placements of so many containers on a cluster, within its rules or unchanged node by node."""
    space = cluster.space
    own = space.index(cluster.existing)
    choices = [
        [i for i in range(space.size) if cluster.allowed[i] or i == own[n]] for n in range(cluster.nodes)
    ]
    for ids in product(*choices):
        placement = space.counts[list(ids)]
        if (placement.sum(axis=0) == demand).all():
            yield placement


def best_by_hand(worth, cluster, demand, moves, leaving=0):
    found = [
        worth[cluster.space.index(p)].sum()
        for p in every_plan(cluster, demand)
        if moved(cluster.existing, p) <= moves + leaving
    ]
    return max(found) if found else None


def test_one_move_parts_two_pairs():
    cluster = Cluster(SPACE, 2, existing=np.array([[2, 0], [0, 2]]))
    program = MoveProgram(HAND, cluster, gap=0.0)
    assert program.plan(1).moves == 0  # a and b would have to change places
    plan = program.plan(2)
    assert plan.placement.tolist() == [[1, 1], [1, 1]]
    assert plan.value == pytest.approx(3.6)
    assert plan.bound == pytest.approx(3.6)
    assert plan.gap == 0


def test_the_price_is_what_one_move_more_gains():
    cluster = Cluster(SPACE, 4, existing=np.array([[2, 0], [2, 0], [0, 0], [0, 0]]))
    plan = MoveProgram(HAND, cluster, gap=0.0).plan(1)
    assert plan.value == pytest.approx(3.0)
    assert plan.prices.move == pytest.approx(1.0)


def test_no_moves_change_nothing():
    existing = np.array([[2, 0], [0, 2], [1, 0]])
    plan = MoveProgram(HAND, Cluster(SPACE, 3, existing=existing)).plan(0)
    assert (plan.placement == existing).all()
    assert plan.moves == 0


def test_a_move_must_gain_its_cost():
    cluster = Cluster(SPACE, 4, existing=np.array([[2, 0], [2, 0], [0, 0], [0, 0]]))
    assert MoveProgram(HAND, cluster, cost=np.array([1.1, 0.0])).plan(None).moves == 0
    plan = MoveProgram(HAND, cluster, cost=np.array([0.4, 0.0]), gap=0.0).plan(None)
    assert plan.moves == 2
    assert plan.value == pytest.approx(4.0)
    assert plan.cost == pytest.approx(0.8)
    assert plan.bound == pytest.approx(4.0)


def test_what_may_not_move_stays():
    cluster = Cluster(SPACE, 3, existing=np.array([[2, 0], [0, 2], [0, 0]]))
    plan = MoveProgram(HAND, cluster, cost=np.array([np.inf, 0.0]), gap=0.0).plan(4)
    assert plan.placement[0, 0] == 2
    assert plan.value == pytest.approx(3.0)


def test_what_arrives_is_placed_and_is_no_move():
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 0], [1, 0]]))
    plan = MoveProgram(HAND, cluster, arriving=np.array([0, 2])).plan(0)
    assert plan.placement.tolist() == [[1, 1], [1, 1]]
    assert plan.moves == 0


def test_what_leaves_is_no_move():
    cluster = Cluster(SPACE, 2, existing=np.array([[2, 0], [0, 1]]))
    plan = MoveProgram(HAND, cluster, leaving=np.array([1, 0]), gap=0.0).plan(0)
    assert plan.placement.sum(axis=0).tolist() == [1, 1]
    assert plan.moves == 0


def test_a_group_that_needs_moves_says_how_many():
    rules = Rules(never_together=(("a", "b"),))
    # every node holds one a: no b fits before two of them are together
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 0], [1, 0]]), allowed=rules.mask(SPACE))
    program = MoveProgram(HAND, cluster, arriving=np.array([0, 2]))
    assert program.least_moves() == 1
    with pytest.raises(InputError, match="do not fit with moves=0: at least 1"):
        program.plan(0)
    assert program.plan(1).placement.sum() == 4


def test_a_group_that_fits_at_no_number_of_moves_is_refused():
    rules = Rules(never_together=(("a", "b"),))
    cluster = Cluster(SPACE, 1, existing=np.array([[1, 0]]), allowed=rules.mask(SPACE))
    with pytest.raises(InputError, match="fit at no number of moves"):
        MoveProgram(HAND, cluster, arriving=np.array([0, 1])).plan(0)
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 0], [1, 0]]), allowed=rules.mask(SPACE))
    with pytest.raises(InputError, match="at no number of moves: while containers of a may not move"):
        MoveProgram(HAND, cluster, arriving=np.array([0, 1]), cost=np.array([np.inf, 0.0])).plan(3)
    cluster = Cluster(SPACE, 1, existing=np.array([[1, 0]]))
    with pytest.raises(InputError, match="2 slots hold 2 containers, 1 run"):
        MoveProgram(HAND, cluster, arriving=np.array([0, 2]))


def test_a_broken_rule_may_stay_or_be_mended_but_not_spread():
    allowed = Rules(at_most={"a": 1}).mask(SPACE)
    cluster = Cluster(SPACE, 3, existing=np.array([[2, 0], [0, 1], [0, 1]]), allowed=allowed)
    program = MoveProgram(HAND, cluster, gap=0.0)
    assert program.plan(0).placement[0].tolist() == [2, 0]
    mended = program.plan(1)
    assert (mended.placement[:, 0] <= 1).all()
    assert mended.value == pytest.approx(3.8)


def test_many_moves_reach_the_optimum_from_nothing():
    space = ColocationSpace(("a", "b", "c"), 4)
    rng = np.random.default_rng(3)
    worth = space.totals * rng.uniform(0.5, 1, space.size)
    existing = space.counts[rng.integers(space.size, size=12)]
    best = solve_colocation_program(worth, existing.sum(axis=0), Cluster(space, 12))
    plan = MoveProgram(worth, Cluster(space, 12, existing=existing), gap=1e-6).plan(100)
    assert plan.value == pytest.approx(best.value, rel=1e-5)


def test_a_frontier_never_falls_and_ends_where_moves_gain_nothing():
    space = ColocationSpace(("a", "b", "c"), 4)
    rng = np.random.default_rng(5)
    worth = space.totals * rng.uniform(0.5, 1, space.size)
    existing = space.counts[rng.integers(space.size, size=20)]
    plans = MoveProgram(worth, Cluster(space, 20, existing=existing)).frontier()
    values = [plan.value for plan in plans]
    assert len(plans) > 5
    assert plans[0].moves == 0
    assert values == sorted(values)
    assert max(plan.gap for plan in plans) < 0.01
    assert plans[-1].prices.move < 1e-3 * plans[0].prices.move + 1e-9


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_no_plan_is_better_and_none_breaks_anything(data):
    space = SPACE
    nodes = data.draw(st.integers(1, 4))
    ids = data.draw(st.lists(st.integers(0, space.size - 1), min_size=nodes, max_size=nodes))
    worth = np.array(data.draw(st.lists(st.integers(0, 20), min_size=space.size, max_size=space.size)), float)
    allowed = data.draw(
        st.sampled_from([Rules(), Rules(never_together=(("a", "b"),)), Rules(at_most={"a": 1})])
    ).mask(space)
    existing = space.counts[ids]
    arriving = np.array([data.draw(st.integers(0, 2)), 0])
    leaving = np.minimum([0, data.draw(st.integers(0, 1))], existing.sum(axis=0))
    moves = data.draw(st.integers(0, 4))
    cluster = Cluster(space, nodes, existing=existing, allowed=allowed)
    demand = existing.sum(axis=0) + arriving - leaving
    best = best_by_hand(worth, cluster, demand, moves, leaving.sum())
    try:
        program = MoveProgram(worth, cluster, arriving=arriving, leaving=leaving, gap=0.0)
        plan = program.plan(moves)
    except InputError:
        assert best is None
        return
    assert best is not None
    assert plan.value == pytest.approx(best)
    assert best <= plan.bound + 1e-9
    assert plan.moves <= moves
    assert (plan.placement.sum(axis=0) == demand).all()
    assert plan.moves == moved(existing, plan.placement) - leaving.sum()
    assert value(plan.placement - existing, cluster, worth) == pytest.approx(plan.value)
    kept = (plan.placement == existing).all(axis=1)
    assert (allowed[space.index(plan.placement)] | kept).all()


@pytest.mark.parametrize("cost", [[0.1, 0.1], [0.1, 0.2]])
def test_pricing_looks_at_every_column_however_it_is_cut(monkeypatch, cost):
    space = ColocationSpace(("a", "b"), 3)
    rng = np.random.default_rng(1)
    existing = space.counts[rng.integers(space.size, size=9)]
    worth = rng.uniform(0, 1, space.size)
    problem, _ = problem_of(existing.sum(axis=0), Cluster(space, 9), worth, existing)
    problem = replace(problem, move_cost=np.array(cost))
    solution = Solution(np.zeros(0), 0.0, np.array([0.3, 0.1]), np.zeros(0), np.zeros(2), np.array([0.05]))
    expected = []
    for origin in problem.origin:
        leave = np.maximum(origin - space.counts, 0)
        expected.append((worth - space.counts @ [0.3, 0.1] - leave @ (0.05 + np.array(cost))).max())
    for chunk in (4, 10_000):
        monkeypatch.setattr("metis.program.families.CHUNK", chunk)
        (family,) = MoveRelaxation(problem).families
        found, best = family.better(solution, np.zeros(problem.kinds))
        assert best == pytest.approx(expected)
        assert found.reduced.max() == pytest.approx(max(expected))


@settings(max_examples=40)
@given(st.data())
def test_of_equal_plans_one_of_fewest_moves(data):
    """However many are allowed; moves that gain nothing are restarts for nothing."""
    size = data.draw(st.integers(2, 4))
    rows = st.lists(st.sampled_from(SPACE.counts.tolist()), min_size=size, max_size=size)
    cluster = Cluster(SPACE, size, existing=np.array(data.draw(rows)))
    worth = worth_of({tuple(c): float(data.draw(st.integers(0, 3))) for c in SPACE.counts.tolist() if sum(c)})
    demand = cluster.existing.sum(axis=0)
    plans = list(every_plan(cluster, demand))
    best = max(worth[SPACE.index(one)].sum() for one in plans)
    fewest = min(moved(cluster.existing, p) for p in plans if worth[SPACE.index(p)].sum() >= best - 1e-9)
    program = MoveProgram(worth, cluster, gap=0.0)
    for budget in (None, fewest + 1, fewest):
        plan = program.plan(budget)
        assert plan.value == pytest.approx(best)
        assert plan.moves == fewest
