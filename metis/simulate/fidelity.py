"""How well a simulator predicts measurements that it was not fitted to."""

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray


def fidelity(
    truth: FloatArray, predicted: FloatArray, present: NDArray[np.bool_], apps: tuple[str, ...]
) -> dict[str, float]:
    """R2 and MSE of `predicted` against `truth` [n, apps] over present applications, and R2 of each."""
    error = np.where(present, predicted - truth, 0.0)
    report = {"r2": _r2(truth[present], error[present]), "mse": float(np.mean(error[present] ** 2))}
    for a, app in enumerate(apps):
        rows = present[:, a]
        if rows.sum() > 1:
            report[f"r2_{app}"] = _r2(truth[rows, a], error[rows, a])
    return report


def _r2(truth: FloatArray, error: FloatArray) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float((error**2).sum()) / spread if spread > 0 else 0.0
