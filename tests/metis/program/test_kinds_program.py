"""The exact optimum where nodes differ: solved by hand, and beside brute force."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from baselines.registry import make_wide_scheduler
from metis.errors import InputError, PlacementError
from metis.measure.synthetic import SyntheticModel, SyntheticOracle
from metis.problem.cluster import Cluster
from metis.problem.evaluation import value
from metis.problem.kinds import problem_of
from metis.problem.node_types import NodeTypeSettings
from metis.problem.objectives import MeanRps
from metis.problem.oracle import worth_of
from metis.problem.rules import Rules, SoftRules
from metis.problem.worth import TableWorth, WorthByType
from metis.program import kinds_program
from metis.program.kinds_program import check_enumerable, solve_kinds_program
from tests.metis.program.test_node_types import ZONES, a_cluster, by_brute_force, cases, worth_in


def best_of(group, **options):
    cluster = a_cluster(group, **options)
    decision = make_wide_scheduler("optimum").place(np.array(group), cluster, worth_in(cluster))
    assert decision.trace["proven"]
    return decision, cluster, value(decision.placement, cluster, worth_in(cluster))


def test_resources_of_two_types():
    """b needs both processors of a small node, or half of the large one."""
    decision, _, reached = best_of([4, 2])
    assert reached == pytest.approx(6)
    assert decision.placement.tolist() == [[2, 0], [2, 0], [0, 2]]
    assert decision.trace["bound"] == pytest.approx(6)


def test_a_limit_on_a_domain_costs_what_it_must():
    """Of six of a three each go to a zone; b is beside some of them."""
    rules = Rules(spread={"a": {"zone": 3}, "b": {"zone": 1}})
    _, _, reached = best_of([6, 2], types=ZONES, requests={}, rules=rules)
    assert reached == pytest.approx(8)
    # a third b finds no zone
    with pytest.raises(InputError, match=r"rules\.spread"):
        best_of([6, 3], types=ZONES, requests={}, rules=rules)


def test_a_type_may_be_worth_more_than_another():
    """Of two nodes alike but for their type, a goes where it is worth three times as much."""
    types = (NodeTypeSettings("n", count=1, slots=2), NodeTypeSettings("m", count=1, slots=2))
    cluster = a_cluster([2, 2], types=types, requests={}, slots=2)
    counts = cluster.space.counts
    on = {"n": counts @ np.array([3.0, 1.0]), "m": counts.sum(axis=1).astype(float)}
    worth = WorthByType(
        {name: TableWorth(cluster.space, table) for name, table in on.items()},
        TableWorth(cluster.space, on["m"]),
    )
    decision = make_wide_scheduler("optimum").place(np.array([2, 2]), cluster, worth)
    assert decision.placement.tolist() == [[2, 0], [0, 2]]
    assert decision.trace["bound"] == pytest.approx(8)


def test_a_soft_limit_is_passed_where_that_pays():
    rules = Rules(soft=(SoftRules(spread={"a": {"zone": 1}}, penalty=0.2),))
    _, _, reached = best_of([3, 0], types=ZONES, requests={}, rules=rules)
    assert reached == pytest.approx(3 - 0.2 / 3)  # one of three is beyond, whichever zone it is in


def test_few_columns_first_prove_the_same(monkeypatch):
    """The integer program begins with few columns, and grows until no other may help."""
    oracle = SyntheticOracle(SyntheticModel.drawn(5, 3), 3)
    types = (NodeTypeSettings("s", count=4, slots=2), NodeTypeSettings("l", count=4, slots=3))
    group = np.array([4, 3, 5, 2, 4])
    cluster = a_cluster(group, types=types, requests={})
    cluster = Cluster(oracle.space, 8, stated=replace(cluster.stated, apps=oracle.space.apps))
    worth = worth_of(MeanRps(), group, cluster, oracle)
    problem, kind_of = problem_of(group, cluster, worth)
    at_once, _ = solve_kinds_program(problem, kind_of)
    monkeypatch.setattr(kinds_program, "FIRST", 1)
    monkeypatch.setattr(kinds_program, "GROWTH", 2)
    monkeypatch.setattr(kinds_program, "_begun", lambda *given: None)
    step_by_step, _ = solve_kinds_program(problem, kind_of)
    assert step_by_step.proven
    assert at_once.proven
    assert step_by_step.value == pytest.approx(at_once.value, rel=1e-6)


def test_what_cannot_be_enumerated_is_refused_before_anything_is_asked():
    oracle = SyntheticOracle(SyntheticModel.drawn(30, 1), 8)
    with pytest.raises(InputError, match="a node of type node can receive over 300,000 different"):
        check_enumerable(np.full(30, 5), Cluster(oracle.space, 40))
    check_enumerable(np.eye(30, dtype=int)[0] * 40, Cluster(oracle.space, 40))


@settings(max_examples=20, deadline=None)
@given(cases())
def test_is_the_best_placement_there_is(case):
    found = by_brute_force(case)
    if found is None:
        return
    group, cluster, worth, best = found
    if best is None:
        with pytest.raises(InputError):
            make_wide_scheduler("optimum").place(group, cluster, worth)
        return
    found = make_wide_scheduler("optimum").place(group, cluster, worth)
    assert found.trace["proven"]
    assert value(found.placement, cluster, worth) == pytest.approx(best)
    assert found.trace["bound"] == pytest.approx(best, rel=1e-5)
    columns = make_wide_scheduler("columns").place(group, cluster, worth)
    assert value(columns.placement, cluster, worth) <= best + 1e-9
    assert columns.trace["bound"] >= found.trace["bound"] - 1e-6
    try:
        greedy = make_wide_scheduler("greedy").place(group, cluster, worth)
    except PlacementError:  # which rules led astray
        return
    assert value(greedy.placement, cluster, worth) <= value(columns.placement, cluster, worth) + 1e-9
