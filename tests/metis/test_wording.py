import pytest

from metis.wording import amount, typed


@pytest.mark.parametrize(("count", "said"), [(0, "0 moves"), (1, "1 move"), (1200, "1,200 moves")])
def test_an_amount_is_plural_unless_it_is_one(count, said):
    assert amount(count, "move") == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "null"),
        (True, "true"),
        (2.5, "2.5"),
        ("a b", "'a b'"),
        (["a", None, ("b", 1)], "[a, null, [b, 1]]"),
        ({"a": {"b": False}}, "{a: {b: false}}"),
        (["\x1b[2J"], r"['\x1b[2J']"),  # acts on no terminal
    ],
)
def test_a_value_is_shown_as_it_is_typed(value, said):
    assert typed(value) == said
