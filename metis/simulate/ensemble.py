"""An ensemble of simulators of one quantity with calibrated uncertainty: a Gaussian process per application.

Its members are functions drawn from the processes; mean and spread of infinitely many are known in closed
form. Measured rows are exact where measuring is, and where repeated runs differ they lean towards the model,
so that a lucky run is not chased. What is modelled is the logarithm of the quantity's share of what an
application reaches alone: so alone that share is 1, and everywhere it is positive.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metis.errors import InputError
from metis.measure.circumstances import DISTURBED
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.gaussian import JITTER, Process, features, fit_process
from metis.simulate.simulator import SMALLEST_SHARE
from metis.threads import one_thread

COVERED = 0.8  # share of measurements that the reported interval should hold
FEWEST = 30  # left-out errors below which a calibration would be noise
NARROWEST, WIDEST = 1.0, 2.5  # what calibration may multiply a spread by: left-out errors flatter
LEAST_SPREAD = 0.4  # what of a spread is left at least where left-out errors say that it is too wide
USED_UP = 6.0  # of an application's rows: hyperparameters are fitted to the ones that are left out, too


@dataclass(frozen=True)
class Observations:
    """Runs merged by co-location.

    Attributes:
        ids: the co-locations, each once, int [n].
        logs: mean logarithm of the share over the runs, float64 [n, apps]; NaN where absent or unknown.
        runs: runs of each, int [n].
        noise: standard deviation of that logarithm in one run; 0 where a run is exact.
        doubt: variance that what disturbed the runs adds to it, float64 [n]; None for none.
    """

    ids: IntArray
    logs: FloatArray
    runs: IntArray
    noise: float = 0.0
    doubt: FloatArray | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise InputError(f"noise {self.noise:g}: give the deviation of the logarithm of one run, 0 to 1")

    @property
    def variances(self) -> FloatArray:
        """Variance of the mean logarithm of each, by noise and disturbance, float64 [n]."""
        noise = self.noise**2 / self.runs
        return np.asarray(noise if self.doubt is None else noise + self.doubt)


def observe(
    ids: ArrayLike, shares: FloatArray, noise: float | None = None, weights: FloatArray | None = None
) -> Observations:
    """Merge runs, and estimate their noise from those that were repeated.

    Args:
        ids: co-location of each run, int [runs].
        shares: of what is reached alone, such as normalised RPS, [runs, apps]; NaN where absent or unknown.
        noise: deviation of the logarithm of one run, where it is known; None to estimate it (0 without
            repeats).
        weights: what each run counts as, [runs], above 0 to 1; None for 1 each.
    """
    unique, inverse, runs = np.unique(np.asarray(ids), return_inverse=True, return_counts=True)
    logs = np.log(np.maximum(shares, SMALLEST_SHARE))
    each = np.ones(len(logs)) if weights is None else weights
    counted = np.bincount(inverse, each, len(unique))
    sums = np.zeros((len(unique), shares.shape[1]))
    np.add.at(sums, inverse, logs * each[:, None])
    means = sums / counted[:, None]
    if noise is None:
        # an application present in k runs of a co-location leaves k - 1 degrees of freedom
        freedom = float(((runs - 1)[:, None] * np.isfinite(means)).sum())
        noise = float(np.sqrt(np.nansum((logs - means[inverse]) ** 2) / freedom)) if freedom else 0.0
    # one undisturbed run is enough
    doubt = DISTURBED**2 * np.maximum(1 / counted - 1, 0) if (each < 1).any() else None
    return Observations(unique, means, runs, noise if noise > 1e-9 else 0.0, doubt)


@dataclass(frozen=True)
class Ensemble:
    """A calibrated belief about one quantity of every co-location of a space.

    Attributes:
        space: the co-locations.
        seen: what was observed.
        processes: one per application.
        widening: factor on all spreads, so that left-out measurements fall into their intervals.
        calibration: factors on these spreads for predicted intervals: of co-locations that were not chosen by
            what is expected of them, and of those that were; see `_calibration`. Plans are made without.
        coverage: share of left-out measurements inside their 80 % interval, the widening fitted on the other
            half of them; NaN with too few.
        quantity: name of the quantity.
        alone: what each application reaches alone, float64 [apps], in the quantity's unit; NaN where that was
            never measured, and then nothing is believed of the application. None for 1: normalised RPS.
    """

    space: ColocationSpace
    seen: Observations
    processes: tuple[Process, ...]
    widening: float
    calibration: tuple[float, float]
    coverage: float
    quantity: str = "rps"
    alone: FloatArray | None = None

    @property
    def thetas(self) -> FloatArray:
        """Hyperparameters, [apps, parameters]; where the next fit starts."""
        return np.stack([process.theta for process in self.processes])

    @cached_property
    def beliefs(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the share's logarithm, float64 [size, apps] each; 0 where absent."""
        mean = np.zeros((self.space.size, len(self.space.apps)))
        spread = np.zeros_like(mean)
        for a, process in enumerate(self.processes):
            present = self.space.counts[:, a] > 0
            about, variance = process.predict(features(self.space.counts[present], a))
            mean[present, a], spread[present, a] = about, np.sqrt(variance)
            rows = self._observed(a)
            about, variance = process.recall()
            exact = self.seen.variances[rows] == 0
            mean[self.seen.ids[rows], a] = np.where(exact, self.seen.logs[rows, a], about)
            spread[self.seen.ids[rows], a] = np.where(exact, 0.0, np.sqrt(variance))
        alone = self.space.index(np.eye(len(self.space.apps), dtype=np.int64))
        mean[alone], spread[alone] = 0.0, 0.0
        return mean, spread * self.widening

    @cached_property
    def expected(self) -> FloatArray:
        """The expected quantity, float64 [size, apps]; 0 where absent, NaN where nothing is believed."""
        mean, spread = self.beliefs
        return self._in_units(np.exp(mean + spread**2 / 2))

    def interval(self, share: float = COVERED, runs: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Ends of the interval that holds `share` of what is true, or of the mean of `runs` runs."""
        mean, spread = self.beliefs
        noise = 0.0 if runs is None else self.seen.noise**2 / runs
        reach = NormalDist().inv_cdf(0.5 + share / 2) * np.sqrt(spread**2 + noise)
        return self._in_units(np.exp(mean - reach)), self._in_units(np.exp(mean + reach))

    def judged(self, truth: Tables, share: float = COVERED) -> NDArray[np.bool_]:
        """Whether true values lie in the interval of `share`; one entry per value that was not measured."""
        low, high = self.interval(share)
        true = truth.quantity(self.quantity)
        fresh = (self.space.counts > 0) & np.isfinite(true) & np.isfinite(low)
        fresh[self.seen.ids] = False
        return np.asarray(((true >= low) & (true <= high))[fresh])

    def covered(self, truth: Tables, share: float = COVERED) -> float:
        """Share of the true values of co-locations never measured that lie in the interval of `share`."""
        return float(self.judged(truth, share).mean())

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """One member: a table of the quantity that could be true, float64 [size, apps]; 0 where absent."""
        return np.asarray(self.draws(rng, 1)[0])

    def draws(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Members, float64 [count, size, apps]: together hardly dearer than one."""
        mean, spread = self.beliefs
        drawn = np.zeros((count, *mean.shape))
        for a, process in enumerate(self.processes):
            present = self.space.counts[:, a] > 0
            place = np.cumsum(present) - 1
            rows = place[self.seen.ids[self._observed(a)]]
            own = process.draws(features(self.space.counts[present], a), rows, rng, count)
            drawn[:, present, a] = mean[present, a] + self.widening * (own - mean[present, a])
        return self._in_units(np.exp(np.where(spread == 0, mean, drawn)))

    def scaled(self, app: int, spreads: float) -> FloatArray:
        """The expected quantity, were one application `spreads` standard deviations off, [size, apps]."""
        table = self.expected.copy()
        table[:, app] *= np.exp(spreads * self.beliefs[1][:, app])
        return table

    def _in_units(self, shares: FloatArray) -> FloatArray:
        """Shares [..., size, apps] in the unit of the quantity; 0 where absent."""
        present = self.space.counts > 0
        if self.alone is None:
            return np.where(present, shares, 0.0)
        table = np.where(present, shares * self.alone, 0.0)
        table[..., np.isnan(self.alone)] = np.nan
        return table

    def _observed(self, app: int) -> IntArray:
        return _rows_of(self.space, self.seen, app)


def fit_ensemble(
    space: ColocationSpace,
    seen: Observations,
    thetas: FloatArray | None = None,
    steps: int = 30,
    quantity: str = "rps",
    alone: FloatArray | None = None,
) -> Ensemble:
    """Fit a process per application to what was observed, and calibrate their spreads together.

    Args:
        space: the co-locations.
        seen: the observations.
        thetas: hyperparameters to start from, [apps, parameters]; None for the prior's.
        steps: iterations of the search for better ones; 0 keeps them.
        quantity: see `Ensemble`.
        alone: see `Ensemble`.
    """
    processes = []
    for a in range(len(space.apps)):
        rows = _rows_of(space, seen, a)
        counts, logs = space.counts[seen.ids[rows]], seen.logs[rows, a]
        start = None if thetas is None else thetas[a]
        with one_thread():
            processes.append(fit_process(a, counts, logs, seen.variances[rows], start, steps))
    found = [process.left_out() for process in processes]
    missed = np.abs(np.concatenate([error for error, _ in found]))
    variances = np.concatenate([variance for _, variance in found])
    noises = np.concatenate([process.noise[1:] for process in processes])
    errors = missed / np.sqrt(variances)
    halves = np.arange(len(errors)) % 2 == 0
    reach = NormalDist().inv_cdf(0.5 + COVERED / 2)
    inside = [errors[half] <= reach * widening_of(errors[~half]) for half in (halves, ~halves)]
    coverage = float(np.mean(np.concatenate(inside))) if len(errors) >= FEWEST else float("nan")
    widening = widening_of(errors)
    calibration = _calibration(missed, variances, noises, len(space.apps), widening)
    return Ensemble(space, seen, tuple(processes), widening, calibration, coverage, quantity, alone)


def _rows_of(space: ColocationSpace, seen: Observations, app: int) -> NDArray[np.int64]:
    """The rows of `seen` to fit an application's process to: it is present there, and not alone."""
    here = (space.counts[seen.ids, app] > 0) & (space.totals[seen.ids] > 1) & np.isfinite(seen.logs[:, app])
    return np.flatnonzero(here)


def widening_of(errors: FloatArray) -> float:
    """Return the factor on spreads with which intervals hold their share of these absolute errors."""
    if len(errors) < FEWEST // 2:
        return 1.0
    reach = float(np.quantile(errors, COVERED)) / NormalDist().inv_cdf(0.5 + COVERED / 2)
    return float(np.clip(reach, NARROWEST, WIDEST))


def _calibration(
    missed: FloatArray, variances: FloatArray, noises: FloatArray, apps: int, widening: float
) -> tuple[float, float]:
    """Return the factors on widened spreads with which predicted intervals hold the share `COVERED`.

    The first is for co-locations that have nothing to do with what is expected of them: that with which
    left-out errors fall into their intervals, measurement errors aside, which are known. It may be below 1,
    as the priors of the processes are careful. A plan takes co-locations of which too much is expected, and
    their errors are as wide as the processes say: what half of the rows say of those that a plan on the
    other half would use is (0.97 in the mean of 21 fits). So the second is 1. Both are wider with few rows.

    Args:
        missed: absolute errors of rows left out, [n].
        variances: of these errors by the processes, [n].
        noises: of these the variances of measurement errors, [n].
        apps: how many applications the rows are of.
        widening: of the spreads already.
    """
    from scipy.optimize import brentq

    if len(missed) < FEWEST:
        return 1.0, 1.0
    reach = NormalDist().inv_cdf(0.5 + COVERED / 2)
    spreads = np.maximum(variances - noises, 0.0)

    def beyond(factor: float) -> float:
        far = missed / np.sqrt(factor**2 * spreads + noises + JITTER)
        return float(np.quantile(far, COVERED)) - reach

    found = LEAST_SPREAD
    if beyond(LEAST_SPREAD) > 0:
        found = float(brentq(beyond, LEAST_SPREAD, WIDEST)) if beyond(WIDEST) < 0 else WIDEST
    few = 1 + USED_UP * apps / len(missed)
    return few * min(found / widening, 1.0), few
