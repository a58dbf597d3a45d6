"""Fill clusters node after node along a beam, guided by the value network."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from metis.learning.value.choices import BoolArray, Choices, Limits
from metis.learning.value.episodes import after
from metis.learning.value.network import Float32Array, ValueNetwork
from metis.problem import FloatArray
from metis.space import ColocationSpace, IntArray


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
class Filler:
    """What filling needs to know besides the group.

    Attributes:
        network: V and prices.
        space: the co-locations.
        table: their worth in the network's unit, float64 [size], 0 when empty.
        vacancy: bonus of an empty node, in the same unit.
        allowed: co-locations a node may end with, bool [size].
        beam: partial placements kept; `candidates` of each are rescored per step.
        candidates: see `beam`.
        grain: a step fills 1 / grain of the nodes left (one, when fewer are left) with one co-location.
    """

    network: ValueNetwork
    space: ColocationSpace
    table: FloatArray
    vacancy: float
    allowed: BoolArray
    beam: int = 16
    candidates: int = 32
    grain: int = 32

    def fill(self, groups: IntArray, kinds: list[Kind]) -> tuple[IntArray, FloatArray]:
        """Place every group on a cluster of its own, all side by side.

        Args:
            groups: containers to place, [clusters, apps]; each cluster has the nodes of `kinds`.
            kinds: nodes by what they hold, in the order in which they are filled.

        Returns:
            Ids of the co-locations the nodes end with, [clusters, nodes], in the order of `kinds`, -1
            where a cluster's group cannot be placed; and each cluster's worth, float64 [clusters].
        """
        limits = Limits(self.space, self.allowed)
        beams = _Beams.of(groups, kinds)
        left = sum(kind.nodes for kind in kinds)
        history: list[tuple[int, IntArray, IntArray]] = []
        for kind, takes in self._schedule(kinds, left):
            choices = self._choices(kind, limits)
            for take in takes:
                if len(beams.problem) == 0:
                    break
                parent, picked, beams = self._advance(beams, choices, kind, take, left)
                history.append((take, parent, picked))
                left -= take
        return self._trace_back(beams, history, len(groups), sum(kind.nodes for kind in kinds))

    def _schedule(self, kinds: list[Kind], nodes: int) -> Iterator[tuple[Kind, list[int]]]:
        for kind in kinds:
            takes, todo = [], kind.nodes
            while todo:
                take = min(todo, max(1, nodes // self.grain))
                takes.append(take)
                todo -= take
                nodes -= take
            yield kind, takes

    def _choices(self, kind: Kind, limits: Limits) -> Choices:
        admitted = self.allowed & (self.space.counts >= kind.held).all(axis=1)
        admitted[self.space.index(kind.held)] = True  # a node that receives nothing stays as it is
        return Choices(self.space, self.table.astype(np.float32), admitted, limits)

    def _advance(
        self, beams: "_Beams", choices: Choices, kind: Kind, take: int, left: int
    ) -> tuple[IntArray, IntArray, "_Beams"]:
        rows, apps = beams.rest.shape
        nodes = np.full(rows, left)
        bonus = np.full(rows, self.vacancy, dtype=np.float32)
        prices = self.network.prices(beams.rest, nodes, bonus)[:, :-1]
        most = (beams.rest - beams.held) // take + kind.held
        picks, valid = choices.best(prices, bonus, (most, beams.rest, nodes, take), self.candidates)
        row, column = np.nonzero(valid)
        picked = picks[row, column]
        ids = choices.ids[picked]
        rest = beams.rest[row] - take * choices.counts[picked]
        gained = beams.gained[row] + take * (self.table[ids] + np.where(ids == 0, self.vacancy, 0))
        to_come = after(
            self.network,
            self.space,
            self.table,
            rest,
            np.full(len(rest), left - take),
            np.full(len(rest), self.vacancy, dtype=np.float32),
        )
        kept = _best_distinct(beams.problem[row], rest, gained + to_come, self.beam)
        held = beams.held - take * kind.held
        return row[kept], ids[kept], _Beams(beams.problem[row[kept]], rest[kept], gained[kept], held)

    def _trace_back(
        self, beams: "_Beams", history: list[tuple[int, IntArray, IntArray]], groups: int, nodes: int
    ) -> tuple[IntArray, FloatArray]:
        worth = np.full(groups, -np.inf)
        # rows are sorted by problem, best first: the first of each is its best
        problem, row = np.unique(beams.problem, return_index=True)
        worth[problem] = beams.gained[row]
        ends = np.full((groups, nodes), -1, dtype=np.int64)
        end = nodes
        for take, parent, ids in reversed(history):
            if len(row):
                ends[problem, end - take : end] = ids[row][:, None]
                row = parent[row]
            end -= take
        return ends, worth


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


def _best_distinct(problem: IntArray, rest: IntArray, scores: FloatArray, keep: int) -> IntArray:
    """Rows of the `keep` best scores per problem, no two of one problem with the same `rest`; sorted."""
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
