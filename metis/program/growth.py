"""What nodes are worth after one more container of each application: asked at once where a worth knows it."""

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.problem.worth import GrowingWorth

VALUES, FEWEST, MOST = 12_800, 64, 256  # of what is asked for at once, so that it fits a cache; rows
ROWS = 8_192  # of co-locations that are written out at once where a worth knows no growth


def growing_worth(problem: Problem, kind: int) -> GrowingWorth | None:
    """Return the worth of nodes of a kind where it knows their growth; soft rules take from it."""
    worth = problem.types[int(problem.type_of[kind])].worth
    return worth if isinstance(worth, GrowingWorth) and problem.penalty is None else None


def room_for_one_more(problem: Problem, kind: int, rows: IntArray) -> NDArray[np.bool_]:
    """Return which applications a node of a kind that receives `rows` [n, apps] can receive one more of."""
    room = problem.room(kind) - rows @ problem.requests
    fits = rows < problem.receivable(kind)
    for request, left in zip(problem.requests.T, room.T, strict=True):
        fits &= request <= left[:, None]
    return np.asarray(fits)


def worth_of_one_more(problem: Problem, kind: int, rows: IntArray) -> FloatArray:
    """Return the worth of nodes that receive `rows` and one more of each application, float64 [n, apps].

    Single precision where the worth knows its growth; whether it fits is not looked at.

    Args:
        problem: what is placed where.
        kind: of the nodes.
        rows: containers that they receive, int [n, apps].
    """
    worth = growing_worth(problem, kind)
    apps = rows.shape[1]
    found = np.empty(rows.shape)
    if worth is not None:
        total = problem.held[kind] + rows
        step = int(np.clip(VALUES // apps, FEWEST, MOST))
        for start in range(0, len(rows), step):
            found[start : start + step] = worth.of_one_more(total[start : start + step])
        return found
    one = np.eye(apps, dtype=np.int64)
    step = max(1, ROWS // apps)
    for start in range(0, len(rows), step):
        after = rows[start : start + step, None] + one
        found[start : start + step] = problem.worth_of(kind, after.reshape(-1, apps)).reshape(-1, apps)
    return found
