"""Contention for a shared resource, by the pressure of all containers of a node on it."""

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray

KNEE = 2.0
LARGEST = 40.0  # pressure beyond which limits do not fall, so that single precision holds the square of exp


def contention(pressure: FloatArray) -> FloatArray:
    """Return log(1 + exp(pressure - KNEE)), of the shape of `pressure`, so that nothing overflows."""
    beyond = pressure - KNEE
    return np.asarray(np.maximum(beyond, 0.0) + np.log1p(np.exp(-np.abs(beyond))))


def steepness(pressure: FloatArray) -> FloatArray:
    """Return the derivative of `contention`, of the shape of `pressure`."""
    return np.asarray(1.0 / (1.0 + np.exp(np.minimum(KNEE - pressure, LARGEST))))


def own_suffering(pressure: FloatArray, sensitivity: FloatArray) -> FloatArray:
    """Return the log-share that a container alone would lose to its own pressure, float64 [apps]."""
    return np.asarray((sensitivity * contention(pressure)).sum(axis=1))


def contention_of_one_more(pressure: FloatArray, of_apps: FloatArray) -> NDArray[np.float32]:
    """Return the contention with one more container of each application, float32 [n, resources, apps].

    Args:
        pressure: on each resource already, float64 [n, resources].
        of_apps: pressure of one container, float64 [apps, resources].
    """
    # log(1 + exp(P + p)) = log(1 + exp(P) exp(p)), see below
    rising = np.exp(np.minimum(pressure - KNEE, LARGEST)).astype(np.float32)
    further = np.exp(np.minimum(of_apps.T, LARGEST)).astype(np.float32)
    found = np.multiply(rising[:, :, None], further)
    found += 1
    return np.log(found, out=found)


def share_of_one_more(
    reached: FloatArray,
    pressure: FloatArray,
    of_apps: FloatArray,
    sensitivity: FloatArray,
    later: NDArray[np.bool_],
) -> FloatArray:
    """Return the share that one more container of each application reaches, to single precision, [n, apps].

    Args:
        reached: log-share before contention, float64 [n, apps].
        pressure: on each resource already, float64 [n, resources].
        of_apps: pressure of one container, float64 [apps, resources].
        sensitivity: float64 [apps, resources].
        later: of which applications it is wanted, bool [n, apps]; 0 elsewhere.
    """
    # log(1 + exp(P + p)) = log(1 + exp(P) exp(p)), in single precision: a search asks this most often
    rising = np.exp(np.minimum(pressure - KNEE, LARGEST)).astype(np.float32)
    further = np.exp(np.minimum(of_apps, LARGEST)).astype(np.float32)
    suffering = sensitivity.astype(np.float32)
    row, app = np.nonzero(later)
    log_share = reached[row, app].astype(np.float32)
    for r in range(of_apps.shape[1]):
        log_share -= np.log(1 + rising[row, r] * further[app, r]) * suffering[app, r]
    share = np.zeros(later.shape)
    share[row, app] = np.exp(log_share)
    return share
