"""A simulator with one regressor per application: the paper's random forest, or gradient boosting."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import SMALLEST_SHARE
from metis.threads import one_thread


@dataclass(frozen=True)
class Tree:
    """One tree by its nodes; the first is the root, and a leaf leads to itself.

    Attributes:
        feature: column that a node asks for, int [nodes].
        most: value up to which the left branch is taken, float64 [nodes].
        left: node, int [nodes].
        right: node, int [nodes].
        value: of a leaf, 0 elsewhere, float64 [nodes].
    """

    feature: IntArray
    most: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray


class RegressedSimulator:
    """One regressor per application, on counts, their total and who is present.

    An application without a known value is predicted to reach what it reaches alone.
    """

    def __init__(
        self,
        settings: SimulatorSettings,
        colocations: IntArray,
        values: FloatArray,
        weights: FloatArray | None = None,
        done: Callable[[], None] | None = None,
    ) -> None:
        """Fit one regressor per application.

        Args:
            settings: which regressor, and how.
            colocations: counts, int [n, apps].
            values: shares of what is reached alone, [n, apps]; NaN where absent or unknown.
            weights: what each row counts as, [n]; None for 1 each.
            done: called after the fit of each application.
        """
        self._logs = settings.kind == "boosted"
        self._count = settings.trees
        self._models: list[Any] = []
        for a in range(colocations.shape[1]):
            known = (colocations[:, a] > 0) & np.isfinite(values[:, a])
            self._models.append(None)
            if known.any():
                targets = values[known, a]
                targets = np.log(np.maximum(targets, SMALLEST_SHARE)) if self._logs else targets
                counted = None if weights is None else weights[known]
                rows = self.features(colocations[known], self._logs)
                model = _regressor(settings)  # before: a library is limited once it is loaded
                with one_thread():
                    self._models[a] = model.fit(rows, targets, counted)
            if done:
                done()

    def predict(self, colocations: IntArray) -> FloatArray:
        """See `Simulator.predict`."""
        result = np.zeros(colocations.shape)
        features = self.features(colocations, self._logs)
        for a, model in enumerate(self._models):
            present = colocations[:, a] > 0
            if not present.any():
                continue
            if model is None:
                result[present, a] = 1.0
                continue
            with one_thread():
                predicted = model.predict(features[present])
            result[present, a] = np.exp(predicted) if self._logs else np.maximum(predicted, 0)
        return result

    def trees(self) -> tuple[list[list[Tree]], FloatArray]:
        """Return the trees of each application, as many for each, and what their leaves add to, [apps].

        The leaves of a forest add up to its mean.
        """
        own = [self._trees_of(model) for model in self._models]
        return [trees for trees, _ in own], np.array([base for _, base in own])

    def _trees_of(self, model: Any) -> tuple[list[Tree], float]:
        nothing = np.zeros(1, dtype=np.int64)
        leaf = Tree(nothing, np.zeros(1), nothing, nothing, np.zeros(1))
        if model is None:
            return [leaf] * self._count, 0.0 if self._logs else 1.0
        if not self._logs:
            return [_of_forest(one.tree_, self._count) for one in model.estimators_], 0.0
        made = [_of_boosting(one.nodes) for step in model._predictors for one in step]
        return made + [leaf] * (self._count - len(made)), float(np.ravel(model._baseline_prediction)[0])

    @staticmethod
    def features(colocations: IntArray, boosted: bool) -> FloatArray:
        """Return what regressors see of co-locations, float64 [n, features]; the forest the counts alone."""
        if not boosted:
            return colocations.astype(np.float64)
        return np.column_stack([colocations, colocations.sum(axis=1), colocations > 0]).astype(np.float64)


def _of_forest(tree: Any, count: int) -> Tree:
    """Return a tree of one of `count` regressors, whose leaves add up to their mean."""
    own = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    return Tree(
        np.where(leaf, 0, tree.feature).astype(np.int64),
        np.where(leaf, 0.0, tree.threshold),
        np.where(leaf, own, tree.children_left).astype(np.int64),
        np.where(leaf, own, tree.children_right).astype(np.int64),
        np.where(leaf, tree.value[:, 0, 0] / count, 0.0),
    )


def _of_boosting(nodes: Any) -> Tree:
    """Return a tree of boosting, by the array of nodes that scikit-learn keeps of it."""
    own = np.arange(len(nodes))
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        np.where(leaf, 0.0, nodes["num_threshold"]),
        np.where(leaf, own, nodes["left"]).astype(np.int64),
        np.where(leaf, own, nodes["right"]).astype(np.int64),
        np.where(leaf, nodes["value"], 0.0),
    )


def _regressor(settings: SimulatorSettings) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

    if settings.kind == "forest":
        return RandomForestRegressor(settings.trees, max_depth=settings.depth, random_state=settings.seed)
    return HistGradientBoostingRegressor(
        max_iter=settings.trees,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=5,
        l2_regularization=0.1,
        random_state=settings.seed,
    )
