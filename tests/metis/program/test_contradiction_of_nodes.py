"""Rules that no placement can keep are named, and none that could stay."""

import numpy as np
import pytest

from baselines.columns import place_columns
from baselines.registry import make_wide_scheduler
from metis.errors import InputError, PlacementError
from metis.problem.node_types import NodeTypeSettings
from metis.problem.rules import Rules, SoftRules
from metis.program.contradiction import check_rules, refuse_unplaced
from tests.metis.program.test_node_types import LARGE, SMALL, ZONES, a_cluster, worth_in

ONE = (NodeTypeSettings("n", count=1, slots=3),)
TWO = (NodeTypeSettings("small", count=3, slots=2), NodeTypeSettings("large", count=2, slots=3))


@pytest.mark.parametrize(
    ("group", "options", "says"),
    [
        (
            [6, 0],
            {"types": ZONES, "requests": {}, "rules": Rules(spread={"a": {"zone": 2}}, at_most={"b": 1})},
            "leave no room for rules.spread.a.zone=2; leave one out",
        ),
        (
            [4, 0],
            {"rules": Rules(eligible={"a": ("ssd",)}, never_together=(("a", "b"),))},
            "leave no room for rules.eligible.a=[ssd]; leave",
        ),
        (
            [3, 0],
            {"rules": Rules(eligible={"a": ("small",)}, at_most={"a": 1}, spread={"b": {"node": 1}})},
            "rules.at_most.a=1 and rules.eligible.a=[small], which contradict",
        ),
        (
            [4, 0],
            {"rules": Rules(soft=(SoftRules(eligible={"a": ("large",)}, share=0.2),))},
            "a share of 0.2 in rules.eligible.a=[large]; leave",
        ),
        ([3, 4], {}, "7 containers on 3 nodes do not fit"),
    ],
)
def test_by_numbers_per_kind(group, options, says):
    options = {"types": (SMALL, LARGE), **options}
    with pytest.raises(InputError) as refused:
        check_rules(np.array(group), a_cluster(group, **options))
    assert says in str(refused.value)


def test_by_what_stands_beside_what():
    rules = Rules(never_together=(("a", "b"),), at_most={"a": 2}, most_beside=(("a", "c", 2),))
    group = np.array([1, 1, 1])
    cluster = a_cluster(group, types=ONE, requests={}, rules=rules)
    check_rules(group, cluster)  # which only counts
    with pytest.raises(InputError, match=r"no room for rules.never_together=\[\[a,b\]\]; leave"):
        place_columns(group, cluster, worth_in(cluster))


def place_alone_or_none(group, cluster, worth):
    raise PlacementError("mine: no node for a")


@pytest.mark.parametrize(
    "scheduler",
    ["greedy", "spread", "round_robin", "greedy+local_search", f"{__name__}:place_alone_or_none"],
)
def test_schedulers_that_place_one_container_after_another_name_them(scheduler):
    rules = Rules(never_together=(("a", "b"),), only_beside={"a": ("b",)})
    group = np.array([2, 2])
    cluster = a_cluster(group, types=TWO, requests={}, rules=rules)
    named = r"rules.never_together=\[\[a,b\]\] and rules.only_beside.a=\[b\], which contradict"
    with pytest.raises(InputError, match=named):
        make_wide_scheduler(scheduler).place(group, cluster, worth_in(cluster))


def test_a_scheduler_that_finds_no_node_where_there_are_some_says_so_itself():
    group = np.array([1, 1])
    cluster = a_cluster(group, types=TWO, requests={}, rules=Rules(at_most={"a": 1}))
    with pytest.raises(PlacementError, match="mine: no node for a"):
        make_wide_scheduler(f"{__name__}:place_alone_or_none").place(group, cluster, worth_in(cluster))


def test_what_can_be_kept_is_not_refused():
    rules = Rules(spread={"a": {"zone": 0.5}}, at_most={"a": 2})
    group = np.array([6, 0])
    refuse_unplaced(group, a_cluster(group, types=ZONES, requests={}, rules=rules))
