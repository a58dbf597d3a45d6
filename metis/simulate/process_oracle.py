"""The ensemble of Gaussian processes for any co-location, where these are too many to tabulate."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, IntArray, hash_keys
from metis.simulate.belief import MOST_ROWS
from metis.simulate.ensemble import Observations, observe, widening_of
from metis.simulate.gaussian import Drawn, Process, features, fit_process
from metis.simulate.model_oracle import ModelOracle, fit_oracle, shares_of
from metis.threads import one_thread

DRAWS = 8  # ensembles that could be true, from which the error of a prediction is estimated
STEPS = 30  # of the search for hyperparameters
CHUNK = 50_000  # co-locations that are predicted together
FittingProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class ProcessFits:
    """The processes of one quantity, one for each application.

    Attributes:
        colocations: what was observed, each once, int [n, apps].
        seen: logarithms of shares, by row of `colocations`.
        processes: one per application.
        widening: factor on all spreads, so that left-out measurements fall into their intervals.
        alone: what each application reaches alone, float64 [apps]; NaN where that was never measured.
        draw: number of the function that stands in the place of what is expected; None for what is expected.
    """

    colocations: IntArray
    seen: Observations
    processes: tuple[Process, ...]
    widening: float
    alone: FloatArray
    draw: int | None = None

    @property
    def draws(self) -> int:
        """See `metis.simulate.model_oracle.Fits.draws`."""
        return DRAWS

    def drawn(self, k: int) -> Self:
        """See `metis.simulate.model_oracle.Fits.drawn`."""
        return replace(self, draw=k)

    def shares(self, colocations: IntArray) -> FloatArray:
        """See `metis.simulate.model_oracle.Fits.shares`; the middle of what is believed.

        Not its mean: what little is known of has a wide belief, whose mean is high, and plans would seek it.
        """
        found = np.zeros(colocations.shape)
        for app, rows in _present(colocations):
            mean, _ = self.processes[app].predict(features(colocations[rows], app))
            if self.draw is not None:
                mean = mean + self.widening * (self._function(app, colocations[rows]) - mean)
            found[rows, app] = np.exp(mean)
        alone = colocations.sum(axis=1) == 1
        found[alone] = colocations[alone]
        return found

    def spread(self, colocations: IntArray) -> FloatArray:
        """See `metis.simulate.model_oracle.Fits.spread`."""
        found = np.zeros(colocations.shape)
        for app, rows in _present(colocations):
            _, variance = self.processes[app].predict(features(colocations[rows], app))
            found[rows, app] = self.widening * np.sqrt(variance)
        found[colocations.sum(axis=1) == 1] = 0.0
        return found

    def _function(self, app: int, colocations: IntArray) -> FloatArray:
        own = np.sqrt(self.processes[app].own) * self._deviations(app, colocations)
        return np.asarray(self._functions[app](features(colocations, app)) + own)

    @cached_property
    def _functions(self) -> list[Drawn]:
        made = []
        for app, process in enumerate(self.processes):
            rng = np.random.default_rng([self.draw or 0, app])
            observed = self.colocations[_observed(self.colocations, self.seen, app)]
            made.append(process.function(rng, self._deviations(app, observed)))
        return made

    def _deviations(self, app: int, colocations: IntArray) -> FloatArray:
        """Return the own deviation of each co-location, standard normal, the same whenever asked for."""
        from scipy.special import ndtri

        apps = colocations.shape[1]
        of_draw = np.random.default_rng([self.draw or 0, app, apps]).integers(1 << 62)
        mixed = (colocations @ hash_keys(apps)).astype(np.uint64) ^ np.uint64(of_draw)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        uniform = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)).astype(np.float64)
        return np.asarray(ndtri((uniform + 0.5) / 2.0**53))

    def arrays(self) -> dict[str, Any]:
        """See `metis.simulate.model_oracle.Fits.arrays`."""
        return {
            "observed": self.colocations,
            "logs": self.seen.logs,
            "noise": np.array(self.seen.noise),
            "disturbance": np.zeros(len(self.colocations)) if self.seen.doubt is None else self.seen.doubt,
            "thetas": np.stack([process.theta for process in self.processes]),
            "widening": np.array(self.widening),
            "alone": self.alone,
        }

    @classmethod
    def of_arrays(cls, stored: Mapping[str, NDArray[Any]]) -> Self:
        """See `metis.simulate.model_oracle.Fits.of_arrays`; the processes are conditioned anew."""
        colocations, each = stored["observed"], np.arange(len(stored["observed"]))
        seen = Observations(
            each, stored["logs"], np.ones_like(each), float(stored["noise"]), stored["disturbance"]
        )
        made = tuple(_process(colocations, seen, app, theta, 0) for app, theta in enumerate(stored["thetas"]))
        return cls(colocations, seen, made, float(stored["widening"]), stored["alone"])


@dataclass(frozen=True)
class ProcessOracle(ModelOracle):
    """An `Oracle` of Gaussian processes, with doubts."""

    fits: Mapping[str, ProcessFits]

    FORMAT: ClassVar[str] = "metis-processes-1"
    FITS: ClassVar[type[ProcessFits]] = ProcessFits


def fit_process_oracle(
    profile: Profile,
    quantities: Sequence[str] = ("rps",),
    *,
    noise: float = 0.0,
    held_out: float = 0.2,
    seed: int = 0,
    progress: FittingProgress | None = None,
) -> tuple[ProcessOracle, dict[str, float]]:
    """Fit a Gaussian process per application to a profile; its space need not be tabulated.

    Of a profile with more rows a seeded choice of `MOST_ROWS` trains the processes.

    Args:
        profile: what was measured.
        quantities: what to predict; the report is on the first.
        noise: deviation of the logarithm of one row.
        held_out: share of the rows kept back once for the report; 0 to skip it.
        seed: of rows held out and of those chosen.
        progress: called with the fits done and all.

    Returns:
        The oracle, and its report: `measured`, and of rows held out `r2`, `mse`, `coverage80`.
    """

    def fit(chosen: IntArray, name: str, step: Callable[..., None]) -> ProcessFits:
        chosen = np.sort(np.random.default_rng(seed).permutation(chosen)[:MOST_ROWS])
        weights = None if profile.weight is None else profile.weight[chosen]
        rows = profile.colocations[chosen]
        seen = observe(np.arange(len(rows)), shares_of(profile, name)[chosen], noise, weights)
        made = []
        for app in range(len(profile.apps)):
            made.append(_process(rows, seen, app, None, STEPS))
            step()
        missed = np.concatenate(
            [np.abs(error) / np.sqrt(variance) for error, variance in map(Process.left_out, made)]
        )
        return ProcessFits(rows, seen, tuple(made), widening_of(missed), _known(profile, name))

    return fit_oracle(
        ProcessOracle,
        profile,
        quantities,
        fit,
        steps=len(profile.apps),
        noise=noise,
        held_out=held_out,
        seed=seed,
        progress=progress,
    )


def _known(profile: Profile, name: str) -> FloatArray:
    """Return what applications reach alone; of RPS one that was never measured is believed to reach it."""
    alone = profile.alone(name)
    if name == "rps":
        return alone
    return np.where(np.isfinite(profile.quantity(name) / alone).any(axis=0), alone, np.nan)


def _process(
    colocations: IntArray, seen: Observations, app: int, theta: FloatArray | None, steps: int
) -> Process:
    """Fit the process of one application, or condition it with `theta` where there are no `steps`."""
    rows = _observed(colocations, seen, app)
    with one_thread():
        return fit_process(app, colocations[rows], seen.logs[rows, app], seen.variances[rows], theta, steps)


def _observed(colocations: IntArray, seen: Observations, app: int) -> IntArray:
    """Return the rows that say something of an application: it is present there, and not alone."""
    beside = colocations.sum(axis=1) > 1
    return np.flatnonzero((colocations[:, app] > 0) & beside & np.isfinite(seen.logs[:, app]))


def _present(colocations: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield applications, and the co-locations that hold each, some at a time."""
    for app in np.flatnonzero(colocations.any(axis=0)).tolist():
        rows = np.flatnonzero(colocations[:, app])
        for start in range(0, len(rows), CHUNK):
            yield app, rows[start : start + CHUNK]
