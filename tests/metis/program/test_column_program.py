import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metis.errors import InputError
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.measure.testbed import load_embedded
from metis.problem.cluster import Cluster
from metis.problem.kinds import problem_of
from metis.problem.objectives import FreeNodes, MeanRps, SloShare
from metis.problem.oracle import worth_of
from metis.problem.placement import check_placement
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.worth import TableWorth
from metis.program.colocation_program import solve_colocation_program
from metis.program.column_program import solve_column_program
from metis.program.pool import Pool
from metis.program.pricing import enumerate_columns, prove, search


class Opaque:
    """A worth without limits, so that columns are searched by a beam."""

    def __init__(self, worth):
        self.worth, self.asked = worth, 0

    def of(self, colocations):
        self.asked += len(colocations)
        return self.worth.of(colocations)


def solved(worth, group, cluster, **options):
    problem, kind_of = problem_of(group, cluster, worth)
    found = solve_column_program(problem, kind_of, **options)
    check_placement(found.placement, group, cluster, "columns")
    total = found.placement + cluster.existing
    values = worth[cluster.space.index(total)] if isinstance(worth, np.ndarray) else worth.of(total)
    assert found.value == pytest.approx(values.sum(), abs=1e-9)
    return found


def test_two_applications_that_help_each_other_are_put_together():
    space = ColocationSpace(("a", "b"), 2)
    # alone 1 each, two alike 1 together, an a beside a b 3
    worth = np.zeros(space.size)
    for held, value in (((1, 0), 1.0), ((0, 1), 1.0), ((2, 0), 1.0), ((0, 2), 1.0), ((1, 1), 3.0)):
        worth[space.index(held)] = value
    found = solved(worth, np.array([2, 2]), Cluster(space, 2))
    assert (found.placement == 1).all()
    assert (found.value, found.bound_kind) == (6.0, "proven")
    assert found.bound == pytest.approx(6.0)


@pytest.fixture(scope="module")
def seven():
    return load_embedded().truth()


@pytest.mark.parametrize(("nodes", "size", "beside"), [(9, 40, 0), (27, 216, 0), (9, 30, 1)])
def test_reaches_the_optimum_of_the_seven_applications(seven, nodes, size, beside):
    rng = np.random.default_rng(nodes + size)
    group = rng.multinomial(size, np.ones(7) / 7)
    cluster = Cluster(seven.space, nodes, rng.multinomial(beside, np.ones(7) / 7, size=nodes))
    worth = MeanRps().bind(group, cluster, seven)
    best = solve_colocation_program(worth, group, cluster)
    found = solved(worth, group, cluster)
    assert found.bound_kind == "proven"
    assert found.bound >= best.value - 1e-9
    assert found.bound == pytest.approx(best.lp_bound, rel=1e-5)
    assert found.value >= 0.995 * best.value


def test_a_worth_without_limits_has_an_estimated_bound_and_is_asked_once_each(seven):
    group = np.full(7, 12)
    cluster = Cluster(seven.space, 16)
    table = TableWorth(seven.space, MeanRps().bind(group, cluster, seven))
    opaque = Opaque(table)
    problem, _ = problem_of(group, cluster, opaque)
    pool = Pool(problem, 0)
    prices = np.full(7, float(table.of(np.eye(7, dtype=int)).mean()) / 2)
    first = search(pool, prices, -np.inf, 64)
    asked = opaque.asked
    assert asked == len(np.unique(pool.columns.added, axis=0)) == len(pool)
    assert search(pool, prices, -np.inf, 64) == first
    assert opaque.asked == asked
    assert np.isinf(first.limit)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(1, 4), st.integers(1, 5))
def test_every_container_is_placed_within_capacity_below_the_bound(seed, apps, slots, nodes):
    rng = np.random.default_rng(seed)
    space = ColocationSpace(tuple(f"app{i}" for i in range(apps)), slots)
    existing = rng.integers(0, 2, (nodes, apps)) * (rng.integers(0, 2, (nodes, 1)))
    existing[existing.sum(axis=1) > slots] = 0
    cluster = Cluster(space, nodes, existing)
    size = int(rng.integers(0, cluster.free_slots + 1))
    group = rng.multinomial(size, np.ones(apps) / apps)
    found = solved(rng.normal(size=space.size), group, cluster)
    assert found.value <= found.bound + 1e-9
    assert found.bound_kind == "proven"


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([MeanRps(), SloShare(0.9)]))
def test_branch_and_bound_finds_what_enumeration_finds(seed, objective):
    rng = np.random.default_rng(seed)
    oracle = SyntheticOracle(SyntheticModel.drawn(6, seed), 4)
    group = rng.integers(0, 4, 6) + 1
    cluster = Cluster(
        oracle.space, 8, np.eye(6, dtype=int)[rng.integers(0, 6, 8)] * rng.integers(0, 3, (8, 1))
    )
    problem, _ = problem_of(group, cluster, worth_of(objective, group, cluster, oracle))
    prices = rng.uniform(0.0, 1.5, 6) / group.sum()
    for kind in range(problem.kinds):
        searched, every = Pool(problem, kind), Pool(problem, kind)
        assert enumerate_columns(every)
        best = float((every.columns.worth - every.columns.added @ prices).max())
        found = prove(searched, prices, -np.inf, 10_000)
        assert found.found == pytest.approx(best, abs=1e-12)
        assert found.limit == found.found
        # cut short it may miss the best, but not its limit
        short = prove(Pool(problem, kind), prices, -np.inf, 2)
        assert short.limit >= best - 1e-12


def test_more_than_can_be_tabulated_is_placed_with_a_proven_bound():
    oracle = SyntheticOracle(SyntheticModel.drawn(24, 3), 8)
    assert not oracle.space.tabulated
    group = np.random.default_rng(3).multinomial(24, np.ones(24) / 24)
    cluster = Cluster(oracle.space, 5)
    worth = worth_of(MeanRps(), group, cluster, oracle)
    found = solved(worth, group, cluster, width=2048)
    assert found.bound_kind == "proven"
    assert 0.97 * found.bound <= found.value <= found.bound
    assert found.priced < oracle.space.size / 20
    beam = solved(Opaque(worth), group, cluster, width=64)
    assert beam.bound_kind == "estimated"
    assert beam.value <= found.bound + 1e-9


def test_rules_hold_where_nothing_is_tabulated():
    oracle = SyntheticOracle(SyntheticModel.drawn(24, 1), 8)
    apps = oracle.space.apps
    rules = Rules(
        never_together=((apps[0], apps[1]),), only_beside={apps[2]: (apps[3],)}, at_most={apps[4]: 1}
    )
    group = np.full(24, 1)
    group[4] = 3
    cluster = Cluster(oracle.space, 6, rules=rules)
    solved(worth_of(MeanRps(), group, cluster, oracle), group, cluster, width=256)


def test_what_cannot_be_placed_is_refused():
    space = ColocationSpace(("a", "b"), 2)
    cluster = Cluster(space, 1, rules=Rules())
    impossible = Cluster(space, 1, allowed=np.arange(space.size) == 0)
    solved(np.zeros(space.size), np.array([1, 1]), cluster)
    with pytest.raises(InputError, match="no placement satisfies the rules"):
        solved(np.zeros(space.size), np.array([1, 1]), impossible)


def test_reports_midway_what_share_is_done_and_the_best_beside_the_bound(seven):
    group, rows = np.full(7, 5), []
    cluster = Cluster(seven.space, 9)
    found = solved(MeanRps().bind(group, cluster, seven), group, cluster, progress=rows.append)
    shares = [row["share"] for row in rows]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] <= 1
    assert rows[-1]["best"] <= found.value + 1e-12
    assert rows[-1]["bound"] == pytest.approx(found.bound)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("objective", [MeanRps(), FreeNodes(0.5)])
def test_growth_by_one_container_is_the_worth_of_what_results(seed, objective):
    rng = np.random.default_rng(seed)
    oracle = SyntheticOracle(SyntheticModel.drawn(12, seed), 8)
    group = np.full(12, 3)
    worth = worth_of(objective, group, Cluster(oracle.space, 9), oracle)
    held = np.vstack([np.zeros((1, 12), dtype=int), rng.multinomial(3, np.ones(12) / 12, size=9)])
    found = worth.of_one_more(held)
    for row, grown in zip(held, found, strict=True):
        np.testing.assert_allclose(grown, worth.of(row + np.eye(12, dtype=int)), rtol=1e-5)


def test_a_search_finds_partners_that_pay_for_several_containers_only():
    apps, slots = 40, 8
    helpers = np.zeros((apps, 2), dtype=np.int64)
    helpers[:] = (38, 39)
    helpers[38:] = 0
    helped = np.zeros((apps, 2))
    helped[0] = 0.6
    nothing = np.zeros((apps, 1))
    model = SyntheticModel(tuple(f"app{i}" for i in range(apps)), nothing, nothing, helpers, helped)
    oracle = SyntheticOracle(model, slots)
    group = np.full(apps, 8)
    problem, _ = problem_of(
        group,
        Cluster(oracle.space, 40),
        worth_of(MeanRps(), group, Cluster(oracle.space, 40), oracle),
    )
    # each helper costs more than it brings beside two containers, and many others pay a little alone
    prices = np.r_[1.0, np.full(37, 0.9), 2.5, 2.5] / group.sum()
    best = (6 * np.exp(1.2) - 6 + 2 - 5) / group.sum()
    assert search(Pool(problem, 0), prices, -np.inf, 8).found == pytest.approx(best, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.integers(3, 6), st.integers(2, 5), st.booleans())
def test_no_bound_is_below_the_value_and_a_proven_one_below_the_optimum(seed, apps, slots, proving):
    rng = np.random.default_rng(seed)
    oracle = SyntheticOracle(SyntheticModel.drawn(apps, seed), slots)
    cluster = Cluster(oracle.space, int(rng.integers(1, 7)))
    group = rng.multinomial(int(rng.integers(1, cluster.free_slots + 1)), np.ones(apps) / apps)
    worth = worth_of(MeanRps(), group, cluster, oracle)
    table = worth.of(oracle.space.counts)
    best = solve_colocation_program(table, group, cluster).value
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(enumerate_columns, "__defaults__", (0,))  # searched, though there are few
        found = solved(worth, group, cluster, width=4, proving=proving)
    assert found.bound >= found.value - 1e-12
    assert found.value <= best + 1e-9
    if found.bound_kind == "proven":
        assert found.bound >= best - 1e-9
