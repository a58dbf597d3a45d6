"""Low-rank models of the quantities that an objective needs, for any co-location, and what they doubt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.measure.profile import QUANTITIES, SHARES, Profile
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.fidelity import fidelity
from metis.simulate.lowrank import LowRank, Rows, fit_lowrank, starting
from metis.simulate.simulator import Doubt, FittedSimulator

FORMAT = "metis-lowrank-1"
COVERED = 0.8  # share of measurements that the reported interval should hold
JUDGED = 0.2  # shares below it are too small for their logarithm to say how good a fit is
PARTS = ("pressure", "sensitivity", "pairs")
FittingProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Fits:
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

    def spread(self, colocations: IntArray) -> FloatArray:
        """Return the standard deviation of the logarithm of what is predicted, float64 [n, apps]."""
        variance = np.full(colocations.shape, self.own**2)
        if self.members:
            middle = self.expected.log_shares(colocations)
            variance += np.mean([(one.log_shares(colocations) - middle) ** 2 for one in self.members], axis=0)
        beside = (colocations > 0) & (colocations.sum(axis=1, keepdims=True) > 1)
        return np.asarray(np.where(beside, np.sqrt(variance), 0.0))


@dataclass(frozen=True)
class LowRankOracle:
    """A `BoundedOracle` of low-rank models, with doubts.

    Attributes:
        space: the co-locations; they need not be tabulated.
        fits: by name of the quantity.
        caution: spreads by which everything is predicted worse than expected.
    """

    space: ColocationSpace
    fits: Mapping[str, Fits]
    caution: float = 0.0

    def quantities_of(self, colocations: IntArray, names: Sequence[str]) -> dict[str, FloatArray]:
        """See `Oracle.quantities_of`."""
        return {name: self._quantity(colocations, name) for name in names}

    def _quantity(self, colocations: IntArray, name: str) -> FloatArray:
        fits = self._fits(name)
        shares = fits.expected.shares(colocations)
        if self.caution:
            shares = shares * np.exp(-self.caution * fits.spread(colocations))
        if name in SHARES:
            return np.where(np.isfinite(fits.alone), shares, np.nan)
        with np.errstate(divide="ignore"):
            return np.where(np.isnan(fits.alone) | (colocations > 0), fits.alone / shares, 0.0)

    def _fits(self, name: str) -> Fits:
        if name not in self.fits:
            known = f"fitted were {', '.join(self.fits)}" if name in QUANTITIES else "there is none"
            raise InputError(f"quantity {name!r}: {known}")
        return self.fits[name]

    def most_rps(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """See `BoundedOracle.most_rps`; caution only lowers what is predicted."""
        return self._fits("rps").expected.most_shares(colocations, later)

    @property
    def branching(self) -> IntArray:
        """See `BoundedOracle.branching`."""
        return self._fits("rps").expected.branching

    def cautious(self, caution: float) -> "LowRankOracle":
        """Return it with every quantity worse by `caution` spreads."""
        return replace(self, caution=caution)

    def drawn(self) -> Iterator["LowRankOracle"]:
        """Yield oracles that could be true as well, one for each member."""
        for k in range(min(len(fits.members) for fits in self.fits.values())):
            could_be = {name: replace(fits, expected=fits.members[k]) for name, fits in self.fits.items()}
            yield LowRankOracle(self.space, could_be)

    @cached_property
    def tables(self) -> Tables:
        """What is predicted, of a space that is tabulated."""
        return Tables(self.space, self.quantities_of(self.space.counts, list(self.fits)))

    def save(self, path: Path) -> None:
        """Write it as `.npz`, whole or not at all."""
        arrays: dict[str, Any] = {
            "format": np.array(FORMAT),
            "apps": np.array(self.space.apps),
            "slots": np.array(self.space.slots),
            "caution": np.array(self.caution),
            "quantities": np.array(list(self.fits)),
        }
        for name, fits in self.fits.items():
            models = (fits.expected, *fits.members)
            arrays |= {f"{part}_{name}": np.stack([getattr(m, part) for m in models]) for part in PARTS}
            arrays |= {f"own_{name}": np.array(fits.own), f"alone_{name}": fits.alone}
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "LowRankOracle":
        """Read what `save` wrote.

        Raises:
            InputError: another file, or a damaged one; names it.
        """
        stored = load_arrays(path)
        try:
            if str(stored["format"]) != FORMAT:
                raise ValueError(f"format {stored['format']}")
            fits = {}
            for name in map(str, stored["quantities"]):
                parts = zip(*(stored[f"{part}_{name}"] for part in PARTS), strict=True)
                expected, *members = (LowRank(*part) for part in parts)
                fits[name] = Fits(
                    expected, tuple(members), float(stored[f"own_{name}"]), stored[f"alone_{name}"]
                )
            space = ColocationSpace(tuple(map(str, stored["apps"])), int(stored["slots"]))
            return cls(space, fits, float(stored["caution"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: no low-rank simulator, {error}") from None


def fit_models(
    names: Sequence[str],
    rows: Rows,
    alone: FloatArray,
    *,
    resources: int,
    members: int,
    seed: int,
    keys: IntArray,
    before: Fits | None = None,
    progress: FittingProgress | None = None,
) -> Fits:
    """Fit a model to all rows, and members to rows drawn at random, each as often as chance has it.

    Args:
        names: of the applications.
        rows: what was measured, as shares that fall as others disturb.
        alone: see `Fits`.
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
    return Fits(expected, tuple(made), _own(expected, made, rows, drawn < 1), alone)


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
    report = {"measured": float(len(profile) / max(profile.space.size - 1, 1))}
    order = np.random.default_rng(seed).permutation(len(profile))
    kept, rest = np.split(order, [round(len(order) * held_out)])
    judged = len(kept) > 1 and len(rest) > 0
    total = (len(quantities) + judged) * (members + 1)
    done = 0

    def fit(chosen: IntArray, name: str) -> Fits:
        nonlocal done

        def step(made: int, of: int) -> None:
            if progress:
                progress(done + made, total)

        rows = rows_of(profile, name, noise, chosen)
        fits = fit_models(
            profile.apps,
            rows,
            profile.alone(name),
            resources=resources,
            members=members,
            seed=seed,
            keys=profile.space.index(rows.colocations),
            progress=step,
        )
        done += members + 1
        return fits

    if judged:
        report |= _judge(fit(np.sort(rest), quantities[0]), profile, np.sort(kept), quantities[0], noise)
    fitted = {name: fit(np.arange(len(profile)), name) for name in quantities}
    return LowRankOracle(profile.space, fitted), report


def rows_of(profile: Profile, name: str, noise: float, chosen: IntArray) -> Rows:
    """Return the rows of a profile as shares that fall as others disturb: of a latency its inverse.

    Args:
        profile: what was measured.
        name: of the quantity.
        noise: deviation of the logarithm of a row.
        chosen: rows, int [n]; stand-alone runs count for what is reached alone, chosen or not.
    """
    values, alone = profile.quantity(name)[chosen], profile.alone(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = values / alone if name in SHARES else alone / values
    weights = None if profile.weight is None else profile.weight[chosen]
    return Rows(profile.colocations[chosen], np.where(np.isfinite(shares), shares, np.nan), noise, weights)


def _judge(fits: Fits, profile: Profile, rows: IntArray, name: str, noise: float) -> dict[str, float]:
    """Fidelity and coverage of the 80 % interval on rows that the fit did not see."""
    kept, values = profile.rows(rows), profile.quantity(name)[rows]
    predicted = LowRankOracle(kept.space, {name: fits}).quantities_of(kept.colocations, (name,))[name]
    present = kept.present & np.isfinite(values) & np.isfinite(predicted)
    report = fidelity(values, predicted, present, kept.apps)
    varied = present & (kept.colocations.sum(axis=1, keepdims=True) > 1)
    reach = NormalDist().inv_cdf(0.5 + COVERED / 2) * np.hypot(fits.spread(kept.colocations), noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.abs(np.log(values / predicted)) <= reach
    return report | {"coverage80": float(inside[varied].mean()) if varied.any() else float("nan")}


def written_out(
    oracle: LowRankOracle, profile: Profile, report: dict[str, float], *, overwrite: bool, seed: int
) -> FittedSimulator:
    """Write an oracle out over a tabulated space, with its doubts.

    Args:
        oracle: what was fitted.
        profile: what it was fitted to.
        report: of its fidelity.
        overwrite: whether measured rows stand over predicted ones.
        seed: of what co-locations deviate by in draws.
    """
    space, ids = oracle.space, profile.space.index(profile.colocations)
    tables, doubts = {}, {}
    for name, table in oracle.tables.quantities.items():
        fits, values = oracle.fits[name], profile.quantity(name)
        measured = np.isfinite(values) & np.isfinite(fits.alone) & overwrite & (profile.weights == 1)[:, None]
        tables[name] = table.copy()
        tables[name][ids] = np.where(measured, values, table[ids])
        spread = fits.spread(space.counts)
        sign = 1.0 if name in SHARES else -1.0
        middle = fits.expected.log_shares(space.counts)
        rng = np.random.default_rng([seed, len(fits.members)])
        beside = spread > 0
        draws = np.zeros((len(fits.members), *table.shape), dtype=np.float16)
        for k, member in enumerate(fits.members):
            own = rng.normal(0.0, fits.own, table.shape) if fits.own else 0.0
            draws[k] = np.where(beside, sign * (member.log_shares(space.counts) - middle) + own, 0.0)
        spread[ids] = np.where(measured, 0.0, spread[ids])
        draws[:, ids] = np.where(measured, 0.0, draws[:, ids])
        doubts[name] = Doubt(spread, draws)
    return FittedSimulator(Tables(space, tables), report, doubts)
