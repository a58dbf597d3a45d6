"""The fidelity of a simulator: how well it predicts measurements that it was not fitted to."""

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray


def fidelity(
    truth: FloatArray, predicted: FloatArray, present: NDArray[np.bool_], apps: tuple[str, ...]
) -> dict[str, float]:
    """R2 and mean squared error of predictions, over present applications.

    Args:
        truth: measured values, [n, apps].
        predicted: of the same co-locations, [n, apps].
        present: what counts, bool [n, apps].
        apps: names of the columns.

    Returns:
        `r2` and `mse` over all, and `r2_<app>` of each application with two rows or more; R2 is 0 where the
        truth does not vary.
    """
    error = np.where(present, predicted - truth, 0.0)
    report = {"r2": _r2(truth[present], predicted[present]), "mse": float(np.mean(error[present] ** 2))}
    for a, app in enumerate(apps):
        rows = present[:, a]
        if rows.sum() > 1:
            report[f"r2_{app}"] = _r2(truth[rows, a], predicted[rows, a])
    return report


def _r2(truth: FloatArray, predicted: FloatArray) -> float:
    if len(truth) < 2 or np.ptp(truth) == 0:
        return 0.0
    from sklearn.metrics import r2_score  # a second that commands without a fit should not pay

    return float(r2_score(truth, predicted))
