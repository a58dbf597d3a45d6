"""A Gaussian process for one application and one quantity, over the containers that share its node.

Its target is the logarithm of the quantity's share of what the application reaches alone, for RPS: log-RPS.
The covariance of two co-locations states what is expected before anything is measured: every neighbour costs
a little (linear), its presence changes things once (presence), and all bends smoothly with counts and total
(Matern 5/2, one length per count). On top, each co-location has a deviation of its own, independent of all
others, and each measurement its noise. Alone, the target is 0 by definition.
Hyperparameters maximise the marginal likelihood under log-normal priors (Rasmussen and Williams, Gaussian
Processes for Machine Learning, 2006, chapters 2 and 5).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.optimize import minimize

from metis.problem.counts import FloatArray, IntArray

JITTER = 1e-7  # variance added so that a Cholesky decomposition succeeds
ROOT5 = float(np.sqrt(5.0))
FREQUENCIES = 256  # of the smooth part, when a function is drawn

# medians of the priors on the hyperparameters (variances of the target; lengths in `_stretched` counts)
PER_CONTAINER, PER_PRESENCE, SMOOTH, LENGTH, OWN = 0.05**2, 0.1**2, 0.15**2, 4.0, 0.05**2


class Features(NamedTuple):
    """The inputs of the covariance, for n co-locations."""

    neighbours: FloatArray  # [n, apps] containers beside one of this application
    beside: FloatArray  # [n, apps] 1 where there is any
    bent: FloatArray  # [n, apps + 1] counts and total, stretched where they are small


class _Variances(NamedTuple):
    """Hyperparameters in natural units."""

    container: FloatArray  # [apps]
    presence: FloatArray  # [apps]
    smooth: float
    lengths: FloatArray  # [apps + 1]
    own: float


def prior(apps: int) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the logarithms of the hyperparameters, [3 apps + 3] each."""
    medians = [PER_CONTAINER] * apps + [PER_PRESENCE] * apps + [SMOOTH] + [LENGTH] * (apps + 1) + [OWN]
    widths = [1.0] * (2 * apps + 1) + [0.5] * (apps + 1) + [1.0]
    return np.log(medians), np.array(widths)


def features(colocations: IntArray, app: int) -> Features:
    """The features of co-locations [n, apps] in which `app` is present."""
    neighbours = colocations.astype(np.float64)
    neighbours[:, app] -= 1
    total = neighbours.sum(axis=1, keepdims=True)
    return Features(neighbours, (neighbours > 0).astype(np.float64), _stretched(neighbours, total))


@dataclass(frozen=True)
class Process:
    """A process conditioned on observations; `fit_process` makes it.

    Attributes:
        theta: logarithms of the hyperparameters, [3 apps + 3].
        seen: features of the observations, the stand-alone run first.
        targets: observed logarithms, [n].
        noise: variance of each observation's measurement error, [n].
        factor: Cholesky factor of the observations' covariance, [n, n].
        weights: inverse covariance times targets, [n].
    """

    theta: FloatArray
    seen: Features
    targets: FloatArray
    noise: FloatArray
    factor: FloatArray
    weights: FloatArray

    @property
    def own(self) -> float:
        """Variance of a co-location's own deviation."""
        return _variances(self.theta).own

    def predict(self, at: Features) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the target at co-locations that were not observed, [n] each."""
        cross = _covariance(self.theta, at, self.seen)
        return self._posterior(cross, _variance_of(self.theta, at))

    def recall(self) -> tuple[FloatArray, FloatArray]:
        """Mean and variance of the true target at the observed co-locations, [n - 1] each.

        Without noise these are the observations themselves; with it, they lean towards the model.
        """
        cross = _covariance(self.theta, self.seen, self.seen)
        cross[np.diag_indices_from(cross)] += self.own
        mean, variance = self._posterior(cross, _variance_of(self.theta, self.seen))
        return mean[1:], variance[1:]

    def _posterior(self, cross: FloatArray, before: FloatArray) -> tuple[FloatArray, FloatArray]:
        explained = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        variance = before - np.einsum("ij,ij->j", explained, explained)
        return cross @ self.weights, np.maximum(variance, 0.0)

    def left_out(self) -> tuple[FloatArray, FloatArray]:
        """Errors of observations, each left out alone, and their variances by the process, [n - 1] each.

        Measurement errors are part of both.
        """
        inverse = cho_solve((self.factor, True), np.eye(len(self.targets)), check_finite=False)
        variance = 1 / np.diag(inverse)[1:]
        return np.asarray(self.weights[1:] * variance), np.asarray(variance)

    def draws(self, at: Features, rows: IntArray, rng: np.random.Generator, count: int) -> FloatArray:
        """Functions drawn from the process at co-locations, [count, n]: prior draws corrected at the data.

        Args:
            at: features of the co-locations.
            rows: for each observation but the first, its row in `at`.
            rng: generator of the draws.
            count: how many.
        """
        functions = _PriorFunctions(self.theta, rng, count)
        deviations = rng.normal(0.0, np.sqrt(self.own), (count, len(at.neighbours)))
        here = functions(at) + deviations
        seen = functions(self.seen)
        seen[:, 1:] += deviations[:, rows]
        errors = rng.normal(size=seen.shape) * np.sqrt(self.noise)
        residuals = cho_solve((self.factor, True), (self.targets - seen - errors).T, check_finite=False)
        cross = _covariance(self.theta, at, self.seen)
        cross[rows, np.arange(1, seen.shape[1])] += self.own
        return np.asarray(here + (cross @ residuals).T)

    def function(self, rng: np.random.Generator, deviations: FloatArray) -> "Drawn":
        """Return one function drawn from the process, as `draws` does, for any co-locations.

        Args:
            rng: generator of the draw.
            deviations: own ones of the observations but the first, in standard deviations, [n - 1].
        """
        smooth = _PriorFunctions(self.theta, rng, 1)
        seen = smooth(self.seen)[0]
        seen[1:] += deviations * np.sqrt(self.own)
        errors = rng.normal(size=seen.shape) * np.sqrt(self.noise)
        residuals = cho_solve((self.factor, True), self.targets - seen - errors, check_finite=False)
        return Drawn(self, smooth, residuals)


@dataclass(frozen=True)
class Drawn:
    """A function that could be true of a process, but for the own deviations of co-locations.

    Attributes:
        process: that it was drawn from.
        smooth: the function before any observation.
        residuals: by which it is corrected at what was observed.
    """

    process: Process
    smooth: "_PriorFunctions"
    residuals: FloatArray

    def __call__(self, at: Features) -> FloatArray:
        """Return the target at co-locations that were not observed, [n]."""
        cross = _covariance(self.process.theta, at, self.process.seen)
        return np.asarray(self.smooth(at)[0] + cross @ self.residuals)


def fit_process(
    app: int,
    colocations: IntArray,
    targets: FloatArray,
    noise: FloatArray,
    theta: FloatArray | None = None,
    steps: int = 30,
) -> Process:
    """Fit one application's process to observations.

    Args:
        app: its column.
        colocations: what was observed, int [n, apps], `app` present in all, stand-alone runs not among them.
        targets: logarithms of shares, [n].
        noise: variance of each target's measurement error, [n].
        theta: hyperparameters to start from; None for the prior's.
        steps: iterations of the search for better hyperparameters.
    """
    alone = np.zeros((1, colocations.shape[1]), dtype=np.int64)
    alone[0, app] = 1
    seen = features(np.concatenate([alone, colocations]), app)
    targets = np.concatenate([[0.0], targets])
    noise = np.concatenate([[0.0], noise])
    start = prior(colocations.shape[1])[0] if theta is None else theta
    if len(colocations) > 2 and steps:
        searched = minimize(
            _loss, start, (seen, targets, noise), jac=True, method="L-BFGS-B", options={"maxiter": steps}
        )
        start = np.asarray(searched.x)
    factor = _factor(_covariance(start, seen, seen), _variances(start).own, noise)
    return Process(start, seen, targets, noise, factor, cho_solve((factor, True), targets))


def _loss(
    theta: FloatArray, seen: Features, targets: FloatArray, noise: FloatArray
) -> tuple[float, FloatArray]:
    """Negative log of the hyperparameters' posterior, and its gradient [3 apps + 3]."""
    apps = seen.neighbours.shape[1]
    held = _variances(theta)
    scaled = seen.bent / held.lengths
    distance = _distances(scaled, scaled)
    fading = held.smooth * np.exp(-ROOT5 * distance)
    smooth = (1 + ROOT5 * distance + 5 / 3 * distance**2) * fading
    linear = (seen.neighbours * held.container) @ seen.neighbours.T
    stepped = (seen.beside * held.presence) @ seen.beside.T
    factor = _factor(linear + stepped + smooth, held.own, noise)
    weights = cho_solve((factor, True), targets, check_finite=False)
    pull = np.outer(weights, weights) - cho_solve((factor, True), np.eye(len(targets)), check_finite=False)
    steep = pull * (5 / 3 * (1 + ROOT5 * distance) * fading)
    slope = np.empty_like(theta)
    slope[:apps] = held.container * _quadratic(pull, seen.neighbours)
    slope[apps : 2 * apps] = held.presence * _quadratic(pull, seen.beside)
    slope[2 * apps] = (pull * smooth).sum()
    slope[2 * apps + 1 : -1] = 2 * (scaled**2).T @ steep.sum(axis=1) - 2 * _quadratic(steep, scaled)
    slope[-1] = held.own * np.trace(pull[1:, 1:])
    mean, width = prior(apps)
    away = (theta - mean) / width
    loss = 0.5 * targets @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
    return float(loss), np.asarray(away / width - 0.5 * slope)


def _factor(covariance: FloatArray, own: float, noise: FloatArray) -> FloatArray:
    """Cholesky factor of the observations' covariance; the first, alone, has no deviation of its own.

    Where rounding leaves it not positive definite, since a search for hyperparameters went far off, more is
    added until it is.
    """
    scale = max(1.0, float(np.diag(covariance).mean()))
    for more in (0.0, 1e-6, 1e-4, 1e-2):
        extra = own + noise + JITTER
        extra[0] = JITTER
        try:
            factor = cholesky(covariance + np.diag(extra + more * scale), lower=True, check_finite=False)
        except LinAlgError:
            continue
        return np.asarray(factor)
    raise LinAlgError("the covariance of what was observed is not positive definite")


def _quadratic(matrix: FloatArray, columns: FloatArray) -> FloatArray:
    """column @ matrix @ column for every column, [columns]."""
    return np.asarray((columns * (matrix @ columns)).sum(axis=0))


def _variances(theta: FloatArray) -> _Variances:
    apps = (len(theta) - 3) // 3
    values = np.exp(theta)
    return _Variances(
        values[:apps],
        values[apps : 2 * apps],
        float(values[2 * apps]),
        values[2 * apps + 1 : -1],
        float(values[-1]),
    )


def _covariance(theta: FloatArray, first: Features, second: Features) -> FloatArray:
    """Covariance of targets without own deviations, [first, second]."""
    held = _variances(theta)
    distance = _distances(first.bent / held.lengths, second.bent / held.lengths)
    smooth = held.smooth * (1 + ROOT5 * distance + 5 / 3 * distance**2) * np.exp(-ROOT5 * distance)
    linear = (first.neighbours * held.container) @ second.neighbours.T
    return np.asarray(smooth + linear + (first.beside * held.presence) @ second.beside.T)


def _variance_of(theta: FloatArray, at: Features) -> FloatArray:
    """Variance of the target before any observation, own deviation included, [n]."""
    held = _variances(theta)
    return np.asarray(
        at.neighbours**2 @ held.container + at.beside**2 @ held.presence + held.smooth + held.own
    )


def _distances(first: FloatArray, second: FloatArray) -> FloatArray:
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def _stretched(neighbours: FloatArray, total: FloatArray) -> FloatArray:
    # the first neighbour changes more than the seventh
    return np.asarray(2 * np.log1p(np.hstack([neighbours, total])))


class _PriorFunctions:
    """Functions drawn from the prior: random weights, and for the smooth part waves that they share."""

    def __init__(self, theta: FloatArray, rng: np.random.Generator, count: int) -> None:
        held = _variances(theta)
        apps = len(held.container)
        self._container = rng.normal(size=(count, apps)) * np.sqrt(held.container)
        self._presence = rng.normal(size=(count, apps)) * np.sqrt(held.presence)
        # a Matern 5/2's spectrum is Student's t with 5 degrees of freedom
        shape = (len(held.lengths), FREQUENCIES)
        waves = rng.normal(size=shape) * np.sqrt(5 / rng.chisquare(5, FREQUENCIES))
        self._waves = waves / held.lengths[:, None]
        self._phases = rng.uniform(0, 2 * np.pi, FREQUENCIES)
        self._heights = rng.normal(size=(count, FREQUENCIES)) * np.sqrt(2 * held.smooth / FREQUENCIES)

    def __call__(self, at: Features) -> FloatArray:
        """Return the functions at co-locations, [count, n]."""
        waves = self._heights @ np.cos(at.bent @ self._waves + self._phases).T
        return np.asarray(waves + self._container @ at.neighbours.T + self._presence @ at.beside.T)
