import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis.errors import InputError, PlacementError
from metis.problem.cluster import Cluster
from metis.problem.counts import describe_colocation, whole_counts
from metis.problem.groups import check_group, make_group
from metis.problem.node_types import NodeTypeSettings, state_problem
from metis.problem.placement import check_placement
from metis.problem.rules import Rules
from metis.problem.scheduler import TimedScheduler
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("web", "db"), 3)
APPS = SPACE.apps


def test_groups_by_position_and_by_name():
    assert make_group([2, 1], APPS).tolist() == [2, 1]
    assert make_group({"db": 4}, APPS).tolist() == [0, 4]
    assert make_group([2.0, 1.0], APPS).dtype == np.int64


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ({"web": 1, "cache": 2}, r"'cache'.*web, db"),
        ([1], r"1 count: give 2, in the order web, db"),
        ([1, 2, 3], "3 counts: give 2"),
        ([1, -2], "-2 is not a count; give whole numbers"),
        ([1, 1.5], "1.5 is not a count"),
        ([1, float("nan")], "nan is not a count"),
        ([1, float("inf")], "inf is not a count"),
        ([1e300, 1], r"1e\+300 is not a count"),
        ([0, 0], "at least 1 container"),
        ({}, "at least 1 container"),
        (["many", 1], "not a number"),
    ],
)
def test_refuses_groups_that_are_none(counts, told):
    with pytest.raises(InputError, match=told) as refused:
        make_group(counts, APPS)
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)


@given(st.lists(st.floats(), max_size=5))
def test_counts_are_whole_numbers_or_refused(values):
    fine = all(v == int(v) and 0 <= v <= 1e12 for v in values if np.isfinite(v)) and np.isfinite(values).all()
    if fine:
        assert whole_counts(values, "x").tolist() == values
    else:
        with pytest.raises(InputError, match=r"^x: "):
            whole_counts(values, "x")


@pytest.mark.parametrize("nodes", [0, -1])
def test_refuses_a_cluster_without_nodes(nodes):
    with pytest.raises(InputError, match=f"cluster.nodes {nodes}: .*at least 1"):
        Cluster(SPACE, nodes)


def test_what_does_not_fit_is_counted_beside_what_runs():
    """Slots first, then resources, of which what runs takes its part."""
    types = (NodeTypeSettings("a", 1, slots=3), NodeTypeSettings("b", 1, slots=2))
    stated = state_problem(types, {}, Rules(), SPACE.apps, 3, np.array([1, 1]))
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 1], [0, 1]]), stated=stated)
    with pytest.raises(
        InputError,
        match=r"^3 containers do not fit: 2 nodes of 2 to 3 slots have 2 slots free beside the 3 containers",
    ):
        check_group(np.array([3, 0]), cluster)
    types = (NodeTypeSettings("a", 2, slots=3, capacity={"cpu": 4}),)
    stated = state_problem(
        types, {"web": {"cpu": 2}, "db": {"cpu": 1}}, Rules(), SPACE.apps, 3, np.array([1, 1])
    )
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 1], [0, 1]]), stated=stated)
    with pytest.raises(
        InputError, match=r"^cpu: the containers ask for 6, the nodes have 8, of which what runs takes 4$"
    ):
        check_group(np.array([3, 0]), cluster)


def test_applications_are_no_containers_that_have_to_fit_at_once():
    """One container of each was counted, also where none arrives, or each group has others."""
    types = (NodeTypeSettings("a", 1, slots=1),)
    stated = state_problem(types, {}, Rules(), SPACE.apps, 3, np.array([1, 1]))
    check_group(np.array([0, 1]), Cluster(SPACE, 1, stated=stated))
    types = (NodeTypeSettings("a", 1, slots=1, capacity={"cpu": 1}),)
    with pytest.raises(InputError, match=r"application db: no node has enough cpu \(2\) for one container"):
        state_problem(types, {"web": {"cpu": 1}, "db": {"cpu": 2}}, Rules(), SPACE.apps, 3, np.array([1, 1]))


def test_existing_containers_take_slots():
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 1], [0, 0]]))
    assert cluster.free_slots == 4
    assert not cluster.empty
    assert Cluster(SPACE, 2).empty
    check_group(np.array([4, 0]), cluster)
    with pytest.raises(InputError, match="5 containers do not fit: 2 nodes of 3 slots have 4 slots free"):
        check_group(np.array([4, 1]), cluster)


@pytest.mark.parametrize(
    ("existing", "told"),
    [
        ([[1, 1]], r"\(1, 2\): this cluster needs \(2, 2\)"),
        ([[1, 0], [3, 1]], "node 1 holds 4 containers and has 3 slots"),
        ([[1, 0], [-1, 0]], "existing: -1"),
        ([[1, 0], [0.5, 0]], "existing: 0.5"),
    ],
)
def test_refuses_existing_containers_that_cannot_be(existing, told):
    with pytest.raises(InputError, match=told):
        Cluster(SPACE, 2, existing=np.array(existing))


def test_refuses_rules_of_another_space():
    with pytest.raises(InputError, match="allowed"):
        Cluster(SPACE, 2, allowed=np.ones(3, dtype=bool))


@pytest.mark.parametrize(
    ("placement", "told"),
    [
        ([[2, 1], [0, 0]], "node 0 got 4 containers, has 3 slots"),
        ([[1, 0], [0, 1]], "placed 1 of 2 containers of web"),
        ([[1, 0], [2, 1]], "placed 3 of 2 containers of web"),
        ([[0, 0], [2, 1]], "node 1 holds 2 web . 1 db, which a rule forbids"),
        ([[3, 1], [-1, 0]], "not \\[nodes, apps\\] counts"),
        ([[1, 0, 0], [1, 1, 0]], "not \\[nodes, apps\\] counts"),
    ],
)
def test_detects_a_placement_that_breaks_the_contract(placement, told):
    rules = Rules(never_together=[("web", "db")]).mask(SPACE)
    existing = np.array([[0, 1], [0, 0]])
    allowed = rules if "rule" in told else None
    cluster = Cluster(SPACE, 2, existing=existing, allowed=allowed)
    with pytest.raises(PlacementError, match=f"bad: .*{told}"):
        check_placement(np.array(placement), np.array([2, 1]), cluster, "bad")


def test_a_node_that_receives_nothing_may_break_a_rule():
    allowed = Rules(never_together=[("web", "db")]).mask(SPACE)
    cluster = Cluster(SPACE, 2, existing=np.array([[1, 1], [0, 0]]), allowed=allowed)
    check_placement(np.array([[0, 0], [2, 0]]), np.array([2, 0]), cluster, "fine")
    with pytest.raises(PlacementError, match=r"node 0 holds 2 web . 1 db"):
        check_placement(np.array([[1, 0], [1, 0]]), np.array([2, 0]), cluster, "bad")


def test_a_timed_scheduler_checks_what_it_is_given_and_what_it_answers():
    calls = []

    def first_node(group, cluster, worth):
        calls.append(group)
        placement = np.zeros((cluster.nodes, 2), dtype=int)
        placement[0] = group
        return placement, {"tried": 1}

    scheduler = TimedScheduler("first", first_node)
    cluster, worth = Cluster(SPACE, 2), np.zeros(SPACE.size)
    decision = scheduler.place(np.array([2, 1]), cluster, worth)
    assert decision.placement.tolist() == [[2, 1], [0, 0]]
    assert decision.trace == {"tried": 1}
    assert decision.seconds >= 0
    with pytest.raises(PlacementError, match="first: node 0 got 4"):
        scheduler.place(np.array([2, 2]), cluster, worth)
    with pytest.raises(InputError, match="7 containers do not fit"):
        scheduler.place(np.array([7, 0]), cluster, worth)
    assert len(calls) == 2  # what cannot fit is never tried


def test_a_timed_scheduler_names_whoever_answers_no_placement():
    for answer in (None, [[1, 0], [0, 0]], (np.array([[0.5, 0], [0.5, 0]]), {}), ([["a"]], {})):
        scheduler = TimedScheduler("mine", lambda *_, answer=answer: answer)
        with pytest.raises(PlacementError, match=r"^mine: "):
            scheduler.place(np.array([1, 0]), Cluster(SPACE, 2), np.zeros(SPACE.size))


def test_a_co_location_in_words():
    assert describe_colocation([2, 1], APPS) == "2 web + 1 db"
    assert describe_colocation([0, 0], APPS) == "nothing"
