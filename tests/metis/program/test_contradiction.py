"""Rules that contradict one another: the fewest of them are named, before anything is placed."""

import numpy as np
import pytest

from metis.errors import InputError
from metis.problem.cluster import Cluster
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.program.contradiction import check_rules, fewest

SPACE = ColocationSpace(("a", "b", "c"), 2)


def refusal(group, nodes, **given):
    rules = Rules(**given)
    with pytest.raises(InputError) as caught:
        check_rules(np.array(group), Cluster(SPACE, nodes, rules=rules, allowed=rules.mask(SPACE)))
    return str(caught.value)


def test_a_rule_that_alone_leaves_no_room_is_named_alone():
    says = refusal([3, 1, 0], 2, at_most={"a": 1, "c": 1}, never_together=(("b", "c"),))
    assert says == (
        "no placement satisfies the rules: 4 containers on 2 nodes of 2 slots leave no room for "
        "rules.at_most.a=1; leave one out, or give more nodes"
    )


def test_two_rules_that_contradict_are_named_together_and_no_third():
    """b stands only beside a, and never with it; at most one c a node contradicts neither."""
    never, beside = (("a", "b"), ("b", "c")), {"b": ("a",)}
    says = refusal([1, 1, 1], 3, at_most={"c": 1}, never_together=never, only_beside=beside)
    assert "rules.never_together=[[a,b]] and rules.only_beside.b=[a], which contradict one another" in says
    assert "rules.at_most" not in says
    assert "[[b,c]]" not in says


def test_rules_that_can_be_kept_are_not_refused():
    rules = Rules(at_most={"a": 1}, never_together=(("a", "b"),))
    allowed = rules.mask(SPACE)
    check_rules(np.array([2, 2, 0]), Cluster(SPACE, 3, rules=rules, allowed=allowed))
    running = np.array([[2, 0, 0], [0, 0, 0], [0, 0, 0]])  # it broke the rule before, and gets nothing
    check_rules(np.array([2, 0, 2]), Cluster(SPACE, 3, running, allowed, rules))


@pytest.mark.parametrize("wanted", [{3}, {0, 9}, {2, 5, 6}, set(range(10))])
def test_the_fewest_are_found_among_many(wanted):
    parts = [Rules(at_most={str(i): i}) for i in range(10)]
    asked = []

    def contradict(some):
        asked.append(some)
        return wanted <= {int(next(iter(part.at_most))) for part in some}

    assert fewest(parts, contradict) == [parts[i] for i in sorted(wanted)]
    assert len(asked) < 35
