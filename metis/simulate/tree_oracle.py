"""Forests and boosted trees for any co-location, where these are too many to tabulate.

The trees of all applications lie in one set of arrays and are walked together: a search asks for a few rows
at a time, for which the fitted regressors cost more in calls than in work. A file holds these arrays, and
nothing that would have to be unpickled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, IntArray
from metis.simulate.model_oracle import ModelOracle, fit_oracle, shares_of
from metis.simulate.regressed import RegressedSimulator, Tree
from metis.simulate.settings import SimulatorSettings

TOGETHER = 400_000  # pairs of a value and a tree that are walked together, so that they fit a cache


@dataclass(frozen=True)
class Trees:
    """Trees of one quantity; a leaf leads to itself.

    Attributes:
        roots: of the trees of each application, int [apps, trees].
        feature: column that a node asks for, int [nodes].
        most: value up to which the left branch is taken, float64 [nodes].
        left: node, int [nodes].
        right: node, int [nodes].
        value: of a leaf, float64 [nodes].
        base: what the values of an application's leaves add to, float64 [apps].
        logs: whether they add up to the logarithm of a share, and the features are those of boosting.
        alone: what each application reaches alone, float64 [apps]; NaN where that was never measured.
    """

    roots: IntArray
    feature: IntArray
    most: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray
    base: FloatArray
    logs: bool
    alone: FloatArray

    @classmethod
    def of(cls, trees: Sequence[Sequence[Tree]], base: FloatArray, logs: bool, alone: FloatArray) -> Self:
        """Put trees, as many for each application, into one set of arrays."""
        flat = [tree for own in trees for tree in own]
        sizes = np.array([len(tree.feature) for tree in flat])
        first = np.cumsum(sizes) - sizes
        joined = {
            name: np.concatenate([getattr(tree, name) for tree in flat])
            for name in ("feature", "most", "value")
        }
        links = {
            name: np.concatenate([getattr(tree, name) + at for tree, at in zip(flat, first, strict=True)])
            for name in ("left", "right")
        }
        return cls(first.reshape(len(trees), -1), **joined, **links, base=base, logs=logs, alone=alone)

    @property
    def draws(self) -> int:
        """See `metis.simulate.model_oracle.Fits.draws`: trees know nothing of their errors."""
        return 0

    def drawn(self, k: int) -> Self:
        """See `metis.simulate.model_oracle.Fits.drawn`."""
        raise IndexError(f"trees have no draw {k}")

    def spread(self, colocations: IntArray) -> FloatArray:
        """See `metis.simulate.model_oracle.Fits.spread`."""
        return np.zeros(colocations.shape)

    def shares(self, colocations: IntArray) -> FloatArray:
        """See `metis.simulate.model_oracle.Fits.shares`."""
        inputs = RegressedSimulator.features(colocations, self.logs)
        row, app = np.nonzero(colocations)
        total = np.empty(len(row))
        step = max(1, TOGETHER // self.roots.shape[1])
        for start in range(0, len(row), step):
            some = slice(start, start + step)
            total[some] = self._walked(inputs, row[some], app[some])
        total += self.base[app]
        found = np.zeros(colocations.shape)
        found[row, app] = np.exp(total) if self.logs else np.maximum(total, 0.0)
        return found

    def _walked(self, inputs: FloatArray, row: IntArray, app: IntArray) -> FloatArray:
        """Return what the leaves add up to that applications reach, [n]."""
        node = self.roots[app]
        trees = node.shape[1]
        flat = inputs.ravel()
        at = np.repeat(row * inputs.shape[1], trees)
        open_ = np.arange(node.size)
        node = node.ravel()
        here = node
        while len(open_):
            left = flat[at + self.feature[here]] <= self.most[here]
            after = np.where(left, self.left[here], self.right[here])
            moved = after != here
            node[open_] = after
            open_, at, here = open_[moved], at[moved], after[moved]
        return np.asarray(self.value[node].reshape(-1, trees).sum(axis=1))

    def arrays(self) -> dict[str, Any]:
        """See `metis.simulate.model_oracle.Fits.arrays`."""
        names = ("roots", "feature", "most", "left", "right", "value", "base", "alone")
        return {**{name: getattr(self, name) for name in names}, "logs": np.array(self.logs)}

    @classmethod
    def of_arrays(cls, stored: Mapping[str, NDArray[Any]]) -> Self:
        """See `metis.simulate.model_oracle.Fits.of_arrays`."""
        names = ("roots", "feature", "most", "left", "right", "value", "base")
        return cls(**{name: stored[name] for name in names}, logs=bool(stored["logs"]), alone=stored["alone"])


@dataclass(frozen=True)
class TreeOracle(ModelOracle):
    """An `Oracle` of trees, which know nothing of their errors."""

    fits: Mapping[str, Trees]

    FORMAT: ClassVar[str] = "metis-trees-1"
    FITS: ClassVar[type[Trees]] = Trees


def fit_tree_oracle(
    profile: Profile,
    settings: SimulatorSettings,
    quantities: Sequence[str] = ("rps",),
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TreeOracle, dict[str, float]]:
    """Fit trees to a profile; its space need not be tabulated.

    Args:
        profile: what was measured.
        settings: `forest` or `boosted`, and how.
        quantities: what to predict; the report is on the first.
        progress: called with the fits done and all.

    Returns:
        The oracle, and its report: `measured`, and of rows held out `r2` and `mse`.
    """

    def fit(chosen: IntArray, name: str, step: Callable[..., None]) -> Trees:
        weights = None if profile.weight is None else profile.weight[chosen]
        shares = shares_of(profile, name)[chosen]
        model = RegressedSimulator(settings, profile.colocations[chosen], shares, weights, step)
        return Trees.of(*model.trees(), settings.kind == "boosted", profile.alone(name))

    return fit_oracle(
        TreeOracle,
        profile,
        quantities,
        fit,
        steps=len(profile.apps),
        noise=0.0,
        held_out=settings.held_out,
        seed=settings.seed,
        progress=progress,
    )
