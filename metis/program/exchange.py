"""Exchange: the best move or swap of containers between two nodes by an oracle, until none helps."""

from collections.abc import Iterator
from time import perf_counter

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.program.exchange_sweeps import Report, exchange_in_sweeps
from metis.program.growth import growing_worth

REPORT_EVERY = 500  # steps
DENSE = 50_000_000  # steps of all nodes whose gains are kept, 8 bytes each; beyond, see `exchange_in_sweeps`
QUICK = 1_000_000  # the same where a worth knows its growth, so that sweeps cost a fifth


def exchange(
    problem: Problem,
    kind_of: IntArray,
    placement: IntArray,
    max_steps: int = 100_000,
    tolerance: float = 1e-12,
    report: Report | None = None,
    until: float = np.inf,
) -> tuple[IntArray, int]:
    """Improve a placement by best-improvement steps, of thousands of nodes many at once.

    A move is a swap with idle room: idle is one more thing to give or take. A node gives only what it
    received, so of many applications few rows are evaluated: those that it gives times all that it may take.

    Args:
        problem: what is placed where.
        kind_of: kind of each node, int [nodes].
        placement: new containers, int [nodes, apps].
        max_steps: moves and swaps at most.
        tolerance: a step must gain more than this share of the value, so that rounding never loops.
        report: called now and then with the steps made and what they gained.
        until: time by `perf_counter` after which no more are made.

    Returns:
        The placement, and the steps made.
    """
    gains = len(placement) * (placement.shape[1] + 1) ** 2
    known = all(growing_worth(problem, kind) is not None for kind in range(problem.kinds))
    if gains > (QUICK if known else DENSE):
        return exchange_in_sweeps(problem, kind_of, placement, max_steps, tolerance, report, until)
    if perf_counter() > until:
        return placement.copy(), 0
    new = placement.copy()
    search = _Search(problem, kind_of)
    change = np.concatenate([search.gains(np.array([i]), new) for i in range(len(new))])
    smallest = tolerance * max(abs(problem.value(kind_of, new)), 1e-300)
    limits = _Limits(problem, kind_of, new, change) if problem.limits else None
    best = _Best(change, np.arange(len(new)))
    steps, gained = 0, 0.0
    while steps < max_steps and perf_counter() <= until:
        gain, i, j, x, y = best.step() if limits is None else limits.best_step(smallest)
        if gain <= smallest:
            break
        for node, given, taken in ((i, x, y), (j, y, x)):
            if given:
                new[node, given - 1] -= 1
            if taken:
                new[node, taken - 1] += 1
        if limits is not None:
            limits.note(i, j, x, y)
        pair = np.array([i, j])
        change[pair] = search.gains(pair, new)
        if limits is None:
            best.update(pair)
        else:
            limits.update(pair)
        steps, gained = steps + 1, gained + gain
        if report and steps % REPORT_EVERY == 0:
            report(steps, gained)
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


class _Best:
    """The best of some nodes for each step, kept up to date as nodes change; ties go to the first node."""

    def __init__(self, change: FloatArray, nodes: IntArray) -> None:
        self._flat, self._nodes, self._things = change.reshape(len(change), -1), nodes, change.shape[1]
        self._columns = np.arange(self._things**2)
        self.back = self._columns.reshape(self._things, self._things).T.ravel()
        self.first = nodes[self._flat[nodes].argmax(axis=0)]
        self.value = self._flat[self.first, self._columns]

    def update(self, nodes: IntArray) -> None:
        """Note that the gains of some of the nodes have changed."""
        for node in nodes.tolist():
            row = self._flat[node]
            stale = np.flatnonzero((self.first == node) & (row < self.value))
            better = (row > self.value) | ((row == self.value) & (node < self.first))
            self.value[better], self.first[better] = row[better], node
            if len(stale):
                among = self._flat[np.ix_(self._nodes, stale)]
                self.first[stale] = self._nodes[among.argmax(axis=0)]
                self.value[stale] = among.max(axis=0)

    def step(self) -> tuple[float, int, int, int, int]:
        """Return gain, nodes i and j, and things x and y: i gives x and takes y, j the other way round."""
        partner = self.first[self.back].copy()
        total = self.value + self.value[self.back]
        # where giver and taker are the same node, one of them must be the second best
        same = (self.first == partner) & (total > -np.inf)
        least = total[~same].max(initial=-np.inf)
        for c in np.flatnonzero(same & (total >= least)).tolist():
            others = self._flat[:, self.back[c]].copy()
            others[self.first[c]] = -np.inf
            partner[c] = others.argmax()
            total[c] = self.value[c] + others[partner[c]]
        total[same & (total < least)] = -np.inf  # which could not be the best, and were not looked at
        c = int(total.argmax())
        return float(total[c]), int(self.first[c]), int(partner[c]), c // self._things, c % self._things


class _Limits:
    """The limits on a placement, by which steps between zones are allowed, or cost what soft ones take."""

    def __init__(self, problem: Problem, kind_of: IntArray, placement: IntArray, change: FloatArray) -> None:
        self._problem, self._flat, self._things = problem, change.reshape(len(change), -1), change.shape[1]
        zone_of = problem.zones[kind_of]
        self._zones = [np.flatnonzero(zone_of == zone) for zone in np.unique(zone_of)]
        self._zone_of = np.searchsorted(np.unique(zone_of), zone_of)
        first = [int(kind_of[nodes[0]]) for nodes in self._zones]
        # whether a thing, 0 for idle room, counts in a zone, [limits, zones, apps + 1]
        self._under = np.pad(problem.limit_where[:, first], ((0, 0), (0, 0), (1, 0))).astype(np.int64)
        self._left = problem.limit_most - problem.used(kind_of, placement)
        self._best = [_Best(change, nodes) for nodes in self._zones]

    def update(self, nodes: IntArray) -> None:
        """Note that the gains of some nodes have changed."""
        for node in nodes.tolist():
            self._best[int(self._zone_of[node])].update(np.array([node]))

    def best_step(self, least: float) -> tuple[float, int, int, int, int]:
        """Return the best step as `_Best.step` does, of those that the limits allow, with what they cost.

        For every step the best node of each zone is known; the steps that promise most are looked at first.
        """
        flat, back = self._flat, self._best[0].back
        best_in = np.stack([one.value for one in self._best])
        highest = best_in.max(axis=0)
        promise = highest + highest[back] + self._relief()
        found = (-np.inf, 0, 0, 0, 0)
        for c in np.argsort(-promise, kind="stable").tolist():
            if promise[c] <= max(found[0], least):
                break
            x, y = divmod(c, self._things)
            total = best_in[:, c][:, None] + best_in[:, back[c]] - self._cost(x, y)
            for at in np.argsort(-total, axis=None, kind="stable").tolist():
                one, other = divmod(at, len(self._zones))
                if total[one, other] <= max(found[0], least):
                    break
                cost = best_in[one, c] + best_in[other, back[c]] - total[one, other]
                for i, j in self._nodes(flat, one, other, c, int(back[c])):
                    gain = float(flat[i, c] + flat[j, back[c]] - cost)
                    if gain > found[0]:
                        found = (gain, i, j, x, y)
        return found

    def note(self, i: int, j: int, x: int, y: int) -> None:
        """Note a step: node i gave x and took y, node j the other way round."""
        self._left = self._left - self._change(x, y)[:, self._zone_of[i], self._zone_of[j]]

    def _nodes(self, flat: FloatArray, one: int, other: int, c: int, back: int) -> Iterator[tuple[int, int]]:
        """Yield the best nodes of two zones for a step and its counterpart, not the same one twice."""
        givers, takers = self._zones[one], self._zones[other]
        i, j = int(givers[flat[givers, c].argmax()]), int(takers[flat[takers, back].argmax()])
        if i != j:
            yield i, j
            return
        givers, takers = givers[givers != i], takers[takers != j]
        if len(takers):
            yield i, int(takers[flat[takers, back].argmax()])
        if len(givers):
            yield int(givers[flat[givers, c].argmax()]), j

    def _change(self, x: int, y: int) -> IntArray:
        """Return by how much each limit is used more by a step between zones, int [limits, zones, zones]."""
        comes = self._under[:, :, y] - self._under[:, :, x]
        return np.asarray(comes[:, :, None] - comes[:, None, :])

    def _cost(self, x: int, y: int) -> FloatArray:
        """Return what the limits take for a step between zones, infinity where one forbids it."""
        own = np.flatnonzero(self._under[:, :, [x, y]].any(axis=(1, 2)))
        after = self._left[own, None, None] - self._change(x, y)[own]
        before = np.minimum(self._left[own], 0)[:, None, None]
        worse = before - np.minimum(after, 0)  # containers more beyond the limit, negative where fewer
        penalty = self._problem.limit_penalty[own]
        soft = np.where(np.isinf(penalty), 0.0, penalty)
        forbidden = ((worse > 0) & np.isinf(penalty)[:, None, None]).any(axis=0)
        return np.asarray(np.where(forbidden, np.inf, (worse * soft[:, None, None]).sum(axis=0)))

    def _relief(self) -> float:
        """Return what one step can save at most: two containers back within soft limits."""
        over = (self._left < 0) & np.isfinite(self._problem.limit_penalty)
        return 2.0 * float(self._problem.limit_penalty[over].sum())
