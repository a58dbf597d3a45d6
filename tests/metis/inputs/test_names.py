"""Names that some tool would misread are refused wherever applications are named."""

import pytest

from metis.errors import InputError
from metis.inputs.names import check_names, meant
from metis.problem.space import ColocationSpace

BAD = [
    "<script>alert(1)</script>",
    "a\nb",
    "../x",
    "=cmd|' /C calc'!A0",
    "",
    "-x",
    "+1",
    "@a",
    "a b",
    "é",
    "a/b",
    "x" * 64,
    "\x1b[2J",
]


@pytest.mark.parametrize("name", BAD)
def test_hostile_names_are_refused_in_one_plain_line(name):
    with pytest.raises(InputError, match=r"application .*: give letters, digits") as refused:
        ColocationSpace(("web", name), 2)
    assert str(refused.value).isascii()
    assert str(refused.value).isprintable()


def test_names_that_everything_bears():
    check_names(["Redis", "YCSB-A", "a.b_c", "7", "x" * 63], "application")
    check_names(["x" * 253], "node", 253)


def test_a_name_that_is_not_known_has_the_nearest_for_a_hint_or_those_that_there_are():
    assert meant("redis", ["Redis", "MMS"]) == "did you mean 'Redis'?"
    assert meant("web", ["Redis", "MMS"]) == "use Redis, MMS"
    many = meant("web", [f"app-{k:04d}" for k in range(9338)])
    assert many.endswith(", app-0019 or one of 9318 more")
