"""Exchange: the best move or swap of containers between two nodes by an oracle, until none helps."""

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem


def exchange(
    problem: Problem,
    kind_of: IntArray,
    placement: IntArray,
    max_steps: int = 100_000,
    tolerance: float = 1e-12,
) -> tuple[IntArray, int]:
    """Improve a placement by best-improvement steps.

    A move is a swap with idle room: idle is one more thing to give or take. A node gives only what it
    received, so of many applications few rows are evaluated: those that it gives times all that it may take.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        placement: new containers, int [nodes, apps].
        max_steps: moves and swaps at most.
        tolerance: a step must gain more than this share of the value, so that rounding never loops.

    Returns:
        The placement, and the steps made.
    """
    new = placement.copy()
    search = _Search(problem, kind_of)
    change = np.concatenate([search.gains(np.array([i]), new) for i in range(len(new))])
    smallest = tolerance * max(abs(problem.value(kind_of, new)), 1e-300)
    steps = 0
    while steps < max_steps:
        gain, i, j, x, y = _best_step(change)
        if gain <= smallest:
            break
        for node, given, taken in ((i, x, y), (j, y, x)):
            if given:
                new[node, given - 1] -= 1
            if taken:
                new[node, taken - 1] += 1
        pair = np.array([i, j])
        change[pair] = search.gains(pair, new)
        steps += 1
    return new, steps


class _Search:
    """Gains of nodes that give one container and take one; 0 is idle room, a + 1 application a."""

    def __init__(self, problem: Problem, kind_of: IntArray) -> None:
        self._problem, self._kind_of = problem, kind_of
        apps = len(problem.apps)
        self._one = np.vstack([np.zeros((1, apps), dtype=np.int64), np.eye(apps, dtype=np.int64)])
        self._size = np.vstack([np.zeros((1, problem.requests.shape[1])), problem.requests])

    def gains(self, nodes: IntArray, new: IntArray) -> FloatArray:
        """Return the gains [n, apps + 1, apps + 1] of `nodes` that give the row and take the column."""
        things = len(self._one)
        found = np.full((len(nodes), things, things), -np.inf)
        for at, node in enumerate(nodes.tolist()):
            kind = int(self._kind_of[node])
            room = self._problem.room(kind) - new[node] @ self._problem.requests
            given = np.concatenate([[0], np.flatnonzero(new[node]) + 1])
            fits = (self._size[None] <= room + self._size[given][:, None]).all(axis=2)
            fits[np.arange(len(given)), given] = False
            row, taken = np.nonzero(fits)
            after = new[node] - self._one[given[row]] + self._one[taken]
            admitted = self._problem.admitted(kind, after)
            row, taken, after = row[admitted], taken[admitted], after[admitted]
            worth = self._problem.worth_of(kind, np.vstack([new[node], after]))
            found[at, given[row], taken] = worth[1:] - worth[0]
        return found


def _best_step(change: FloatArray) -> tuple[float, int, int, int, int]:
    """Return gain, two nodes i and j, and things x and y: i gives x and takes y, j the other way round."""
    things = change.shape[1]
    flat = change.reshape(len(change), -1)
    columns = np.arange(things * things)
    back = columns.reshape(things, things).T.ravel()
    first = flat.argmax(axis=0)
    best = flat[first, columns]
    partner = first[back].copy()
    total = best + best[back]
    # where giver and taker are the same node, one of them must be the second best
    for c in np.flatnonzero((first == partner) & (total > -np.inf)).tolist():
        others = flat[:, back[c]].copy()
        others[first[c]] = -np.inf
        partner[c] = others.argmax()
        total[c] = best[c] + others[partner[c]]
    c = int(total.argmax())
    return float(total[c]), int(first[c]), int(partner[c]), c // things, c % things
