"""Filling clusters node after node along a beam, guided by the value network."""

from dataclasses import dataclass, field

import numpy as np

from metis.learn.value.choices import BoolArray, Choices, Limits
from metis.learn.value.episodes import worth_to_come
from metis.learn.value.network import ValueNetwork
from metis.learn.value.pricing import COOLING, Bound
from metis.learn.value.settings import DecodeSettings
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace

MOST_ROWS = 256  # partial placements kept in all, so that the beam narrows where many clusters are filled
LOSS = 2e-4  # share of the bound that filling in bulk may cost


@dataclass(frozen=True)
class Kind:
    """Nodes that hold the same existing containers.

    Attributes:
        held: those containers, [apps].
        nodes: how many such nodes.
    """

    held: IntArray
    nodes: int


@dataclass(frozen=True)
class Filled:
    """Clusters filled side by side.

    Attributes:
        ends: ids of the co-locations the nodes end with, [clusters, nodes], in the order of the kinds of
            node; -1 where a cluster's group cannot be placed.
        worth: of each cluster, float64 [clusters]; -inf where its group cannot be placed.
        bound: no mean of the clusters' worth can be higher, as far as the prices prove; inf without.
    """

    ends: IntArray
    worth: FloatArray
    bound: float


@dataclass(frozen=True)
class Filler:
    """Fills clusters with groups along a beam of partial placements.

    Attributes:
        network: V and prices.
        space: the co-locations.
        table: their worth in the network's unit, float64 [size], 0 when empty.
        vacancy: bonus of an empty node, in the same unit.
        allowed: co-locations a node may end with, bool [size].
        decode: width of the beam and how it goes on.
    """

    network: ValueNetwork
    space: ColocationSpace
    table: FloatArray
    vacancy: float
    allowed: BoolArray
    decode: DecodeSettings = field(default_factory=DecodeSettings)

    def fill(self, groups: IntArray, kinds: list[Kind]) -> "Filled":
        """Place every group on a cluster of its own, all side by side.

        Args:
            groups: containers to place, [clusters, apps]; each cluster has the nodes of `kinds`.
            kinds: nodes by what they hold, in the order in which they are filled.
        """
        limits = Limits(self.space, self.allowed)
        beams = _Beams.of(groups, kinds)
        history: list[_Step] = []
        ahead = [(self._choices(kind, limits), kind.nodes) for kind in kinds]
        guide: _Guide | None = None
        bound = np.inf
        while ahead and len(beams.problem):
            left = sum(nodes for _, nodes in ahead)
            if self.decode.sharpen and (guide is None or left <= guide.until):
                guide = self._guide(beams, ahead, left, guide)
                bound = min(bound, guide.worth) if not history else bound
            if guide is not None and len(groups) == 1 and left > self.decode.fine:
                steps, beams, guide = self._bulk(beams, ahead, left, guide)
            else:
                steps = []
            if not steps:
                take = 1 if self.decode.sharpen else max(1, min(ahead[0][1], left // self.decode.fine))
                step, beams = self._advance(beams, ahead, take, left, guide)
                steps = [step]
            history += steps
            ahead = _remaining(ahead, sum(step.take for step in steps))
        ends, worth = self._trace_back(beams, history, len(groups), sum(kind.nodes for kind in kinds))
        return Filled(ends, worth, bound)

    def _choices(self, kind: Kind, limits: Limits) -> Choices:
        admitted = self.allowed & (self.space.counts >= kind.held).all(axis=1)
        admitted[self.space.index(kind.held)] = True  # a node that receives nothing stays as it is
        return Choices(self.space, self.table.astype(np.float32), admitted, limits, kind.held)

    def _guide(
        self, beams: "_Beams", ahead: list[tuple[Choices, int]], left: int, last: "_Guide | None"
    ) -> "_Guide":
        """Sharpen prices on the best partial placement of every cluster, taken together."""
        first = np.unique(beams.problem, return_index=True)[1]
        rest = beams.rest[first].mean(axis=0)
        # a co-location larger than what remains can be in no placement, so the bound may leave it out
        most = beams.rest.max(axis=0)
        bound = Bound.of(ahead, self.vacancy, most)
        if last is None:
            bonus = np.full(1, self.vacancy, dtype=np.float32)
            start = self.network.prices(np.round(rest).astype(np.int64)[None], np.array([left]), bonus)[
                0, :-1
            ]
            prices, shares = bound.sharpen(start.astype(np.float64), rest)
        else:
            prices, shares = bound.sharpen(last.prices, rest, COOLING[-4:])
        worth = float(beams.gained[first].mean()) + bound.value(prices, rest)
        return _Guide(prices, bound.rents(prices), shares, bound, worth, left - max(1, left // 8))

    def _bulk(
        self, beams: "_Beams", ahead: list[tuple[Choices, int]], left: int, guide: "_Guide"
    ) -> "tuple[list[_Step], _Beams, _Guide]":
        """Fill most nodes of the first kind as the fractional filling says, all but `fine` of the cluster's.

        The shares are rounded and need not make up the group exactly, so the bound is computed again: where
        it fell, a smaller part is filled. No step when there is nothing to fill.
        """
        nodes = ahead[0][1]
        spare = nodes - -(-nodes * self.decode.fine // left)
        steps, filled = self._rounded(beams, ahead, left, guide, spare)
        while steps:
            take = sum(step.take for step in steps)
            if take == left:
                break
            onward = self._guide(filled, _remaining(ahead, take), left - take, guide)
            if onward.worth >= guide.worth - LOSS * abs(guide.worth):
                return steps, filled, onward
            spare = min(spare, take) // 2
            steps, filled = self._rounded(beams, ahead, left, guide, spare)
        return steps, filled, guide

    def _rounded(
        self, beams: "_Beams", ahead: list[tuple[Choices, int]], left: int, guide: "_Guide", spare: int
    ) -> "tuple[list[_Step], _Beams]":
        """Return the shares of `spare` nodes of the first kind, rounded down, as steps; and what follows."""
        choices = ahead[0][0]
        edges = np.r_[guide.bound.starts, len(guide.shares)]
        # the guide may still hold kinds that were filled since it was made
        first = len(guide.bound.starts) - len(ahead)
        part = slice(edges[first], edges[first + 1])
        whole = np.floor(guide.shares[part] * spare + 1e-6).astype(np.int64)
        columns = np.flatnonzero(whole)
        ids = self.space.index(guide.bound.counts[part][columns].astype(np.int64))
        rest, gained, done = beams.rest[0], beams.gained[0], 0
        steps: list[_Step] = []
        for i in np.argsort(-whole[columns], kind="stable"):
            take = int(whole[columns[i]])
            onward = rest - take * self.space.counts[ids[i]]
            enough = (onward >= beams.held - (done + take) * choices.held).all()
            if enough and choices.limits.unplaceable(onward, left - done - take) is None:
                gained += take * (self.table[ids[i]] + (self.vacancy if ids[i] == 0 else 0.0))
                rest, done = onward, done + take
                steps.append(_Step(take, np.zeros(1, dtype=np.int64), ids[i : i + 1]))
        held = beams.held - done * choices.held
        return steps, _Beams(beams.problem[:1], rest[None], np.array([gained]), held)

    def _advance(
        self,
        beams: "_Beams",
        ahead: list[tuple[Choices, int]],
        take: int,
        left: int,
        guide: "_Guide | None",
    ) -> "tuple[_Step, _Beams]":
        choices = ahead[0][0]
        rows = len(beams.rest)
        bonus = np.full(rows, self.vacancy, dtype=np.float32)
        if guide is None:
            prices = self.network.prices(beams.rest, np.full(rows, left), bonus)[:, :-1]
        else:
            prices = np.tile(guide.prices.astype(np.float32), (rows, 1))
        most = (beams.rest - beams.held) // take + choices.held
        fits = (most, beams.rest, np.full(rows, left), take)
        picks, valid = choices.best(prices, bonus, fits, self.decode.candidates)
        row, column = np.nonzero(valid)
        picked = picks[row, column]
        ids = choices.ids[picked]
        rest = beams.rest[row] - take * choices.counts[picked]
        gained = beams.gained[row] + take * (self.table[ids] + np.where(ids == 0, self.vacancy, 0))
        to_come = self._to_come(rest, _remaining(ahead, take), guide)
        clusters = len(np.unique(beams.problem))
        width = max(2, min(self.decode.beam, MOST_ROWS // clusters)) if clusters > 1 else self.decode.beam
        kept = _best_distinct(beams.problem[row], rest, gained + to_come, width)
        held = beams.held - take * choices.held
        step = _Step(take, row[kept], ids[kept])
        return step, _Beams(beams.problem[row[kept]], rest[kept], gained[kept], held)

    def _to_come(
        self, rest: IntArray, ahead: list[tuple[Choices, int]], guide: "_Guide | None"
    ) -> FloatArray:
        """Return the worth of the nodes ahead if they hold `rest` [n, apps], [n]: V, capped by the bound.

        With more than `fine` nodes ahead the bound is the better judge: V has not seen so many.
        """
        left = sum(nodes for _, nodes in ahead)
        bonus = np.full(len(rest), self.vacancy, dtype=np.float32)
        most = np.full(len(rest), np.inf)
        if guide is not None and left > 1:
            rents = guide.rents[len(guide.rents) - len(ahead) :]
            most = rest @ guide.prices + sum(n * rent for (_, n), rent in zip(ahead, rents, strict=True))
            if left > self.decode.fine:
                return np.asarray(most)
        value = worth_to_come(self.network, self.space, self.table, rest, np.full(len(rest), left), bonus)
        return np.asarray(np.minimum(value, most))

    def _trace_back(
        self, beams: "_Beams", history: "list[_Step]", groups: int, nodes: int
    ) -> tuple[IntArray, FloatArray]:
        worth = np.full(groups, -np.inf)
        # rows are sorted by problem, best first: the first of each is its best
        problem, row = np.unique(beams.problem, return_index=True)
        worth[problem] = beams.gained[row]
        ends = np.full((groups, nodes), -1, dtype=np.int64)
        end = nodes
        for step in reversed(history):
            if len(row):
                ends[problem, end - step.take : end] = step.ids[row][:, None]
                row = step.parent[row]
            end -= step.take
        return ends, worth


@dataclass(frozen=True)
class _Step:
    """`take` nodes got co-location `ids` [rows]; each row went on from row `parent` [rows]."""

    take: int
    parent: IntArray
    ids: IntArray


@dataclass(frozen=True)
class _Guide:
    """Sharpened prices, and what follows from them; made anew once `until` nodes are left.

    `prices` [apps], the rent of each kind of node `rents` [kinds], the fractional filling `shares`
    [columns], and the bound on what the best partial placement can come to, `worth`.
    """

    prices: FloatArray
    rents: FloatArray
    shares: FloatArray
    bound: Bound
    worth: float
    until: int


@dataclass(frozen=True)
class _Beams:
    """Partial placements, one a row, of several clusters filled side by side.

    `rest` counts what the nodes still to fill will hold in the end: the new containers and `held`, the
    existing ones on those nodes, which are the same for every row.
    """

    problem: IntArray
    rest: IntArray
    gained: FloatArray
    held: IntArray

    @classmethod
    def of(cls, groups: IntArray, kinds: list[Kind]) -> "_Beams":
        held = np.sum([kind.held * kind.nodes for kind in kinds], axis=0)
        return cls(np.arange(len(groups)), groups + held, np.zeros(len(groups)), held)


def _remaining(ahead: list[tuple[Choices, int]], take: int) -> list[tuple[Choices, int]]:
    """Return the kinds of node ahead after `take` more nodes of the first were filled."""
    choices, nodes = ahead[0]
    return ahead[1:] if nodes == take else [(choices, nodes - take), *ahead[1:]]


def _best_distinct(problem: IntArray, rest: IntArray, scores: FloatArray, keep: int) -> IntArray:
    """Return rows of the `keep` best scores per problem, none with the same `rest` as another; sorted."""
    order = np.lexsort((-scores, problem))
    # the order in which nodes were filled does not matter: one row per (problem, rest), by a hash
    odd = np.random.default_rng(1).integers(1 << 62, size=rest.shape[1] + 1) * 2 + 1
    with np.errstate(over="ignore"):
        keys = (rest * odd[:-1]).sum(axis=1) + problem * odd[-1]
    _, first = np.unique(keys[order], return_index=True)
    order = order[np.sort(first)]
    groups = problem[order]
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else order
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
    return np.asarray(order[rank < keep])
