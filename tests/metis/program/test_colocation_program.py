from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError, SolverError
from metis.problem.cluster import Cluster
from metis.problem.placement import check_placement
from metis.problem.space import ColocationSpace
from metis.program.colocation_program import run_highs, solve_colocation_program

SPACE = ColocationSpace(("a", "b"), 3)


def every_placement(group, cluster):
    """All placements of a tiny case, by trying each co-location on each node."""
    for chosen in product(cluster.space.counts, repeat=cluster.nodes):
        placement = np.array(chosen)
        total = placement + cluster.existing
        if (placement.sum(axis=0) == group).all() and (total.sum(axis=1) <= cluster.space.slots).all():
            ids = cluster.space.index(total)
            if (cluster.allowed[ids] | ~placement.any(axis=1)).all():
                yield placement, ids


@st.composite
def tiny_cases(draw):
    nodes = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    existing = rng.integers(0, 2, (nodes, 2)) * draw(st.integers(0, 1))
    allowed = rng.random(SPACE.size) < draw(st.sampled_from([0.6, 1.0]))
    free = int(nodes * 3 - existing.sum())
    group = rng.multinomial(draw(st.integers(1, min(free, 5))), [0.5, 0.5])
    whole = draw(st.booleans())
    objective = rng.integers(0, 6, SPACE.size).astype(float) if whole else rng.normal(size=SPACE.size)
    limit = draw(st.sampled_from([None, 4.0]))
    extra = None if limit is None else (rng.integers(0, 4, SPACE.size).astype(float), limit)
    return objective, group, Cluster(SPACE, nodes, existing, allowed), draw(st.booleans()), extra


@settings(max_examples=60, deadline=None)
@given(tiny_cases())
def test_finds_the_best_of_all_placements(case):
    objective, group, cluster, minimise, extra = case
    values = [
        objective[ids].sum()
        for _, ids in every_placement(group, cluster)
        if extra is None or extra[0][ids].sum() <= extra[1]
    ]
    if not values:
        with pytest.raises(InputError, match="no placement satisfies"):
            solve_colocation_program(objective, group, cluster, minimise=minimise, extra=extra)
        return
    result = solve_colocation_program(objective, group, cluster, minimise=minimise, extra=extra)
    best = min(values) if minimise else max(values)
    check_placement(result.placement, group, cluster, "program")
    assert result.value == pytest.approx(best, abs=1e-6)
    assert objective[SPACE.index(result.placement + cluster.existing)].sum() == pytest.approx(result.value)
    assert result.proven
    assert result.bound == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("minimise", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_dropped_columns_change_nothing(seed, minimise):
    """Against one integer program with every column: 792 of them, of which 400 are tried first."""
    space = ColocationSpace(tuple("abcde"), 7)
    rng = np.random.default_rng(seed)
    objective = rng.integers(0, 50, space.size).astype(float) if seed % 2 else rng.normal(size=space.size)
    group = rng.multinomial(30, np.full(5, 0.2))
    result = solve_colocation_program(objective, group, Cluster(space, 9), minimise=minimise)
    matrix = np.vstack([space.counts.T, np.ones(space.size)]).astype(float)
    right = np.append(group, 9).astype(float)
    cost = objective if minimise else -objective
    whole = run_highs(cost, matrix, right, None, integer=True, time_limit=60)
    assert result.value == pytest.approx((1 if minimise else -1) * cost @ whole.x, rel=1e-5)
    assert result.proven
    limit = result.lp_bound if not minimise else -result.lp_bound
    assert (result.value if not minimise else -result.value) <= limit + 1e-6


def test_three_alike_share_a_node_only_when_told_to():
    """One container alone is worth 1, three alike on a node 6 together, two alike 1."""
    objective = np.zeros(SPACE.size)
    for count, worth in ((1, 1.0), (2, 1.0), (3, 6.0)):
        objective[SPACE.index([count, 0])] = worth
    together = solve_colocation_program(objective, np.array([3, 0]), Cluster(SPACE, 3))
    assert together.value == 6
    assert sorted(together.placement[:, 0]) == [0, 0, 3]
    capped = (np.asarray(SPACE.totals == 3, dtype=float), 0.0)
    apart = solve_colocation_program(objective, np.array([3, 0]), Cluster(SPACE, 3), extra=capped)
    assert apart.value == 3
    assert apart.placement[:, 0].tolist() == [1, 1, 1]


def test_a_node_that_receives_nothing_may_break_a_rule():
    allowed = SPACE.counts[:, 1] == 0
    cluster = Cluster(SPACE, 2, np.array([[1, 1], [0, 0]]), allowed)
    result = solve_colocation_program(np.zeros(SPACE.size), np.array([3, 0]), cluster)
    assert result.placement.tolist() == [[0, 0], [3, 0]]
    with pytest.raises(InputError, match="no placement satisfies the rules"):
        solve_colocation_program(np.zeros(SPACE.size), np.array([4, 0]), cluster)


def test_a_group_that_does_not_fit_is_refused():
    with pytest.raises(InputError, match="do not fit"):
        solve_colocation_program(np.zeros(SPACE.size), np.array([4, 3]), Cluster(SPACE, 2))


def test_bad_numbers_are_refused():
    cluster, group = Cluster(SPACE, 2), np.array([1, 1])
    with pytest.raises(InputError, match="finite"):
        solve_colocation_program(np.full(SPACE.size, np.nan), group, cluster)
    with pytest.raises(InputError, match="time_limit"):
        solve_colocation_program(np.zeros(SPACE.size), group, cluster, time_limit=0)


def test_no_placement_at_the_time_limit_is_an_error():
    space = ColocationSpace(tuple("abcdefg"), 8)
    rng = np.random.default_rng(1)
    with pytest.raises(SolverError, match="time limit"):
        solve_colocation_program(
            rng.normal(size=space.size), np.full(7, 90), Cluster(space, 81), time_limit=1e-3
        )


def test_the_solver_prints_nothing(capfd):
    solve_colocation_program(np.arange(SPACE.size, dtype=float), np.array([2, 2]), Cluster(SPACE, 2))
    assert capfd.readouterr() == ("", "")
