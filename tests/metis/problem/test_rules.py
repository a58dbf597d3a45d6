from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from metis.errors import InputError
from metis.problem.rules import Rules, placing_order
from metis.problem.space import ColocationSpace

SPACE = ColocationSpace(("a", "b", "c"), 3)


def admitted(rules):
    return {tuple(row) for row in SPACE.counts[rules.mask(SPACE)].tolist()}


def test_never_together():
    assert admitted(Rules(never_together=[("a", "b")])) == {
        (a, b, c) for a, b, c in SPACE.counts.tolist() if not (a and b)
    }
    assert admitted(Rules(never_together=[("a", "a")])) == {
        (a, b, c) for a, b, c in SPACE.counts.tolist() if a < 2
    }


def test_at_most():
    assert admitted(Rules(at_most={"c": 1, "a": 0})) == {
        (a, b, c) for a, b, c in SPACE.counts.tolist() if c <= 1 and a == 0
    }


def test_only_beside():
    assert admitted(Rules(only_beside={"a": ["b", "c"]})) == {
        (a, b, c) for a, b, c in SPACE.counts.tolist() if not a or b or c
    }


def test_no_rules_admit_everything_and_nothing_is_always_admitted():
    assert Rules().mask(SPACE).all()
    strict = Rules([("a", "b"), ("b", "c")], {"a": 0}, {"b": ["c"], "c": ["b"]})
    assert admitted(strict) == {(0, 0, 0)}


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (Rules(never_together=[("a", "x")]), r"unknown application 'x': use a, b, c"),
        (Rules(at_most={"x": 1}), "unknown application 'x'"),
        (Rules(only_beside={"x": ["a"]}), "unknown application 'x'"),
        (Rules(only_beside={"a": ["x"]}), "unknown application 'x'"),
        (Rules(at_most={"a": -1}), "rules.at_most.a -1: give 0 or more"),
        (Rules(only_beside={"a": []}), "rules.only_beside.a"),
        (Rules(only_beside={"a": ["b", "a"]}), "rules.only_beside.a"),
    ],
)
def test_refuses_rules_that_mean_nothing(rules, told):
    with pytest.raises(InputError, match=told):
        rules.mask(SPACE)


def test_order_puts_guests_after_their_hosts():
    order = placing_order(SPACE, Rules(only_beside={"a": ["c"]}).mask(SPACE))
    assert order.index(0) > order.index(2)
    chain = placing_order(SPACE, Rules(only_beside={"a": ["b"], "b": ["c"]}).mask(SPACE))
    assert chain == [2, 1, 0]
    assert placing_order(SPACE, Rules().mask(SPACE)) == [0, 1, 2]


def test_order_survives_who_can_only_come_together():
    order = placing_order(SPACE, Rules(only_beside={"a": ["b"], "b": ["a"]}).mask(SPACE))
    assert order == [2, 0, 1]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000))
def test_order_names_every_application_once(seed):
    allowed = np.random.default_rng(seed).random(SPACE.size) < 0.4
    assert tuple(placing_order(SPACE, allowed)) in set(permutations(range(3)))


def test_rules_are_read_from_a_file_and_null_is_an_empty_mapping():
    read = TypeAdapter(Rules).validate_python(
        {"never_together": [["a", "b"]], "at_most": {"a": 2}, "only_beside": {"b": ["a"]}}
    )
    assert read == Rules((("a", "b"),), {"a": 2}, {"b": ("a",)})
    none = TypeAdapter(Rules).validate_python({"never_together": [], "at_most": None, "only_beside": None})
    assert none == Rules() == Rules(at_most=None, only_beside=None)
    assert TypeAdapter(Rules).dump_python(read, mode="json")["never_together"] == [["a", "b"]]
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        TypeAdapter(Rules).validate_python({"at_most": {"a": -1}})
