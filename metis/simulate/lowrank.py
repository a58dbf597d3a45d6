"""A low-rank model of interference: pressure on a few shared resources, and pairs that help or hurt.

An application `a` beside what a node holds in all, `n` (itself included), is predicted to reach the share

    log share_a(n) = - sum_r sensitivity_ar (C(P_r(n)) - C(pressure_ar)) + sum_{c != a, n_c > 0} pairs_ac,
    P_r(n) = sum_c pressure_cr n_c,      C of `metis.measure.contention`,

of what it reaches alone. It has 2 x applications x resources parameters, and a deviation for each ordered
pair of which most are 0: so hundreds of measurements say something of millions of co-locations. The fit
maximises the posterior under normal errors of the logarithm and exponential priors on all parameters (of
pairs on their absolute value), with which few pairs and few pressures differ from 0 (Tibshirani, Regression
shrinkage and selection via the lasso, 1996). Members of an ensemble are fits to rows weighted at random
(Rubin, The Bayesian bootstrap, 1981), each from a start of its own.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metis.measure.contention import contention, own_suffering, share_of_one_more, steepness
from metis.problem.counts import FloatArray, IntArray
from metis.simulate.simulator import SMALLEST_SHARE
from metis.threads import one_thread

# means of the exponential priors
PRESSURE, SENSITIVITY, PAIR = 1.0, 0.2, 0.05
RIDGE = 0.1  # of pressures and sensitivities, which their product alone would not hold
MISFIT = 0.03  # deviation of the logarithm that no such model explains
ABSOLUTE = 0.02  # deviation of a share, so that logarithms of tiny ones count for little
COARSE = ((0.3, 200), (0.1, 300))  # deviation and iterations of the first fits, from a start far off
ITERATIONS = 600
SINGLE = 1e-4  # by which limits in single precision are raised, so that rounding makes none too low


@dataclass(frozen=True)
class LowRank:
    """Pressures, sensitivities and deviations of pairs; the module's docstring has the formula.

    Attributes:
        pressure: of one container on each resource, 0 or more, float64 [apps, resources].
        sensitivity: log-share lost per unit of contention, 0 or more, float64 [apps, resources].
        pairs: log-share that the presence of the column's application brings to the row's, float64
            [apps, apps]; below 0 where it costs.
    """

    pressure: FloatArray
    sensitivity: FloatArray
    pairs: FloatArray

    def log_shares(self, colocations: IntArray) -> FloatArray:
        """Return the logarithm of the share of each application, float64 [n, apps], as if all were there."""
        held = colocations.astype(np.float64)
        suffered = contention(held @ self.pressure) @ self.sensitivity.T
        return np.asarray(
            own_suffering(self.pressure, self.sensitivity) - suffered + (held > 0) @ self.pairs.T
        )

    def shares(self, colocations: IntArray) -> FloatArray:
        """Return shares of what is reached alone, float64 [n, apps]; 0 where absent, 1 for one alone."""
        found = np.exp(self.log_shares(colocations)) * (colocations > 0)
        alone = colocations.sum(axis=1) == 1
        found[alone] = colocations[alone]  # exactly, whatever the rounding
        return np.asarray(found)

    def most_shares(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return upper limits of the shares; see `metis.problem.oracle.BoundedOracle.most_rps`.

        Contention only rises as containers are added, and of the pairs that may still come only those that
        help count.
        """
        there = colocations > 0
        held = colocations.astype(np.float64)
        pressure = held @ self.pressure
        coming = (later & ~there).astype(np.float64)
        reached = own_suffering(self.pressure, self.sensitivity) + there @ self.pairs.T
        reached = reached + coming @ np.maximum(self.pairs, 0.0).T
        those = np.exp(reached - contention(pressure) @ self.sensitivity.T)
        more = share_of_one_more(reached, pressure, self.pressure, self.sensitivity, later)
        return np.asarray(those), more * (1 + SINGLE)

    @property
    def branching(self) -> IntArray:
        """The applications, those that press most first."""
        return np.argsort(-self.pressure.sum(axis=1), kind="stable")

    @property
    def flat(self) -> FloatArray:
        """All parameters in one row, pairs split into what helps and what costs."""
        parts = (self.pressure, self.sensitivity, np.maximum(self.pairs, 0), np.maximum(-self.pairs, 0))
        return np.concatenate([part.ravel() for part in parts])

    @classmethod
    def of_flat(cls, flat: FloatArray, apps: int, resources: int) -> "LowRank":
        """Return what `flat` was made of."""
        first = apps * resources
        split = np.split(flat, [first, 2 * first, 2 * first + apps * apps])
        shape = (apps, resources)
        pairs = (split[2] - split[3]).reshape(apps, apps) * (1 - np.eye(apps))
        return cls(split[0].reshape(shape), split[1].reshape(shape), pairs)


class Rows(NamedTuple):
    """Measured rows to fit to.

    Attributes:
        colocations: counts, int [n, apps].
        shares: of what is reached alone, float64 [n, apps]; NaN where absent or unknown.
        noise: deviation of the logarithm of a row.
        weights: what each row counts as, float64 [n]; None for 1 each.
    """

    colocations: IntArray
    shares: FloatArray
    noise: float
    weights: FloatArray | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """The values to fit to: of applications that are not alone, bool [n, apps]."""
        beside = self.colocations.sum(axis=1, keepdims=True) > 1
        return np.asarray((self.colocations > 0) & beside & np.isfinite(self.shares))

    @property
    def logs(self) -> FloatArray:
        """Logarithms of the shares, float64 [n, apps]; 0 where nothing is to be fitted."""
        shares = np.where(self.known, self.shares, 1.0)
        return np.asarray(np.log(np.maximum(shares, SMALLEST_SHARE / 10)))


def fit_lowrank(
    rows: Rows, start: LowRank, weights: FloatArray | None = None, *, coarse: bool = True
) -> tuple[LowRank, float]:
    """Fit a model to rows from a start, and return it with the loss that it reached.

    Args:
        rows: what was measured.
        start: see `starting`, or an earlier fit.
        weights: of the rows, float64 [n]; None for 1 each.
        coarse: whether the start is far off, and deviations count as large at first.
    """
    from scipy.optimize import minimize

    apps, resources = start.pressure.shape
    precise = float(np.hypot(rows.noise, MISFIT))
    steps = (*(COARSE if coarse else ()), (precise, ITERATIONS if coarse else ITERATIONS // 2))
    at, loss = start.flat, np.inf
    for deviation, iterations in steps:
        loss_of = _Loss(rows, max(deviation, precise), weights, resources)
        with one_thread():
            found = minimize(
                loss_of,
                at,
                jac=True,
                method="L-BFGS-B",
                bounds=[(0.0, None)] * len(at),
                options={"maxiter": iterations, "maxfun": 5 * iterations, "maxcor": 20},
            )
        at, loss = np.asarray(found.x), float(found.fun)
    return LowRank.of_flat(at, apps, resources), loss


def starting(names: Sequence[str], resources: int, seed: int) -> LowRank:
    """Return a random model to start from; what an application gets depends on its name, not its place."""
    drawn = [np.random.default_rng([seed, zlib.crc32(name.encode())]) for name in names]
    pressure = np.stack([rng.exponential(PRESSURE, resources) for rng in drawn])
    sensitivity = np.stack([rng.exponential(SENSITIVITY / 2, resources) for rng in drawn])
    return LowRank(pressure, sensitivity, np.zeros((len(names), len(names))))


class _Loss:
    """Negative logarithm of the posterior and its gradient, of parameters as in `LowRank.flat`."""

    def __init__(self, rows: Rows, deviation: float, weights: FloatArray | None, resources: int) -> None:
        self._held = rows.colocations.astype(np.float64)
        self._there = (rows.colocations > 0).astype(np.float64)
        self._logs = rows.logs
        variance = deviation**2 + (ABSOLUTE / np.exp(self._logs)) ** 2
        self._precision = rows.known / variance
        for each in (weights, rows.weights):
            if each is not None:
                self._precision = self._precision * each[:, None]
        self._apps, self._resources = rows.colocations.shape[1], resources
        self._off = 1.0 - np.eye(self._apps)

    def __call__(self, flat: FloatArray) -> tuple[float, FloatArray]:
        model = LowRank.of_flat(flat, self._apps, self._resources)
        pressure, sensitivity = model.pressure, model.sensitivity
        reached = self._held @ pressure  # [n, resources]
        felt, own = contention(reached), contention(pressure)
        predicted = (sensitivity * own).sum(axis=1) - felt @ sensitivity.T + self._there @ model.pairs.T
        error = predicted - self._logs
        pull = error * self._precision  # [n, apps]
        ridge = pressure.ravel() @ pressure.ravel() + sensitivity.ravel() @ sensitivity.ravel()
        split = flat[2 * pressure.size :].sum()
        loss = 0.5 * (error * pull).sum() + pressure.sum() / PRESSURE + sensitivity.sum() / SENSITIVITY
        loss += 0.5 * RIDGE * ridge + split / PAIR
        each = pull.sum(axis=0)[:, None]
        by_sensitivity = each * own - pull.T @ felt + 1 / SENSITIVITY + RIDGE * sensitivity
        by_pressure = each * sensitivity * steepness(pressure) + 1 / PRESSURE + RIDGE * pressure
        by_pressure -= self._held.T @ ((pull @ sensitivity) * steepness(reached))
        by_pairs = (pull.T @ self._there) * self._off
        parts = (by_pressure, by_sensitivity, by_pairs + 1 / PAIR, 1 / PAIR - by_pairs)
        return float(loss), np.concatenate([part.ravel() for part in parts])
