"""Prices sharpened on the group at hand, the bound they prove, and the fractional filling they suggest.

Any prices bound what a cluster can be worth: no placement exceeds
    B(prices) = prices . r + sum over nodes of max over co-locations s of (worth(s) - prices . s).
The network's prices are near the best for any group at once; a few Newton steps on B, smoothed by a
falling temperature, take them to the best for this one. It is a convex problem in as many unknowns as
there are applications: no linear or integer program is solved, but where there are very many
co-locations the linear relaxation, by column generation, is sooner at hand.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from metis.learn.value.choices import Choices
from metis.problem.counts import FloatArray, IntArray

COOLING = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002)
WIDE = 100_000  # columns from which on few of them are looked at
FEW = 4_000  # of them
BALANCE = 0.005  # share of the containers by which a fractional filling may miss the group


@dataclass(frozen=True)
class Bound:
    """B for the nodes still to fill, by kind of node.

    Attributes:
        counts: co-locations of the first kind, then of the second, ..., [columns, apps].
        worth: their worth, [columns].
        starts: where each kind begins, [kinds].
        nodes: nodes of each kind, [kinds].
    """

    counts: FloatArray
    worth: FloatArray
    starts: IntArray
    nodes: FloatArray

    @classmethod
    def of(cls, kinds: list[tuple[Choices, int]], vacancy: float, most: IntArray) -> "Bound":
        """Make the bound for nodes of these kinds, of co-locations that hold no more than `most` [apps]."""
        counts, worth = [], []
        for choices, _ in kinds:
            fit = (choices.counts <= most).all(axis=1)
            counts.append(choices.counts[fit].astype(np.float64))
            worth.append(choices.worth[fit].astype(np.float64))
            worth[-1][choices.ids[fit] == 0] += vacancy
        sizes = np.array([len(part) for part in worth])
        return cls(
            np.concatenate(counts),
            np.concatenate(worth),
            np.cumsum(sizes) - sizes,
            np.array([nodes for _, nodes in kinds], dtype=np.float64),
        )

    def rents(self, prices: FloatArray) -> FloatArray:
        """Return what a node of each kind is worth above the prices of what it holds, [kinds]."""
        return np.asarray(np.maximum.reduceat(self.worth - self.counts @ prices, self.starts))

    def value(self, prices: FloatArray, rest: FloatArray) -> float:
        """Return B for `rest` [apps]."""
        return float(prices @ rest + self.nodes @ self.rents(prices))

    def sharpen(
        self, prices: FloatArray, rest: FloatArray, cooling: tuple[float, ...] = COOLING, steps: int = 10
    ) -> tuple[FloatArray, FloatArray]:
        """Find prices near the least bound for `rest`, [apps], and columns' shares of their kind, [columns].

        Args:
            prices: where to begin.
            rest: containers to be held by these nodes, [apps].
            cooling: temperatures of the smoothed maximum, at most `steps` Newton steps at each.
            steps: see `cooling`.
        """
        if len(self.worth) > WIDE:
            return self._sharpen_wide(prices, rest, cooling, steps)
        return self._sharpen(prices, rest, cooling, steps)

    def _sharpen(
        self, prices: FloatArray, rest: FloatArray, cooling: tuple[float, ...], steps: int
    ) -> tuple[FloatArray, FloatArray]:
        """Sharpen on all columns."""
        best, least = prices, self.value(prices, rest)
        shares, nearest = self._softmax(prices, cooling[0]).shares, np.inf
        for heat in cooling:
            here = self._softmax(prices, heat)
            # the cooler the fewer co-locations have a share; but the shares must make up the rest
            for _ in range(steps):
                before = prices
                prices, here = self._newton(prices, rest, heat, here)
                held = self._weights(here.shares) @ self.counts
                missed = float(np.abs(rest - held).sum() / (1 + rest.sum()))
                if missed <= BALANCE or prices is before:
                    break
            value = self.value(prices, rest)
            if value < least:
                best, least = prices, value
            if missed <= max(nearest, BALANCE):
                shares, nearest = here.shares, missed
        return best, shares

    def _sharpen_wide(
        self, prices: FloatArray, rest: FloatArray, cooling: tuple[float, ...], steps: int
    ) -> tuple[FloatArray, FloatArray]:
        """Sharpen on the columns that matter: those of the linear relaxation, later those near its prices."""
        if len(cooling) == len(COOLING):
            return self._relaxed(rest)
        net = self.worth - self.counts @ prices
        short = np.repeat(np.maximum.reduceat(net, self.starts), self._sizes) - net
        few = np.flatnonzero(short <= np.partition(short, FEW)[FEW])  # the best of every kind are among them
        part = Bound(self.counts[few], self.worth[few], np.searchsorted(few, self.starts), self.nodes)
        prices, some = part._sharpen(prices, rest, cooling, steps)
        shares = np.zeros(len(net))
        shares[few] = some
        return prices, shares

    def _relaxed(self, rest: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return prices and shares of the linear relaxation, which solves few of many columns at a time."""
        from scipy import sparse  # scipy: half a second that few commands need

        from metis.program.relaxation import solve_relaxation

        kind = np.repeat(np.arange(len(self.starts)), self._sizes)
        one = sparse.csr_array((np.ones(len(kind)), (np.arange(len(kind)), kind)))
        matrix = sparse.csr_array(sparse.hstack([sparse.csr_array(self.counts), one]))
        x, duals = solve_relaxation(-self.worth, matrix, np.concatenate([rest, self.nodes]))
        return -duals[: len(rest)], np.asarray(x / self.nodes[kind])

    @cached_property
    def _sizes(self) -> IntArray:
        """Columns of each kind, [kinds]."""
        return np.diff(np.append(self.starts, len(self.worth)))

    def _weights(self, shares: FloatArray) -> FloatArray:
        """Return the nodes that hold each column, [columns]."""
        return np.asarray(shares * np.repeat(self.nodes, self._sizes))

    def _newton(
        self, prices: FloatArray, rest: FloatArray, heat: float, here: "_Smooth"
    ) -> "tuple[FloatArray, _Smooth]":
        """Take one step; return the prices and what they smooth to, those given where no step is better."""
        weights = self._weights(here.shares)
        held = np.flatnonzero(weights > 1e-9)
        counts, weights = self.counts[held], weights[held]
        gradient = rest - weights @ counts
        kind = np.searchsorted(self.starts, held, side="right") - 1
        means = np.zeros((len(self.starts), len(prices)))
        np.add.at(means, kind, here.shares[held][:, None] * counts)
        spread = counts - means[kind]
        curvature = (spread * weights[:, None]).T @ spread / heat
        curvature += np.eye(len(prices)) * (1e-4 * self.nodes.sum() / heat)
        step = np.linalg.solve(curvature, -gradient)
        value, slope, length = here.rent + float(prices @ rest), float(gradient @ step), 1.0
        while length > 1e-3:
            moved = prices + length * step
            there = self._softmax(moved, heat)
            if float(moved @ rest) + there.rent <= value + 1e-4 * length * slope:
                return moved, there
            length /= 2
        return prices, here

    def _softmax(self, prices: FloatArray, heat: float) -> "_Smooth":
        net = self.worth - self.counts @ prices
        top = np.maximum.reduceat(net, self.starts)
        shares = np.exp((net - np.repeat(top, self._sizes)) / heat)
        sums = np.add.reduceat(shares, self.starts)
        rent = float(self.nodes @ (top + heat * np.log(sums)))
        return _Smooth(rent, shares / np.repeat(sums, self._sizes))


class _Smooth(NamedTuple):
    """The sum of the rents, smoothed, and each column's share of its kind, [columns]."""

    rent: float
    shares: FloatArray
