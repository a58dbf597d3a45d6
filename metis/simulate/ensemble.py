"""A simulator that knows what it does not know: a Gaussian process per application, written out over a space.

Its members are functions drawn from the processes; mean and spread of infinitely many are known in closed
form. Measured rows are exact where measuring is, and where repeated runs differ they lean towards the model,
so that a lucky run is not chased. Stand-alone RPS is 1, and RPS is positive, because logarithms are modelled.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metis.errors import InputError
from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.fidelity import fidelity
from metis.simulate.gaussian import Process, features, fit_process
from metis.simulate.simulator import SMALLEST_RPS, FittedSimulator

COVERED = 0.8  # share of measurements that the reported interval should hold
FEWEST = 30  # left-out errors below which a calibration would be noise
NARROWEST, WIDEST = 1.0, 2.5  # what calibration may multiply a spread by: left-out errors flatter
MOST_ROWS = 800  # the cost of a fit grows with the cube of its rows


@dataclass(frozen=True)
class Observations:
    """Runs merged by co-location.

    Attributes:
        ids: the co-locations, each once, int [n].
        logs: mean log-RPS over the runs, float64 [n, apps]; NaN where absent.
        runs: runs of each, int [n].
        noise: standard deviation of the log-RPS of one run; 0 where a run is exact.
    """

    ids: IntArray
    logs: FloatArray
    runs: IntArray
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 1:
            raise InputError(f"noise {self.noise:g}: give the deviation of one run's log-RPS, 0 to 1")


def observe(ids: ArrayLike, rps: FloatArray, noise: float | None = None) -> Observations:
    """Merge runs, and estimate their noise from those that were repeated.

    Args:
        ids: co-location of each run, int [runs].
        rps: normalised RPS of each run, [runs, apps]; NaN where absent.
        noise: deviation of one run's log-RPS, where it is known; None to estimate it (0 without repeats).
    """
    unique, inverse, runs = np.unique(np.asarray(ids), return_inverse=True, return_counts=True)
    logs = np.log(np.maximum(rps, SMALLEST_RPS))
    sums = np.zeros((len(unique), rps.shape[1]))
    np.add.at(sums, inverse, logs)
    means = sums / runs[:, None]
    if noise is None:
        # an application present in k runs of a co-location leaves k - 1 degrees of freedom
        freedom = float(((runs - 1)[:, None] * np.isfinite(means)).sum())
        noise = float(np.sqrt(np.nansum((logs - means[inverse]) ** 2) / freedom)) if freedom else 0.0
    return Observations(unique, means, runs, noise if noise > 1e-9 else 0.0)


@dataclass(frozen=True)
class Ensemble:
    """A calibrated belief about every co-location of a space.

    Attributes:
        space: the co-locations.
        seen: what was observed.
        processes: one per application.
        widening: factor on all spreads, so that left-out measurements fall into their intervals.
        coverage: share of left-out measurements inside their 80 % interval, the widening learnt on the other
            half of them; NaN with too few.
    """

    space: ColocationSpace
    seen: Observations
    processes: tuple[Process, ...]
    widening: float
    coverage: float

    @property
    def thetas(self) -> FloatArray:
        """Hyperparameters, [apps, parameters]; where the next fit starts."""
        return np.stack([process.theta for process in self.processes])

    @cached_property
    def beliefs(self) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the log-RPS, float64 [size, apps] each; 0 where absent."""
        mean = np.zeros((self.space.size, len(self.space.apps)))
        spread = np.zeros_like(mean)
        for a, process in enumerate(self.processes):
            present = self.space.counts[:, a] > 0
            about, variance = process.predict(features(self.space.counts[present], a))
            mean[present, a], spread[present, a] = about, np.sqrt(variance)
            rows = self._observed(a)
            about, variance = process.recall()
            exact = self.seen.noise == 0
            mean[self.seen.ids[rows], a] = self.seen.logs[rows, a] if exact else about
            spread[self.seen.ids[rows], a] = 0.0 if exact else np.sqrt(variance)
        alone = self.space.index(np.eye(len(self.space.apps), dtype=np.int64))
        mean[alone], spread[alone] = 0.0, 0.0
        return mean, spread * self.widening

    @cached_property
    def rps(self) -> FloatArray:
        """Expected normalised RPS, float64 [size, apps]; 0 where absent."""
        mean, spread = self.beliefs
        return np.where(self.space.counts > 0, np.exp(mean + spread**2 / 2), 0.0)

    @property
    def tables(self) -> Tables:
        """The expected RPS as tables."""
        return Tables(self.space, self.rps)

    def interval(self, share: float = COVERED, runs: int | None = None) -> tuple[FloatArray, FloatArray]:
        """Ends of the interval that holds `share` of what is true, or of the mean of `runs` runs."""
        mean, spread = self.beliefs
        noise = 0.0 if runs is None else self.seen.noise**2 / runs
        reach = NormalDist().inv_cdf(0.5 + share / 2) * np.sqrt(spread**2 + noise)
        present = self.space.counts > 0
        return np.where(present, np.exp(mean - reach), 0.0), np.where(present, np.exp(mean + reach), 0.0)

    def covered(self, truth: Tables, share: float = COVERED) -> float:
        """Share of the true RPS of co-locations never measured that lie in the interval of `share`."""
        low, high = self.interval(share)
        judged = self.space.counts > 0
        judged[self.seen.ids] = False
        return float(((truth.rps >= low) & (truth.rps <= high))[judged].mean())

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """One member: a table of RPS that could be the truth, float64 [size, apps]; 0 where absent."""
        mean, _ = self.beliefs
        drawn = np.zeros_like(mean)
        for a, process in enumerate(self.processes):
            present = self.space.counts[:, a] > 0
            place = np.cumsum(present) - 1
            rows = place[self.seen.ids[self._observed(a)]]
            one = process.draw(features(self.space.counts[present], a), rows, rng)
            drawn[present, a] = mean[present, a] + self.widening * (one - mean[present, a])
        fixed = self.beliefs[1] == 0
        return np.where(self.space.counts > 0, np.exp(np.where(fixed, mean, drawn)), 0.0)

    def _observed(self, app: int) -> IntArray:
        return _rows_of(self.space, self.seen, app)


def fit_ensemble(
    space: ColocationSpace, seen: Observations, thetas: FloatArray | None = None, steps: int = 30
) -> Ensemble:
    """Fit a process per application to what was observed, and calibrate their spreads together.

    Args:
        space: the co-locations.
        seen: the observations.
        thetas: hyperparameters to start from, [apps, parameters]; None for the prior's.
        steps: iterations of the search for better ones; 0 keeps them.
    """
    from threadpoolctl import threadpool_limits

    processes = []
    for a in range(len(space.apps)):
        rows = _rows_of(space, seen, a)
        counts, logs = space.counts[seen.ids[rows]], seen.logs[rows, a]
        start = None if thetas is None else thetas[a]
        # on matrices this small threads wait for one another
        with threadpool_limits(limits=1):
            processes.append(fit_process(a, counts, logs, seen.noise**2 / seen.runs[rows], start, steps))
    errors = np.abs(np.concatenate([process.left_out() for process in processes]))
    halves = np.arange(len(errors)) % 2 == 0
    reach = NormalDist().inv_cdf(0.5 + COVERED / 2)
    inside = [errors[half] <= reach * _widening(errors[~half]) for half in (halves, ~halves)]
    coverage = float(np.mean(np.concatenate(inside))) if len(errors) >= FEWEST else float("nan")
    return Ensemble(space, seen, tuple(processes), _widening(errors), coverage)


def simulate_by_ensemble(
    profile: Profile, noise: float = 0.0, held_out: float = 0.2, seed: int = 0
) -> tuple[FittedSimulator, Ensemble]:
    """The ensemble as a simulator of `profile`, with its fidelity and coverage on rows held out.

    Of a profile with more rows, a seeded choice of `MOST_ROWS` trains the processes; all rows are written
    over the predictions, exactly where `noise` is 0.

    Args:
        profile: what was measured.
        noise: deviation of one row's log-RPS; 0 for exact rows.
        held_out: share of the rows kept back once for the report; 0 to skip it.
        seed: of the rows held out and of those chosen.
    """
    space = profile.space
    order = np.random.default_rng(seed).permutation(len(profile))
    kept, rest = np.split(order, [round(len(order) * held_out)])
    report = {
        "measured": float((len(profile) + 1) / (space.size + (0 not in space.index(profile.colocations))))
    }
    if len(kept) > 1 and len(rest):
        first = fit_ensemble(space, _from_profile(profile.rows(np.sort(rest[:MOST_ROWS])), noise))
        judged = profile.rows(np.sort(kept))
        report |= _judge(first, judged)
    chosen = profile.rows(np.sort(order[:MOST_ROWS]))
    ensemble = fit_ensemble(space, _from_profile(chosen, noise))
    table = ensemble.rps.copy()
    if noise == 0:
        table[space.index(profile.colocations)] = np.nan_to_num(profile.rps)
    return FittedSimulator(Tables(space, table), report), ensemble


def _judge(ensemble: Ensemble, judged: Profile) -> dict[str, float]:
    """Fidelity and coverage of the 80 % interval on rows that the fit did not see."""
    ids, present = ensemble.space.index(judged.colocations), judged.present
    low, high = ensemble.interval(runs=1)
    inside = (judged.rps >= low[ids]) & (judged.rps <= high[ids])
    report = fidelity(judged.rps, ensemble.rps[ids], present, judged.apps)
    varied = present & (judged.colocations.sum(axis=1, keepdims=True) > 1)
    return report | {"coverage80": float(inside[varied].mean()) if varied.any() else float("nan")}


def _from_profile(profile: Profile, noise: float) -> Observations:
    return observe(profile.space.index(profile.colocations), profile.rps, noise)


def _rows_of(space: ColocationSpace, seen: Observations, app: int) -> NDArray[np.int64]:
    """Rows of `seen` that say something about an application: it is present, and not alone."""
    here = (space.counts[seen.ids, app] > 0) & (space.totals[seen.ids] > 1) & np.isfinite(seen.logs[:, app])
    return np.flatnonzero(here)


def _widening(errors: FloatArray) -> float:
    """What to multiply spreads by, so that intervals hold their share of these absolute errors."""
    if len(errors) < FEWEST // 2:
        return 1.0
    reach = float(np.quantile(errors, COVERED)) / NormalDist().inv_cdf(0.5 + COVERED / 2)
    return float(np.clip(reach, NARROWEST, WIDEST))
