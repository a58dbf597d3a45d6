"""The optimum: against brute force on tiny cases, against REFERENCE.md on the published table."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.optimum import OptimumSettings, place_optimum
from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.evaluation import evaluate, value
from metis.problem.groups import load_groups
from metis.problem.objectives import FreeNodes, Latency, MeanRps, SloShare
from metis.problem.placement import check_placement
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.program.relaxation import relax
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings

SPACE = ColocationSpace(("a", "b"), 3)
OBJECTIVES = [MeanRps(), SloShare(0.9), FreeNodes(0.7), Latency()]
# REFERENCE.md, "The limit", on all 6,435 measured: nodes, containers -> rows 0 and 1
MEASURED = {
    (81, 200): (1.2445, 1.2221),
    (81, 300): (1.1664, 1.1794),
    (81, 400): (1.1363, 1.1540),
    (729, 1000): (1.2413, 1.2356),
    (729, 2000): (1.2103, 1.2058),
}


def tables_of(rng):
    rps = np.where(SPACE.counts > 0, rng.uniform(0.3, 1.6, SPACE.counts.shape), 0.0)
    return Tables(
        SPACE,
        {"rps": rps, "speed": np.where(SPACE.counts > 0, rng.uniform(0.3, 1.6, SPACE.counts.shape), 0.0)},
    )


def best_by_trying(group, cluster, worth):
    """The largest value of all placements, or None where there is none."""
    values = []
    for rows in product(SPACE.counts, repeat=cluster.nodes):
        placement = np.array(rows)
        total = placement + cluster.existing
        if (placement.sum(axis=0) != group).any() or (total.sum(axis=1) > SPACE.slots).any():
            continue
        ids = SPACE.index(total)
        if (cluster.allowed[ids] | ~placement.any(axis=1)).all():
            values.append(worth[ids].sum())
    return max(values, default=None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 3), st.booleans(), st.booleans())
def test_every_objective_against_brute_force(seed, nodes, occupied, ruled):
    rng = np.random.default_rng(seed)
    tables = tables_of(rng)
    existing = rng.integers(0, 2, (nodes, 2)) * occupied
    allowed = Rules(at_most={"a": 2}, only_beside={"b": ["a"]} if seed % 2 else {}).mask(SPACE)
    cluster = Cluster(SPACE, nodes, existing=existing, allowed=allowed if ruled else None)
    group = rng.multinomial(rng.integers(1, min(cluster.free_slots, 5) + 1), [0.5, 0.5])
    for objective in OBJECTIVES:
        worth = objective.bind(group, cluster, tables)
        best = best_by_trying(group, cluster, worth)
        if best is None:
            with pytest.raises(InputError, match="no placement satisfies the rules"):
                place_optimum(group, cluster, worth)
            return
        placement, trace = place_optimum(group, cluster, worth)
        check_placement(placement, group, cluster, "optimum")
        assert evaluate(placement, cluster, tables, worth).value == pytest.approx(best, abs=1e-6)
        assert trace["proven"]
        assert trace["bound"] == pytest.approx(best, abs=1e-5)
        assert relax(worth, group, cluster).bound >= best - 1e-7
        assert trace["lp_bound"] >= best - 1e-6


def test_existing_containers_are_met_where_they_are():
    worth = np.zeros(SPACE.size)
    worth[SPACE.index([1, 1])] = 5.0
    cluster = Cluster(SPACE, 4, existing=np.array([[0, 0], [0, 1], [0, 0], [0, 1]]))
    placement, trace = place_optimum(np.array([2, 0]), cluster, worth)
    assert placement.tolist() == [[0, 0], [1, 0], [0, 0], [1, 0]]
    assert trace["bound"] == pytest.approx(10)


def test_a_group_that_no_rule_admits_is_the_users_mistake():
    cluster = Cluster(SPACE, 2, allowed=Rules(at_most={"a": 1}).mask(SPACE))
    with pytest.raises(InputError, match="no placement satisfies the rules"):
        place_optimum(np.array([3, 0]), cluster, np.zeros(SPACE.size))


@pytest.mark.parametrize("changed", [{"gap": -0.1}, {"gap": 1.0}, {"time_limit": 0}, {"time_limit": -5}])
def test_refuses_settings_that_are_none(changed):
    with pytest.raises(InputError, match=rf"optimum\.{next(iter(changed))}"):
        OptimumSettings(**changed)


@pytest.mark.parametrize("shape", [(9, 8, 30), (4, 16, 60)])
def test_other_spaces_work_the_same(shape):
    apps, slots, containers = shape
    space = ColocationSpace(tuple(f"app{i}" for i in range(apps)), slots)
    crowded = np.maximum(1.2 - 0.1 * space.totals, 0.05)[:, None]
    tables = Tables(space, {"rps": np.where(space.counts > 0, crowded, 0.0)})
    group = np.random.default_rng(0).multinomial(containers, np.full(apps, 1 / apps))
    cluster = Cluster(space, 20)
    worth = MeanRps().bind(group, cluster, tables)
    placement, trace = place_optimum(group, cluster, worth)
    check_placement(placement, group, cluster, "optimum")
    assert trace["proven"]
    # all alike, so the best is the most level: by convexity
    sizes = placement.sum(axis=1)
    assert sizes.max() - sizes.min() <= 1


@pytest.fixture(scope="session")
def measured_tables(measured):
    return fit_simulator(measured, SimulatorSettings(kind="table")).tables


@pytest.mark.published
@pytest.mark.parametrize(("nodes", "containers"), MEASURED)
def test_the_measured_column_of_the_reference(published, measured_tables, nodes, containers):
    space = measured_tables.space
    groups = load_groups(published / f"batch_set_{containers}.npz", "0:2", space.apps)
    for group, expected in zip(groups, MEASURED[nodes, containers], strict=True):
        cluster = Cluster(space, nodes)
        worth = MeanRps().bind(group, cluster, measured_tables)
        placement, trace = place_optimum(group, cluster, worth)
        check_placement(placement, group, cluster, "optimum")
        judged = evaluate(placement, cluster, measured_tables, worth)
        assert round(judged.rps, 4) == expected
        assert judged.value == pytest.approx(judged.rps)
        assert trace["proven"]
        assert judged.value <= trace["bound"] + 1e-9
        assert trace["bound"] - judged.value <= 2e-6
        assert trace["bound"] <= relax(worth, group, cluster).bound + 1e-7


@pytest.mark.published
def test_greedy_is_where_design_says(published, measured_tables):
    """DESIGN.md, decision 2: with local search 98.7-100 % of the optimum below full load."""
    from baselines.greedy import place_greedy
    from baselines.local_search import improve

    space = measured_tables.space
    group = load_groups(published / "batch_set_200.npz", "0", space.apps)[0]
    cluster = Cluster(space, 81)
    worth = MeanRps().bind(group, cluster, measured_tables)
    greedy, _ = place_greedy(group, cluster, worth)
    value = evaluate(greedy, cluster, measured_tables, worth).value / MEASURED[81, 200][0]
    better, _ = improve(greedy, cluster, worth)
    improved = evaluate(better, cluster, measured_tables, worth).value / MEASURED[81, 200][0]
    assert 0.97 < value <= improved <= 1.0001
    assert improved > 0.985


def test_at_the_time_limit_the_best_heuristic_placement_stands_with_its_bound():
    from baselines.greedy import place_greedy
    from baselines.local_search import improve

    rng = np.random.default_rng(5)
    space = ColocationSpace(("a", "b", "c", "d"), 4)
    cluster = Cluster(space, 30)
    group = np.array([17, 23, 11, 9])
    worth = rng.uniform(0.2, 1.0, space.size) * space.totals
    placement, trace = place_optimum(group, cluster, worth, OptimumSettings(time_limit=1e-9))
    check_placement(placement, group, cluster, "optimum")
    reached = value(placement, cluster, worth)
    improved = improve(place_greedy(group, cluster, worth)[0], cluster, worth)[0]
    assert reached >= value(improved, cluster, worth)
    assert not trace["proven"]
    assert reached <= trace["bound"] == pytest.approx(relax(worth, group, cluster).bound)
    best, proof = place_optimum(group, cluster, worth)
    assert proof["proven"]
    assert value(best, cluster, worth) >= reached
