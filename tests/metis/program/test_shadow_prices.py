"""Shadow prices, solved by hand, and what is used of nodes that differ."""

import numpy as np
import pytest

from metis.problem.kinds import problem_of
from metis.problem.node_types import NodeTypeSettings
from metis.problem.rules import Rules, SoftRules
from metis.problem.use import broken_rules, use_by_domain, use_by_type
from metis.program.column_program import solve_column_program
from metis.program.shadow_prices import Duals, duals_of, shadow_prices
from tests.metis.program.test_node_types import a_cluster, worth_in

ONE_SLOT = NodeTypeSettings("one", count=2, slots=1, capacity={"cpu": 1})
WIDE = NodeTypeSettings("wide", count=1, slots=2, capacity={"cpu": 2})


def prices_of(group, **options):
    cluster = a_cluster(group, **options)
    problem, kind_of = problem_of(np.array(group), cluster, worth_in(cluster))
    found = solve_column_program(problem, kind_of, seconds=10)
    again = Duals.of(duals_of(problem, found.relaxed).document())
    return shadow_prices(problem, again), found


def test_one_more_node_saves_what_neighbours_lose():
    """Two of a and two of b on two single nodes and a double one: a pair of unlike loses a quarter each.

    a + a on the double node, b and b alone: nothing is lost, and nothing is to be gained.
    """
    requests = {"a": {"cpu": 1}, "b": {"cpu": 1}}
    prices, found = prices_of([2, 2], types=(ONE_SLOT, WIDE), requests=requests)
    assert found.value == pytest.approx(4)
    prices, found = prices_of([1, 3], types=(ONE_SLOT, WIDE), requests=requests)
    assert found.value == pytest.approx(4)  # a alone, b alone, b + b
    rules = Rules(eligible={"b": ("wide",)})
    prices, found = prices_of([1, 2], types=(ONE_SLOT, WIDE), requests=requests, rules=rules)
    assert found.value == pytest.approx(3)
    assert set(prices.nodes) == {"one", "wide"}
    # a and b may only be together: one more wide node brings the half that they lose back
    both = Rules(eligible={"a": ("wide",), "b": ("wide",)})
    prices, found = prices_of([1, 1], types=(ONE_SLOT, WIDE), requests=requests, rules=both)
    assert found.value == pytest.approx(1.5)
    assert prices.nodes["wide"] == pytest.approx(0.5)
    assert prices.nodes["one"] == pytest.approx(0)


def test_a_looser_rule_has_its_price():
    """a may be once in zone x: the second loses a quarter beside b in zone y, and b as well."""
    types = (
        NodeTypeSettings("x", count=2, slots=1, domains={"zone": "x"}),
        NodeTypeSettings("y", count=1, slots=2, domains={"zone": "y"}),
    )
    rules = Rules(spread={"a": {"zone": 1}}, eligible={"b": ("y",)})
    prices, found = prices_of([2, 1], types=types, requests={}, rules=rules)
    assert found.value == pytest.approx(1 + 1.5)
    assert prices.rules == {"a: at most 1 in zone x": pytest.approx(0.5)}


def test_use_by_type_and_domain_and_broken_rules():
    soft = (
        SoftRules(at_most={"a": 1}, penalty=0.2),
        SoftRules(eligible={"b": ("large",)}, share=1.0),
        SoftRules(spread={"a": {"zone": 1}}, penalty=0.1),
    )
    types = (
        NodeTypeSettings("small", count=2, slots=2, capacity={"cpu": 2}, domains={"zone": ("x", "y")}),
        NodeTypeSettings("large", count=1, slots=3, capacity={"cpu": 4}, domains={"zone": "x"}),
    )
    cluster = a_cluster([3, 1], types=types, rules=Rules(soft=soft))
    held = np.array([[0, 1], [0, 0], [3, 0]])
    small, large = use_by_type(cluster.stated, held)
    assert (small.nodes, small.free_nodes, small.used) == (2, 1, {"slots": 1, "cpu": 2})
    assert large.document()["free"] == {"slots": 0, "cpu": 1}
    assert use_by_domain(cluster.stated, held) == {"zone": {"x": 4, "y": 0}}
    broken = broken_rules(cluster.stated, held, cluster.space)
    assert [(one.rule, one.containers, one.penalty) for one in broken] == [
        ("rules.at_most.a=1", 2, 0.2),
        ("rules.eligible.b=[large]", 1, None),
        ("rules.spread.a.zone=1", 2, 0.1),
    ]
