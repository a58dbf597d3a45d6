"""Worth by node type: values, bounds and schedulers where a container reaches other RPS on other nodes."""

from itertools import product

import numpy as np
import pytest

from baselines.contract import WideMaterials
from baselines.registry import make_wide_scheduler
from metis.explain import explain
from metis.problem.cluster import Cluster
from metis.problem.evaluation import evaluate, value
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.problem.worth import WorthByType

SPACE = ColocationSpace(("web", "db"), 2)  # nothing, db, 2 db, web, both, 2 web
FAST = [[0, 0], [0, 1.0], [0, 0.3], [1.0, 0], [0.9, 0.9], [0.5, 0]]
SLOW = [[0, 0], [0, 0.6], [0, 0.6], [0.2, 0], [0.1, 0.5], [0.1, 0]]
OTHER = [[0, 0], [0, 0.7], [0, 0.4], [0.5, 0], [0.4, 0.6], [0.3, 0]]


def tables():
    fast, slow, other = (Tables(SPACE, {"rps": np.array(rps)}) for rps in (FAST, SLOW, OTHER))
    return Tables(SPACE, other.quantities, {"fast": fast, "slow": slow})


def stated(*types, web=2, db=3):
    """A group on two nodes of each type."""
    nodes = tuple(NodeTypeSettings(name, count=2, slots=2) for name in types)
    group = np.array([web, db])
    statement = state_problem(nodes, {}, Rules(), SPACE.apps, 2, (group > 0).astype(np.int64))
    cluster = Cluster(SPACE, 2 * len(types), stated=statement)
    return group, cluster, worth_of(MeanRps(), group, cluster, tables())


def best_of_all(group, cluster, worth):
    """The highest value over every placement."""
    placements = product(SPACE.counts, repeat=cluster.nodes)
    return max(
        value(placement, cluster, worth)
        for placement in map(np.array, placements)
        if (placement.sum(axis=0) == group).all()
    )


def test_values_and_explanations_are_by_the_type_of_the_node():
    _, cluster, worth = stated("fast", "slow", web=2, db=3)
    placement = np.array([[1, 1], [1, 0], [0, 2], [0, 0]])
    by_hand = (0.9 + 0.9 + 1.0 + 2 * 0.6) / 5
    assert value(placement, cluster, worth) == pytest.approx(by_hand)
    judged = evaluate(placement, cluster, tables(), worth)
    assert judged.rps == pytest.approx(by_hand)
    assert judged.slo["0.90"] == pytest.approx(3 / 5)
    turned = placement[::-1]
    assert value(turned, cluster, worth) == pytest.approx((2 * 0.3 + 0.2 + 0.1 + 0.5) / 5)
    found = explain(turned, cluster, tables())
    np.testing.assert_allclose(found.rps[1:], [[np.nan, 0.3], [0.2, np.nan], [0.1, 0.5]])
    assert found.effect[3, 1, 0] == pytest.approx(0.5 - 0.6)  # what web takes from db on a slow node
    assert len(explain(np.array([[1, 0], [0, 0], [1, 0], [0, 0]]), cluster, tables()).rows()) == 2


@pytest.mark.parametrize("types", [("fast", "slow"), ("slow", "new"), ("fast",)])
def test_columns_reach_the_best_of_all_placements_and_their_bound_holds(types):
    group, cluster, worth = stated(*types, web=1, db=3)
    best = best_of_all(group, cluster, worth)
    decision = make_wide_scheduler("columns", WideMaterials({})).place(group, cluster, worth)
    assert value(decision.placement, cluster, worth) == pytest.approx(best)
    assert decision.trace["bound_kind"] == "proven"
    assert best - 1e-9 <= decision.trace["bound"] <= best * 1.2
    for name in ("greedy", "greedy+local_search", "spread"):
        made = make_wide_scheduler(name, WideMaterials({})).place(group, cluster, worth)
        reached = value(made.placement, cluster, worth)
        assert reached <= best + 1e-9, name
        if name != "spread":
            assert reached >= 0.9 * best, name


def test_a_type_of_which_nothing_is_known_is_worth_what_all_together_are():
    _, cluster, worth = stated("new", web=1, db=1)
    assert isinstance(worth, WorthByType)
    assert value(np.array([[1, 1], [0, 0]]), cluster, worth) == pytest.approx((0.4 + 0.6) / 2)
    rows = np.array([[1, 1], [0, 1]])
    np.testing.assert_allclose(worth.of(rows), [0.5, 0.35])
    np.testing.assert_allclose(worth.on("slow").of(rows), [0.3, 0.3])


def test_alike_nodes_are_worth_what_all_types_together_are():
    group, cluster = np.array([1, 1]), Cluster(SPACE, 2)
    worth = worth_of(MeanRps(), group, cluster, tables())
    assert isinstance(worth, np.ndarray)
    assert value(np.array([[1, 1], [0, 0]]), cluster, worth) == pytest.approx(0.5)
