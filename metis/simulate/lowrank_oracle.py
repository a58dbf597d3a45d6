"""Low-rank models of the quantities that an objective needs, for any co-location, and what they doubt."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import exp
from statistics import NormalDist
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, IntArray
from metis.simulate.lowrank import LowRank, Rows, fit_lowrank, starting
from metis.simulate.measured_rows import MeasuredRows
from metis.simulate.model_oracle import COVERED, ModelOracle, fit_oracle, shares_of

JUDGED = 0.2  # shares below it are too small for their logarithm to say how good a fit is
PARTS = ("pressure", "sensitivity", "pairs")
FittingProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class LowRankFits:
    """The models of one quantity.

    Attributes:
        expected: fitted to all rows.
        members: fitted to rows drawn at random; how they differ is what is not known.
        own: deviation of the logarithm that co-locations have beyond what members differ by.
        alone: what each application reaches alone, float64 [apps]; NaN where that was never measured.
    """

    expected: LowRank
    members: tuple[LowRank, ...]
    own: float
    alone: FloatArray

    @property
    def draws(self) -> int:
        """See `metis.simulate.model_oracle.Fits.draws`."""
        return len(self.members)

    def drawn(self, k: int) -> "LowRankFits":
        """See `metis.simulate.model_oracle.Fits.drawn`."""
        return replace(self, expected=self.members[k])

    def shares(self, colocations: IntArray) -> FloatArray:
        """See `metis.simulate.model_oracle.Fits.shares`."""
        return self.expected.shares(colocations)

    def spread(self, colocations: IntArray) -> FloatArray:
        """Return the standard deviation of the logarithm of what is predicted, float64 [n, apps]."""
        variance = np.full(colocations.shape, self.own**2)
        if self.members:
            middle = self.expected.log_shares(colocations)
            variance += np.mean([(one.log_shares(colocations) - middle) ** 2 for one in self.members], axis=0)
        beside = (colocations > 0) & (colocations.sum(axis=1, keepdims=True) > 1)
        return np.asarray(np.where(beside, np.sqrt(variance), 0.0))

    def arrays(self) -> dict[str, Any]:
        """See `metis.simulate.model_oracle.Fits.arrays`."""
        models = (self.expected, *self.members)
        parts = {part: np.stack([getattr(model, part) for model in models]) for part in PARTS}
        return {**parts, "own": np.array(self.own), "alone": self.alone}

    @classmethod
    def of_arrays(cls, stored: Mapping[str, NDArray[Any]]) -> Self:
        """See `metis.simulate.model_oracle.Fits.of_arrays`."""
        parts = zip(*(stored[part] for part in PARTS), strict=True)
        expected, *members = (LowRank(*part) for part in parts)
        return cls(expected, tuple(members), float(stored["own"]), stored["alone"])


@dataclass(frozen=True)
class LowRankOracle(ModelOracle):
    """A `BoundedOracle` of low-rank models, with doubts."""

    fits: Mapping[str, LowRankFits]

    FORMAT: ClassVar[str] = "metis-lowrank-1"
    FITS: ClassVar[type[LowRankFits]] = LowRankFits

    def most_rps(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """See `BoundedOracle.most_rps`; caution and the doubt of a type only lower what is predicted."""
        there, more = self._fits("rps").expected.most_shares(colocations, later)
        if self._better is not None:
            there, more = self._better.raised(colocations, later, "rps", (there, more))
        above = exp(max(self.shift, 0.0) * self.of_type.doubt) if self.of_type is not None else 1.0
        most = self._pace("rps") * above
        return there * most, more * most

    @cached_property
    def _better(self) -> MeasuredRows | None:
        """The rows that were measured better than the models have them: only these raise limits."""
        if self.known is None:
            return None
        predicted = self.fits["rps"].shares(self.known.colocations)
        better = (np.nan_to_num(self.known.shares["rps"]) > predicted).any(axis=1)
        return self.known.chosen(np.asarray(better))

    @property
    def branching(self) -> IntArray:
        """See `BoundedOracle.branching`."""
        order: IntArray = self._fits("rps").expected.branching
        return order


def fit_models(
    names: Sequence[str],
    rows: Rows,
    alone: FloatArray,
    *,
    resources: int,
    members: int,
    seed: int,
    keys: IntArray,
    before: LowRankFits | None = None,
    progress: FittingProgress | None = None,
) -> LowRankFits:
    """Fit a model to all rows, and members to rows drawn at random, each as often as chance has it.

    Args:
        names: of the applications.
        rows: what was measured, as shares that fall as others disturb.
        alone: see `LowRankFits`.
        resources: that applications share.
        members: how many; at least 1.
        seed: of starts and draws.
        keys: one for each row, such as the id of its co-location, so that it keeps its draws as others join.
        before: earlier fits to fewer rows, to start from.
        progress: called with the fits done and all.
    """
    drawn = np.stack([np.random.default_rng([seed, key]).poisson(1.0, members) for key in keys.tolist()])
    drawn = np.maximum(drawn, 0.02)  # a row that no draw took still says where there is nothing else
    made, losses = [], []
    for k in range(members):
        weights = drawn[:, k].astype(np.float64)
        if before is None:
            model, _ = fit_lowrank(rows, starting(names, resources, seed + k), weights)
        else:
            model, _ = fit_lowrank(rows, before.members[k], weights, coarse=False)
        made.append(model)
        losses.append(_error(model, rows))
        if progress:
            progress(k + 1, members + 1)
    start = made[int(np.argmin(losses))]
    expected, _ = fit_lowrank(rows, start, coarse=False)
    if progress:
        progress(members + 1, members + 1)
    return LowRankFits(expected, tuple(made), _own(expected, made, rows, drawn < 1), alone)


def _error(model: LowRank, rows: Rows) -> float:
    judged = rows.known
    return float(((model.shares(rows.colocations) - np.nan_to_num(rows.shares))[judged] ** 2).sum())


def _own(expected: LowRank, members: Sequence[LowRank], rows: Rows, left_out: NDArray[np.bool_]) -> float:
    """Return the deviation by which members miss rows that they were not fitted to, beyond their spread."""
    judged = rows.known & (np.nan_to_num(rows.shares) >= JUDGED)
    middle = expected.log_shares(rows.colocations)
    apart = [one.log_shares(rows.colocations) for one in members]
    errors = [(rows.logs - at)[judged & out[:, None]] for at, out in zip(apart, left_out.T, strict=True)]
    missed = np.abs(np.concatenate(errors))
    if not len(missed):
        return 0.0
    total = float(np.quantile(missed, COVERED)) / NormalDist().inv_cdf(0.5 + COVERED / 2)
    differ = float(np.median(np.mean([(at - middle) ** 2 for at in apart], axis=0)[judged]))
    return float(np.sqrt(max(total**2 - rows.noise**2 - differ, 0.0)))


def fit_lowrank_oracle(
    profile: Profile,
    quantities: Sequence[str] = ("rps",),
    *,
    noise: float = 0.0,
    resources: int = 6,
    members: int = 6,
    held_out: float = 0.2,
    seed: int = 0,
    progress: FittingProgress | None = None,
) -> tuple[LowRankOracle, dict[str, float]]:
    """Fit low-rank models to a profile; its space need not be tabulated.

    Args:
        profile: what was measured.
        quantities: what to predict; the report is on the first.
        noise: deviation of the logarithm of one row.
        resources: that applications share.
        members: fits whose differences are the doubt.
        held_out: share of the rows kept back once for the report; 0 to skip it.
        seed: of starts, draws and rows held out.
        progress: called with the fits done and all.

    Returns:
        The oracle, and its report: `measured`, and of rows held out `r2`, `mse`, `coverage80`.
    """

    def fit(chosen: IntArray, name: str, step: Callable[..., None]) -> LowRankFits:
        rows = rows_of(profile, name, noise, chosen)
        return fit_models(
            profile.apps,
            rows,
            profile.alone(name),
            resources=resources,
            members=members,
            seed=seed,
            keys=profile.space.index(rows.colocations),
            progress=step,
        )

    return fit_oracle(
        LowRankOracle,
        profile,
        quantities,
        fit,
        steps=members + 1,
        noise=noise,
        held_out=held_out,
        seed=seed,
        progress=progress,
    )


def rows_of(profile: Profile, name: str, noise: float, chosen: IntArray) -> Rows:
    """Return the rows of a profile as shares that fall as others disturb: of a latency its inverse.

    Args:
        profile: what was measured.
        name: of the quantity.
        noise: deviation of the logarithm of a row.
        chosen: rows, int [n]; stand-alone runs count for what is reached alone, chosen or not.
    """
    weights = None if profile.weight is None else profile.weight[chosen]
    return Rows(profile.colocations[chosen], shares_of(profile, name)[chosen], noise, weights)
