"""The comparison itself: what it lets pass, and what it finds."""

import pytest

from tests.golden.frozen import differences, stable

HERE, ELSEWHERE, LEARNED = {"same": True}, {"same": False}, {"same": False, "learned": True}


@pytest.mark.parametrize(
    ("frozen", "now", "how", "found"),
    [
        (1.0, 1.0 + 1e-15, HERE, 1),
        (1.0, 1.0 + 1e-9, ELSEWHERE, 0),
        (1.0, 1.0 + 1e-5, ELSEWHERE, 1),
        (1.0, 1.005, LEARNED, 0),
        (1.0, 1.02, LEARNED, 1),
        ([1, 2], [1, 3], ELSEWHERE, 1),
        ([1, 2], [1, 3], LEARNED, 0),
        ([1, 2], [1], ELSEWHERE, 1),
        ({"a": 1}, {"b": 1}, LEARNED, 2),
        ({"a": "x"}, {"a": "y"}, ELSEWHERE, 1),
        (1, 1.0, HERE, 1),
        (None, 1, LEARNED, 1),
    ],
)
def test_differences(frozen, now, how, found):
    assert len(list(differences(frozen, now, **how))) == found


def test_what_differs_from_run_to_run_is_left_out():
    document = {"seconds": 1.5, "rows": [{"path": "x", "what": "run 0123abcd in /there/y"}]}
    assert stable(document, {"/there": "HERE"}) == {"rows": [{"what": "run ID in HERE/y"}]}
