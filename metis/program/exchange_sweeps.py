"""Exchange on thousands of nodes of hundreds of applications: many of the best steps in one sweep.

`metis.program.exchange` keeps the gain of every step of every node, nodes x applications^2 numbers, and makes
the best step again and again. Here a node has a row only for what it can give, its few applications and idle
room; and of the best steps all are made whose nodes no better step of the sweep has changed. A node's gain
depends on that node alone, so such steps gain what each was to gain.
"""

from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.growth import room_for_one_more, worth_of_one_more

STEPS = 4_000  # of a sweep at most
FEW_STEPS = 4  # of one where containers that move are few
FALLEN = 0.5  # share of its promise that a step must keep when its best node was taken by another
SINGLE = 2e-6  # share of a node's worth that a step in single precision must gain
Report = Callable[[int, float], None]


def exchange_in_sweeps(
    problem: Problem,
    kind_of: IntArray,
    placement: IntArray,
    max_steps: int,
    tolerance: float,
    report: Report | None = None,
    until: float = np.inf,
    few: bool = False,
) -> tuple[IntArray, int]:
    """Improve a placement until no move or swap of two nodes is found that helps; see `exchange`.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        placement: new containers, int [nodes, apps].
        max_steps: moves and swaps at most.
        tolerance: a step must gain more than this share of the value.
        report: called after each sweep with the steps made and what they gained.
        until: time by `perf_counter` after which no sweep begins.
        few: whether few containers may move: then a swap must gain twice as much as a move, and few steps are
            made in a sweep.

    Returns:
        The placement, and the steps made.
    """
    if perf_counter() > until:
        return placement.copy(), 0
    sweeps = _Sweeps(problem, kind_of, placement, tolerance, few)
    steps = 0
    while steps < max_steps and perf_counter() <= until:
        made = sweeps.sweep(min(FEW_STEPS if few else STEPS, max_steps - steps))
        steps += made
        if report:
            report(steps, sweeps.gained)
        if not made:
            break
    return sweeps.placement, steps


class _Sweeps:
    """A placement, and what each node gains that gives one thing and takes another.

    A thing is 0 for idle room, a + 1 for a container of application a.
    """

    def __init__(
        self, problem: Problem, kind_of: IntArray, placement: IntArray, tolerance: float, few: bool
    ) -> None:
        self._few = few
        self.placement = placement.copy()
        self.gained = 0.0
        self._problem, self._kind_of = problem, kind_of
        self._left = problem.limit_most - problem.used(kind_of, placement)
        self._worth = np.empty(len(placement))
        self._value(np.arange(len(placement)))
        largest, total = float(np.abs(self._worth).max(initial=0.0)), float(np.abs(self._worth).sum())
        self._least = max(tolerance * total, SINGLE * largest)
        apps = placement.shape[1]
        self._things = apps + 1
        most = int((placement > 0).sum(axis=1).max(initial=0))
        self._rows = 2 + most  # of a node
        self._change = np.full((len(placement), self._rows, self._things), -np.inf, dtype=np.float32)
        self._gives = np.full((len(placement), self._rows), -1, dtype=np.int64)
        self._look(np.arange(len(placement)))

    def sweep(self, most: int) -> int:
        """Make the best steps on nodes that no better one has changed; return how many."""
        giving = self._givers()
        best = np.full((self._things, self._things), -np.inf, dtype=np.float32)
        flat = self._change.reshape(-1, self._things)
        for thing, rows in enumerate(giving):
            if len(rows):
                flat[rows].max(axis=0, out=best[thing])
        total = np.triu(best + best.T, 1)
        if self._few:
            total[1:, 1:] /= 2
        promising = np.flatnonzero(total.ravel() > self._least)
        values = total.ravel()[promising]
        order = np.argsort(-values, kind="stable")[: 4 * STEPS]
        free = np.ones(len(self.placement), dtype=bool)
        touched: list[int] = []
        made = 0
        for at in order.tolist():
            if made == most:
                break
            x, y = divmod(int(promising[at]), self._things)
            found = self._nodes(flat, giving, free, x, y, FALLEN * float(values[at]))
            if found is not None and self._step(*found, x, y):
                made += 1
                free[list(found[1:])] = False
                touched += found[1:]
        before = self.gained
        self._look(np.unique(np.array(touched, dtype=np.int64)))
        return made if self.gained > before else 0

    def _givers(self) -> list[IntArray]:
        """Return the rows of `_change` in which each thing is given."""
        given = self._gives.ravel()
        order = np.argsort(given, kind="stable")
        ends = np.searchsorted(given[order], np.arange(self._things + 1))
        return [order[ends[thing] : ends[thing + 1]] for thing in range(self._things)]

    def _nodes(
        self,
        flat: NDArray[np.float32],
        giving: list[IntArray],
        free: NDArray[np.bool_],
        x: int,
        y: int,
        least: float,
    ) -> tuple[float, int, int] | None:
        """Return the best step on nodes that none has changed: its gain, who gives x, and who gives y."""
        givers = giving[x][free[giving[x] // self._rows]]
        takers = giving[y][free[giving[y] // self._rows]]
        if not len(givers) or not len(takers):
            return None
        gives, takes = flat[givers, y], flat[takers, x]
        i, j = int(gives.argmax()), int(takes.argmax())
        if givers[i] // self._rows == takers[j] // self._rows:  # a node cannot exchange with itself
            if len(takers) > 1:
                takes = takes.copy()
                takes[j] = -np.inf
                j = int(takes.argmax())
            elif len(givers) > 1:
                gives = gives.copy()
                gives[i] = -np.inf
                i = int(gives.argmax())
        one, other = int(givers[i] // self._rows), int(takers[j] // self._rows)
        promised = float(gives[i]) + float(takes[j])
        return None if one == other or promised < max(least, self._least) else (promised, one, other)

    def _step(self, gain: float, i: int, j: int, x: int, y: int) -> bool:
        """Let node i give x and take y, and node j the other way round, if rules allow; whether they did."""
        problem = self._problem
        after = self.placement[[i, j]]
        for row, given, taken in ((0, x, y), (1, y, x)):
            if given:
                after[row, given - 1] -= 1
            if taken:
                after[row, taken - 1] += 1
        kinds = self._kind_of[[i, j]].tolist()
        for row, (node, kind, taken) in enumerate(zip((i, j), kinds, (y, x), strict=True)):
            if not problem.admitted(kind, after[row : row + 1])[0]:
                self._change[node, :, taken] = -np.inf  # with what it holds now
                return False
        if problem.limits:
            pair = np.array(kinds)
            left = self._left + problem.used(pair, self.placement[[i, j]]) - problem.used(pair, after)
            worse = np.minimum(self._left, 0) - np.minimum(left, 0)  # containers more beyond each limit
            hard = np.isinf(problem.limit_penalty)
            cost = float(worse[~hard] @ problem.limit_penalty[~hard])
            if (worse[hard] > 0).any() or gain - cost <= self._least:
                return False
            self._left = left
            self.gained -= cost
        self.placement[[i, j]] = after
        return True

    def _look(self, nodes: IntArray) -> None:
        """Note what each of some nodes holds, and gains by giving one thing and taking another."""
        before = float(self._worth[nodes].sum())
        self._value(nodes)
        self.gained += float(self._worth[nodes].sum()) - before
        self._widen(nodes)
        held = self.placement[nodes] > 0
        at, app = np.nonzero(held)
        count = held.sum(axis=1)
        place = 1 + np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        self._gives[nodes] = -1
        self._gives[nodes, 0] = 0
        self._gives[nodes[at], place] = app + 1
        self._change[nodes] = -np.inf
        # a row for what each node gives: nothing, then one container of each application that it holds
        of = np.concatenate([nodes, nodes[at]])
        row = np.concatenate([np.zeros(len(nodes), dtype=np.int64), place])
        given = np.concatenate([np.zeros(len(nodes), dtype=np.int64), app + 1])
        for kind in np.unique(self._kind_of[nodes]).tolist():
            own = np.flatnonzero(self._kind_of[of] == kind)
            for start in range(0, len(own), 1024):
                some = own[start : start + 1024]
                self._change[of[some], row[some]] = self._gains(kind, of[some], given[some])

    def _value(self, nodes: IntArray) -> None:
        """Note what some nodes are worth."""
        for kind in np.unique(self._kind_of[nodes]).tolist():
            own = nodes[self._kind_of[nodes] == kind]
            self._worth[own] = self._problem.worth_of(kind, self.placement[own])

    def _gains(self, kind: int, nodes: IntArray, given: IntArray) -> FloatArray:
        """Return what nodes of a kind gain that give one thing each and take another, [n, apps + 1]."""
        less = self.placement[nodes]
        holds = np.flatnonzero(given)
        less[holds, given[holds] - 1] -= 1
        found = np.empty((len(nodes), self._things))
        found[:, 0] = self._problem.worth_of(kind, less)
        after = worth_of_one_more(self._problem, kind, less)
        found[:, 1:] = np.where(room_for_one_more(self._problem, kind, less), after, -np.inf)
        found -= self._worth[nodes][:, None]
        found[np.arange(len(nodes)), given] = -np.inf  # nothing for nothing
        return found

    def _widen(self, nodes: IntArray) -> None:
        """Make room for nodes that hold more applications than any before."""
        most = 1 + int((self.placement[nodes] > 0).sum(axis=1).max(initial=0))
        if most <= self._rows:
            return
        more = ((0, 0), (0, most - self._rows))
        self._gives = np.pad(self._gives, more, constant_values=-1)
        self._change = np.pad(self._change, (*more, (0, 0)), constant_values=-np.inf)
        self._rows = most
