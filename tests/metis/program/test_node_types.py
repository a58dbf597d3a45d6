"""Node types, resources and rules that distinguish nodes: solved by hand, and kept by every scheduler."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from baselines.registry import SCHEDULERS, entry_of, make_wide_scheduler
from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import describe_colocation
from metis.problem.evaluation import value
from metis.problem.groups import check_group
from metis.problem.kinds import problem_of
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.placement import check_placement
from metis.problem.rules import Rules, SoftRules
from metis.problem.space import ColocationSpace
from metis.program.column_program import solve_column_program

WIDE = [name for name in SCHEDULERS if entry_of(name).wide is not None]
SMALL = NodeTypeSettings("small", count=2, slots=2, capacity={"cpu": 2})
LARGE = NodeTypeSettings("large", count=1, slots=3, capacity={"cpu": "4000m"}, labels=("ssd",), domains={})
REQUESTS = {"a": {"cpu": 1}, "b": {"cpu": 2}}


def a_cluster(group, *, types=(SMALL, LARGE), requests=REQUESTS, rules=None, slots=3, existing=None):
    rules = rules or Rules()
    apps = tuple("abcdef"[: len(group)])
    space = ColocationSpace(apps, slots)
    stated = state_problem(types, requests, rules, apps, slots, (np.array(group) > 0).astype(int))
    nodes = len(stated.nodes)
    return Cluster(space, nodes, existing, allowed=rules.mask(space), rules=rules, stated=stated)


def worth_in(cluster, disturbed=0.25):
    """Containers are worth 1 alone and lose `disturbed` for every container of another application."""
    counts = cluster.space.counts
    total = counts.sum(axis=1, keepdims=True)
    return (counts * np.maximum(1 - disturbed * (total - counts), 0)).sum(axis=1).astype(float)


def solved(group, **options):
    cluster = a_cluster(group, **options)
    worth = worth_in(cluster)
    problem, kind_of = problem_of(np.array(group), cluster, worth)
    found = solve_column_program(problem, kind_of, seconds=10)
    check_placement(found.placement, np.array(group), cluster, "columns")
    assert found.value == pytest.approx(value(found.placement, cluster, worth))
    return found, cluster


def held(found, cluster):
    return [describe_colocation(row, cluster.space.apps) for row in found.placement]


def test_resources_bind_beside_slots():
    """Two of b fill the processors of the large node, or one each of all three nodes."""
    found, cluster = solved([4, 2])
    assert found.value == pytest.approx(6)
    assert found.placement[2].tolist() == [0, 2]
    assert held(found, cluster)[:2] == ["2 a", "2 a"]


def test_an_application_stays_on_its_nodes():
    """b may only use the large node: then both are there, though a would rather have it."""
    found, _ = solved([5, 1], rules=Rules(eligible={"b": ("ssd",)}))
    assert found.placement[:, 1].tolist() == [0, 0, 1]
    # 4 of a on the small nodes, the fifth beside b: 1/4 lost by each of the two
    assert found.value == pytest.approx(5.5)
    assert found.bound == pytest.approx(5.5)


ZONES = (NodeTypeSettings("n", count=4, slots=3, domains={"zone": ("x", "y")}),)


def test_a_fault_domain_holds_no_more_than_its_share():
    rules = Rules(spread={"a": {"zone": 0.5}})
    found, cluster = solved([6, 0], types=ZONES, requests={}, rules=rules)
    in_x = found.placement[[0, 2]].sum()
    assert in_x == 3
    assert cluster.stated.domains["zone"] == ("x", "y", "x", "y")


def test_a_rule_that_no_placement_can_keep_is_refused():
    with pytest.raises(InputError, match="no placement satisfies the rules"):
        solved([6, 0], types=ZONES, requests={}, rules=Rules(spread={"a": {"zone": 2}}))


def test_a_soft_rule_is_broken_where_that_pays():
    """a and b together lose 1/4 each; apart they need two nodes."""
    one = (NodeTypeSettings("n", count=1, slots=3),)
    soft = Rules(soft=(SoftRules(never_together=(("a", "b"),), penalty=0.2),))
    found, _ = solved([1, 1], types=one, requests={}, rules=soft)
    assert found.value == pytest.approx(1.5 - 0.2 / 2)
    two = (NodeTypeSettings("n", count=2, slots=3),)
    found, _ = solved([1, 1], types=two, requests={}, rules=soft)
    assert found.value == pytest.approx(2)


def test_a_penalty_on_other_nodes_is_weighed_against_what_they_bring():
    """Two of b beside each other on the small nodes, or on the large one beside a."""
    rules = Rules(soft=(SoftRules(eligible={"a": ("large",)}, penalty=3.0),))
    found, _ = solved([3, 1], rules=rules)
    assert found.placement[2].tolist() == [3, 0]
    rules = Rules(soft=(SoftRules(eligible={"a": ("large",), "b": ("large",)}, penalty=0.1),))
    found, _ = solved([3, 1], rules=rules)
    # b elsewhere costs 0.1 / 4, beside a more
    assert found.value == pytest.approx(4 - 0.025)


def test_a_share_may_be_elsewhere():
    rules = Rules(soft=(SoftRules(eligible={"a": ("large",)}, share=0.25),))
    found, _ = solved([4, 0], rules=rules)
    assert found.placement[2].tolist() == [3, 0]
    with pytest.raises(InputError, match="no placement"):
        solved([4, 0], rules=Rules(soft=(SoftRules(eligible={"a": ("large",)}, share=0.2),)))


def test_what_runs_already_counts():
    existing = np.array([[1, 0], [0, 0], [0, 0]])
    found, _ = solved([1, 2], existing=existing, rules=Rules(at_most={"a": 1}))
    assert found.placement[0, 0] == 0
    assert (found.placement[0] == 0).all()  # b needs two processors, and one is left


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests": {"a": {"cpu": 9}, "b": {"cpu": 1}}}, "application a: no node has enough cpu"),
        ({"requests": {"a": {"cpu": 1}}}, "apps.requests.b: cpu is missing"),
        ({"requests": {"a": {"cpu": "-1"}, "b": {"cpu": 1}}}, "apps.requests.a.cpu: '-1' is no quantity"),
        ({"requests": {"a": {"gpu": 1}, "b": {"cpu": 1}}}, "apps.requests.a.gpu: no type"),
        ({"requests": {"z": {"cpu": 1}}}, "apps.requests: 'z' is unknown"),
        ({"rules": Rules(eligible={"a": ("sdd",)})}, "'sdd' is no node type, label or node"),
        ({"rules": Rules(spread={"a": {"zone": 2}})}, "the nodes have no fault domain 'zone'"),
        ({"types": (SMALL, SMALL)}, "the type 'small' stands twice"),
    ],
)
def test_bad_statements_are_refused_in_one_line(options, message):
    with pytest.raises(InputError, match=message):
        solved([1, 1], **options)


def test_more_than_all_nodes_have_is_refused():
    with pytest.raises(InputError, match="cpu: the containers ask for 10, the nodes have 8"):
        check_group(np.array([0, 5]), a_cluster([0, 5]))


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ({"name": "t"}, "give its count, or the names of its nodes"),
        ({"name": "t", "count": 0}, "cluster.types.t: has no nodes"),
        ({"name": "t", "count": 1, "domains": {"node": "a"}}, "by itself"),
        ({"name": "t t", "count": 1}, "give letters"),
    ],
)
def test_bad_types_are_refused(given_, message):
    with pytest.raises(InputError, match=message):
        NodeTypeSettings(**given_)


@st.composite
def cases(draw):
    apps = draw(st.integers(2, 3))
    names = "abc"[:apps]
    count = st.integers(1, 2)
    types = tuple(
        NodeTypeSettings(
            name,
            count=draw(count),
            slots=draw(st.integers(1, 3)),
            capacity={"cpu": draw(st.integers(1, 4))},
            domains={"zone": draw(st.sampled_from(["x", "y", ("x", "y")]))},
        )
        for name in ("s", "t")
    )
    requests = {name: {"cpu": draw(st.sampled_from([0.5, 1, 2]))} for name in names}
    group = [draw(st.integers(0, 3)) for _ in names]
    some = draw(st.sets(st.sampled_from(["most", "apart", "where", "zone", "node", "share", "soft"])))
    soft = []
    if "share" in some:
        soft.append(SoftRules(eligible={"a": ("s",)}, share=0.5))
    if "soft" in some:
        soft.append(SoftRules(spread={"b": {"zone": 1}}, at_most={"a": 1}, penalty=0.3))
    spread = {"b": {"zone": 0.5}} if "zone" in some else {}
    spread |= {"a": {"node": 1}} if "node" in some else {}
    rules = Rules(
        most_beside=(("a", "b", 1),) if "most" in some else (),
        never_together=(("a", names[-1]),) if "apart" in some else (),
        eligible={"b": ("t",)} if "where" in some else {},
        spread=spread,
        soft=tuple(soft),
    )
    assume(sum(group))
    return types, requests, group, rules


def every_placement(cluster, group):
    """All placements that the check accepts: a node's columns times those of the others."""
    counts = cluster.space.counts[(cluster.space.counts <= group).all(axis=1)]
    fits = [
        [row for row in counts if (row @ cluster.stated.requests <= have + 1e-9).all()]
        for have in cluster.stated.capacity
    ]
    for rows in product(*fits):
        placement = np.array(rows)
        if (placement.sum(axis=0) == group).all():
            try:
                check_placement(placement, group, cluster, "brute force")
            except PlacementError:
                continue
            yield placement


def by_brute_force(case):
    """Group, cluster, worth of its nodes and the best value of all placements; None where it cannot fit."""
    types, requests, counts, rules = case
    group = np.array(counts)
    try:
        cluster = a_cluster(group, types=types, requests=requests, rules=rules)
        check_group(group, cluster)
    except InputError:
        return None
    worth = worth_in(cluster)
    best = max((value(one, cluster, worth) for one in every_placement(cluster, group)), default=None)
    return group, cluster, worth, best


@settings(max_examples=20, deadline=None)
@given(cases())
def test_no_scheduler_breaks_a_hard_rule_and_none_passes_the_bound(case):
    found = by_brute_force(case)
    if found is None:
        return
    group, cluster, worth, best = found
    placed = {}
    for name in [*WIDE, "greedy+local_search"]:
        try:  # which checks capacity and rules
            placed[name] = make_wide_scheduler(name).place(group, cluster, worth)
        except (PlacementError, InputError):
            assert name != "columns" or best is None
    if best is None:
        assert not placed
        return
    for decision in placed.values():
        assert value(decision.placement, cluster, worth) <= best + 1e-9
    if "columns" in placed:
        trace = placed["columns"].trace
        assert trace["bound"] >= best - 1e-6
        assert trace["bound_kind"] == "proven"


def test_a_node_that_holds_more_than_its_type_has_slots_is_named():
    types = (NodeTypeSettings("big", count=1, slots=3), NodeTypeSettings("small", nodes=("s-1",), slots=1))
    stated = state_problem(types, {}, Rules(), ("a", "b"), 3, np.array([1, 1]))
    space = ColocationSpace(("a", "b"), 3)
    assert Cluster(space, 2, np.array([[2, 1], [1, 0]]), stated=stated).free_slots == 0
    with pytest.raises(InputError, match=r"existing: node s-1 holds 2 containers and has 1 slot$"):
        Cluster(space, 2, np.array([[2, 1], [1, 1]]), stated=stated)
