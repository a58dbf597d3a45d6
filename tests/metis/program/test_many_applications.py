from dataclasses import replace

import numpy as np
import pytest

from baselines import columns
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.problem.cluster import Cluster
from metis.problem.kinds import problem_of
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.placement import check_placement
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.program import column_program, exchange, filling, generation, pool
from metis.program.column_program import solve_column_program
from metis.program.exchange_sweeps import exchange_in_sweeps
from metis.program.filling import fill
from metis.program.growth import worth_of_one_more
from metis.program.pool import Pool
from metis.program.pricing import affordable
from metis.program.rounding import dive
from metis.program.sparse_rows import SparseRows


class Opaque:
    """A worth that knows no growth."""

    def __init__(self, worth):
        self.of = worth.of


def drawn(apps=16, nodes=12, each=4, slots=8, seed=0, **options):
    """A group on a cluster, and its worth on the synthetic testbed."""
    oracle = SyntheticOracle(SyntheticModel.drawn(apps, seed), slots)
    cluster = Cluster(oracle.space, nodes, **options)
    group = np.full(apps, each)
    return group, cluster, worth_of(MeanRps(), group, cluster, oracle)


def at_random(group, nodes, slots, seed=0):
    """Containers on nodes in random order."""
    order = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(group)), group))
    placement = np.zeros((nodes, len(group)), dtype=np.int64)
    for at, app in enumerate(order):
        placement[at % nodes, app] += 1
    assert placement.sum(axis=1).max() <= slots
    return placement


def test_sweeps_bring_two_that_help_each_other_together():
    helpers = np.array([[1], [0], [0], [0]])
    helped = np.array([[0.5], [0.5], [0.0], [0.0]])
    nothing = np.zeros((4, 1))
    oracle = SyntheticOracle(SyntheticModel(("a", "b", "c", "d"), nothing, nothing, helpers, helped), 2)
    group, cluster = np.array([2, 2, 2, 2]), Cluster(oracle.space, 4)
    problem, kind_of = problem_of(group, cluster, worth_of(MeanRps(), group, cluster, oracle))
    apart = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]])
    found, steps = exchange_in_sweeps(problem, kind_of, apart, 100, 1e-12)
    # four containers at exp(0.5), four at 1
    assert problem.value(kind_of, found) == pytest.approx((4 * np.exp(0.5) + 4) / 8)
    assert (found[found[:, 0] > 0][:, :2] == 1).all()
    assert steps == 2


@pytest.mark.parametrize("seed", range(3))
def test_sweeps_end_where_no_step_helps_about_as_high_as_best_steps_one_by_one(seed):
    group, cluster, worth = drawn(seed=seed)
    problem, kind_of = problem_of(group, cluster, worth)
    start = at_random(group, cluster.nodes, 8, seed)
    swept, steps = exchange_in_sweeps(problem, kind_of, start, 10_000, 1e-12)
    check_placement(swept, group, cluster, "sweeps")
    one_by_one, _ = exchange.exchange(problem, kind_of, start)
    reached, other = problem.value(kind_of, swept), problem.value(kind_of, one_by_one)
    assert steps > 10
    assert reached > 0.98 * other
    _, more = exchange.exchange(problem, kind_of, swept, tolerance=1e-5)
    assert more == 0


def test_sweeps_make_no_more_steps_than_asked_for_and_report_each_sweep():
    group, cluster, worth = drawn()
    problem, kind_of = problem_of(group, cluster, worth)
    start, seen = at_random(group, cluster.nodes, 8), []
    found, steps = exchange_in_sweeps(
        problem, kind_of, start, 3, 1e-12, lambda done, gained: seen.append((done, gained))
    )
    gained = problem.value(kind_of, found) - problem.value(kind_of, start)
    assert steps == 3
    assert seen[-1] == (3, pytest.approx(gained))


def test_sweeps_keep_rules_capacity_and_limits_of_zones():
    space = ColocationSpace(tuple(f"app{i}" for i in range(10)), 6)
    types = (
        NodeTypeSettings("small", count=6, slots=4, capacity={"cpu": 4}, domains={"zone": ("x",)}),
        NodeTypeSettings("large", count=6, slots=6, capacity={"cpu": 9}, domains={"zone": ("y",)}),
    )
    rules = Rules(never_together=(("app0", "app1"),), spread={"app2": {"zone": 0.5}})
    requests = {f"app{i}": {"cpu": 1.0 + (i % 2)} for i in range(10)}
    group = np.full(10, 4)
    stated = state_problem(types, requests, rules, space.apps, 6, (group > 0).astype(np.int64))
    model = replace(SyntheticModel.drawn(10, 3), apps=space.apps)
    cluster = Cluster(space, 12, rules=rules, allowed=rules.mask(space), stated=stated)
    problem, kind_of = problem_of(
        group, cluster, worth_of(MeanRps(), group, cluster, SyntheticOracle(model, 6))
    )
    start = fill(problem, kind_of, np.zeros((12, 10), dtype=np.int64), group)
    found, steps = exchange_in_sweeps(problem, kind_of, start, 10_000, 1e-12)
    check_placement(found, group, cluster, "sweeps")
    assert steps > 0
    assert problem.value(kind_of, found) > problem.value(kind_of, start)


def test_kept_gains_fill_about_as_well_as_gains_asked_for_in_turn(monkeypatch):
    group, cluster, worth = drawn(existing=np.eye(12, 16, dtype=np.int64))
    problem, kind_of = problem_of(group, cluster, worth)
    nothing = np.zeros_like(cluster.existing)
    in_turn = problem.value(kind_of, fill(problem, kind_of, nothing, group))
    monkeypatch.setattr(filling, "MANY", 1)
    placed = fill(problem, kind_of, nothing, group)
    check_placement(placed, group, cluster, "kept gains")
    assert problem.value(kind_of, placed) > 0.97 * in_turn


def test_growth_is_the_same_where_a_worth_does_not_know_it():
    group, cluster, worth = drawn()
    known, _ = problem_of(group, cluster, worth)
    opaque, _ = problem_of(group, cluster, Opaque(worth))
    rows = at_random(group, 12, 8)[:, :] // 2
    quick, slow = (worth_of_one_more(problem, 0, rows) for problem in (known, opaque))
    np.testing.assert_allclose(quick, slow, rtol=1e-5)


@pytest.mark.parametrize("sparing", [False, True])
def test_a_master_filled_with_neighbours_reaches_the_bound_of_all_columns(monkeypatch, sparing):
    group, cluster, worth = drawn(apps=8, nodes=9, each=5, slots=6)
    problem, kind_of = problem_of(group, cluster, worth)
    every = solve_column_program(problem, kind_of)
    assert every.bound_kind == "proven"  # all columns were enumerated
    monkeypatch.setattr(generation, "enumerate_columns", lambda pool, most: False)
    monkeypatch.setattr(generation, "MANY", 2)
    monkeypatch.setattr(pool, "SPARING", 2 if sparing else 1000)
    found = solve_column_program(problem, kind_of, proving=False)
    assert found.bound == pytest.approx(every.bound, rel=2e-4)
    assert found.value > 0.99 * every.bound
    assert not sparing or found.priced < every.priced


def test_a_pool_of_a_thousand_applications_holds_no_more_numbers_than_one_of_a_hundred():
    group, cluster, worth = drawn(apps=1000, nodes=1, each=1)
    assert Pool(problem_of(group, cluster, worth)[0], 0).most == pool.NUMBERS // 1000


def test_searches_by_breadth_are_narrower_where_applications_are_many():
    assert affordable(1024, 30) == 1024
    assert affordable(1024, 1000) == 30  # of a thousand rows of a thousand counts each, 240 MB
    assert affordable(200, 100_000) == 1


def test_sparse_rows_are_rows_that_are_mostly_zero():
    rows = np.array([[0, 2, 0], [0, 0, 0], [1, 0, 3]])
    sparse = SparseRows.of(rows)
    np.testing.assert_array_equal(sparse.dense(np.array([2, 0, 1])), rows[[2, 0, 1]])
    np.testing.assert_array_equal(sparse.times(np.array([1.0, 10.0, 100.0])), [20, 0, 301])
    np.testing.assert_array_equal(sparse.within(np.array([[1, 1, 3]]), np.zeros(3, int)), [False, True, True])
    kept = sparse.chosen(np.array([False, True, True])).joined(sparse)
    np.testing.assert_array_equal(kept.dense(np.arange(5)), np.vstack([rows[1:], rows]))


def test_out_of_time_the_start_is_placed_with_a_bound(monkeypatch):
    """Every part stops at its time: of a dive, exchanges and refinement nothing is done after it."""
    group, cluster, worth = drawn()
    problem, kind_of = problem_of(group, cluster, worth)
    begun = fill(problem, kind_of, np.zeros_like(cluster.existing), group)
    with monkeypatch.context() as patched:
        for refused in ("dive", "refine"):
            patched.setattr(column_program, refused, lambda *given, **named: pytest.fail("out of time"))
        found = solve_column_program(problem, kind_of, seconds=1e-9)
    assert found.placement.tolist() == begun.tolist()
    assert found.bound > found.value == pytest.approx(problem.value(kind_of, begun))
    assert exchange.exchange(problem, kind_of, begun, until=0.0)[1] == 0
    assert exchange_in_sweeps(problem, kind_of, begun, 100, 1e-9, until=0.0)[1] == 0
    received, left = dive(problem, found.relaxed, until=0.0)
    assert left.tolist() == group.tolist()
    assert not received[0].any()


def test_no_step_begins_that_would_not_end_in_time(monkeypatch):
    monkeypatch.setattr(generation, "perf_counter", lambda: 100.0)
    assert generation._time_for_another(begun=90.0, until=110.0)
    assert not generation._time_for_another(begun=90.0, until=109.0)
    group, cluster, worth = drawn(apps=4, nodes=3, each=2)
    problem, kind_of = problem_of(group, cluster, worth)
    relaxed = column_program.bound_by_columns(problem, kind_of, width=16, seconds=np.inf)
    monkeypatch.setattr(generation, "join", lambda *given: pytest.fail("out of time"))
    solution = generation.solve_on_pools(problem, relaxed.master, relaxed.pools, until=99.0)
    assert solution.value == pytest.approx(relaxed.solution.value)


def test_a_hasty_filling_lets_more_join_at_once_and_is_nearly_as_good(monkeypatch):
    group, cluster, worth = drawn(apps=16, nodes=160, each=40)
    problem, kind_of = problem_of(group, cluster, worth)
    monkeypatch.setattr(filling, "MANY", 1)
    nothing = np.zeros_like(cluster.existing)
    slow, hasty = (fill(problem, kind_of, nothing, group, hasty=one) for one in (False, True))
    check_placement(hasty, group, cluster, "hasty")
    assert slow.tolist() != hasty.tolist()
    assert problem.value(kind_of, hasty) > 0.97 * problem.value(kind_of, slow)


def test_rounding_ends_once_it_is_close_enough_or_out_of_attempts(monkeypatch):
    group, cluster, worth = drawn()
    problem, kind_of = problem_of(group, cluster, worth)
    dives, programs = [], []
    dive_, refine_ = column_program.dive, column_program.refine
    monkeypatch.setattr(column_program, "dive", lambda *a: dives.append(a) or dive_(*a))
    monkeypatch.setattr(column_program, "refine", lambda *a, **k: programs.append(a[4]) or refine_(*a, **k))
    loose = column_program.Effort(dives=3, programs=7, close=0.5)
    found = solve_column_program(problem, kind_of, effort=loose)
    assert not dives  # what greedy and exchanges had begun with is within half of the bound
    assert found.value >= 0.5 * found.bound
    few = column_program.Effort(dives=2, programs=7, close=0.0)
    found = solve_column_program(problem, kind_of, effort=few)
    assert len(dives) <= 2
    assert programs in ([], [7])
    assert found.value > 0.97 * found.bound


def test_a_proof_is_sought_where_it_may_succeed_and_learned_prices_are_for_haste(monkeypatch):
    group, cluster, worth = drawn(apps=6, nodes=2, each=2)
    problem, _ = problem_of(group, cluster, worth)
    chosen = columns.ColumnsSettings()
    assert columns.proves(problem, chosen)
    assert not columns.proves(problem, chosen, learned=True)
    assert columns.proves(problem, columns.ColumnsSettings(prove=True), learned=True)
    assert not columns.hurries(problem, chosen, learned=False)
    assert columns.hurries(problem, chosen, learned=True)
    assert columns.hurries(problem, columns.ColumnsSettings(quick=True), learned=False)
    monkeypatch.setattr(generation, "MANY", 6)
    assert not columns.proves(problem, chosen)
    assert columns.proves(problem, columns.ColumnsSettings(prove=True))
    assert not columns.hurries(problem, chosen, learned=True)
