"""A simulator with one regressor per application: the paper's random forest, or gradient boosting."""

from typing import Any

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import SMALLEST_SHARE


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
    ) -> None:
        """Fit one regressor per application.

        Args:
            settings: which regressor, and how.
            colocations: counts, int [n, apps].
            values: shares of what is reached alone, [n, apps]; NaN where absent or unknown.
            weights: what each row counts as, [n]; None for 1 each.
        """
        self._logs = settings.kind == "boosted"
        self._models: list[Any] = []
        for a in range(colocations.shape[1]):
            known = (colocations[:, a] > 0) & np.isfinite(values[:, a])
            targets = values[known, a]
            if not known.any():
                self._models.append(None)
                continue
            targets = np.log(np.maximum(targets, SMALLEST_SHARE)) if self._logs else targets
            counted = None if weights is None else weights[known]
            with _one_thread():
                model = _regressor(settings)
                self._models.append(model.fit(self._features(colocations[known]), targets, counted))

    def predict(self, colocations: IntArray) -> FloatArray:
        """See `Simulator.predict`."""
        result = np.zeros(colocations.shape)
        features = self._features(colocations)
        for a, model in enumerate(self._models):
            present = colocations[:, a] > 0
            if not present.any():
                continue
            if model is None:
                result[present, a] = 1.0
                continue
            with _one_thread():
                predicted = model.predict(features[present])
            result[present, a] = np.exp(predicted) if self._logs else np.maximum(predicted, 0)
        return result

    def _features(self, colocations: IntArray) -> FloatArray:
        # the paper's forest sees the counts alone
        if not self._logs:
            return colocations.astype(np.float64)
        return np.column_stack([colocations, colocations.sum(axis=1), colocations > 0]).astype(np.float64)


def _one_thread() -> Any:
    """Limit OpenMP to one thread: on data this small more gain nothing and may wait for each other."""
    import sklearn.ensemble  # noqa: F401 - its OpenMP must be loaded to be limited
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


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
