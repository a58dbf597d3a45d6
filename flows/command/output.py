"""One JSON document on standard output, and nothing else: solvers that print are sent to standard error."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def only_json(wanted: bool) -> Iterator[Callable[[Any], None]]:
    """Within the block everything printed goes to standard error; the callable prints the one document.

    Args:
        wanted: False changes nothing, and the callable must not be called.
    """
    if not wanted:
        yield _refuse
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # the descriptor itself, because solvers print from C
    answers: list[Any] = []
    try:
        yield answers.append
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
    for answer in answers:
        sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
    sys.stdout.flush()


def _refuse(answer: Any) -> None:
    raise RuntimeError("output=table prints no JSON document")
