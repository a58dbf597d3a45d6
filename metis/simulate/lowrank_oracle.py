"""Low-rank models of the quantities that an objective needs, for any co-location, and what they doubt."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import exp
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
class OfType:
    """What makes predictions those of the nodes of one type.

    Attributes:
        pace: what applications reach alone there, as a share of what they do on the type where that is most,
            by quantity that is a share, float64 [apps].
        doubt: deviation of the logarithm by which it may differ from what was measured on others; what is
            predicted with their help is worse by so much.
        alone: whether an application was measured alone there, bool [apps].
        measured: share of the co-locations that were measured there.
    """

    pace: Mapping[str, FloatArray]
    doubt: float
    alone: NDArray[np.bool_]
    measured: float

    def guessed(self, colocations: IntArray) -> NDArray[np.bool_]:
        """Return where others help to predict: all but what was measured alone, bool [n, apps]."""
        single = colocations.sum(axis=1, keepdims=True) == 1
        return np.asarray((colocations > 0) & ~(single & self.alone))


@dataclass(frozen=True)
class LowRankOracle:
    """A `BoundedOracle` of low-rank models, with doubts.

    Attributes:
        space: the co-locations; they need not be tabulated.
        fits: by name of the quantity.
        caution: spreads by which everything is predicted worse than expected.
        of_type: whose nodes it predicts; None where types are not distinguished.
        by_type: the same of the nodes of single types.
        shift: deviations by which a draw differs from what is expected where other types help.
    """

    space: ColocationSpace
    fits: Mapping[str, Fits]
    caution: float = 0.0
    of_type: OfType | None = None
    by_type: Mapping[str, "LowRankOracle"] = field(default_factory=dict)
    shift: float = -1.0

    @property
    def measured(self) -> float:
        """Share of the co-locations measured on the type; 1 where types are not distinguished."""
        return 1.0 if self.of_type is None else self.of_type.measured

    def quantities_of(self, colocations: IntArray, names: Sequence[str]) -> dict[str, FloatArray]:
        """See `Oracle.quantities_of`."""
        return {name: self._quantity(colocations, name) for name in names}

    def _quantity(self, colocations: IntArray, name: str) -> FloatArray:
        fits = self._fits(name)
        shares = fits.expected.shares(colocations)
        if self.caution:
            shares = shares * np.exp(-self.caution * self._spread(fits, colocations))
        if self.of_type is not None and self.of_type.doubt:
            worse = self.shift * self.of_type.doubt
            shares = shares * np.exp(np.where(self.of_type.guessed(colocations), worse, 0.0))
        if name in SHARES:
            shares = shares * self._pace(name)
            return np.where(np.isfinite(fits.alone), shares, np.nan)
        with np.errstate(divide="ignore"):
            return np.where(np.isnan(fits.alone) | (colocations > 0), fits.alone / shares, 0.0)

    def _spread(self, fits: Fits, colocations: IntArray) -> FloatArray:
        spread = fits.spread(colocations)
        if self.of_type is None:
            return spread
        return np.hypot(spread, np.where(self.of_type.guessed(colocations), self.of_type.doubt, 0.0))

    def _pace(self, name: str) -> FloatArray:
        return np.ones(len(self.space.apps)) if self.of_type is None else self.of_type.pace[name]

    def _fits(self, name: str) -> Fits:
        if name not in self.fits:
            known = f"fitted were {', '.join(self.fits)}" if name in QUANTITIES else "there is none"
            raise InputError(f"quantity {name!r}: {known}")
        return self.fits[name]

    def most_rps(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """See `BoundedOracle.most_rps`; caution and the doubt of a type only lower what is predicted."""
        there, more = self._fits("rps").expected.most_shares(colocations, later)
        above = exp(max(self.shift, 0.0) * self.of_type.doubt) if self.of_type is not None else 1.0
        most = self._pace("rps") * above
        return there * most, more * most

    @property
    def branching(self) -> IntArray:
        """See `BoundedOracle.branching`."""
        return self._fits("rps").expected.branching

    def cautious(self, caution: float) -> "LowRankOracle":
        """Return it with every quantity worse by `caution` spreads."""
        types = {name: one.cautious(caution) for name, one in self.by_type.items()}
        return replace(self, caution=caution, by_type=types)

    def drawn(self) -> Iterator["LowRankOracle"]:
        """Yield oracles that could be true as well, one for each member."""
        every = [fits for one in (self, *self.by_type.values()) for fits in one.fits.values()]
        count = min(len(fits.members) for fits in every)
        for k, shift in enumerate(np.random.default_rng(count).standard_normal(count).tolist()):
            types = {name: one._draw(k, shift) for name, one in self.by_type.items()}
            yield replace(self._draw(k, shift), by_type=types)

    def _draw(self, k: int, shift: float) -> "LowRankOracle":
        """Return the k-th oracle that could be true as well, types aside."""
        could_be = {name: replace(fits, expected=fits.members[k]) for name, fits in self.fits.items()}
        return LowRankOracle(self.space, could_be, of_type=self.of_type, shift=shift)

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
            **self._arrays(),
        }
        if self.by_type:
            arrays["types"] = np.array(list(self.by_type))
        for t, one in enumerate(self.by_type.values()):
            arrays |= {f"type{t}_{name}": values for name, values in one._arrays().items()}
        save_arrays(path, arrays)

    def _arrays(self) -> dict[str, Any]:
        arrays: dict[str, Any] = {"quantities": np.array(list(self.fits))}
        if self.of_type is not None:
            of = self.of_type
            arrays |= {"doubt": np.array(of.doubt), "alone": of.alone, "measured": np.array(of.measured)}
            arrays |= {f"pace_{name}": values for name, values in of.pace.items()}
        for name, fits in self.fits.items():
            models = (fits.expected, *fits.members)
            arrays |= {f"{part}_{name}": np.stack([getattr(m, part) for m in models]) for part in PARTS}
            arrays |= {f"own_{name}": np.array(fits.own), f"alone_{name}": fits.alone}
        return arrays

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
            space = ColocationSpace(tuple(map(str, stored["apps"])), int(stored["slots"]))
            read = cls._of_arrays(space, stored, "")
            types = {
                str(name): replace(
                    cls._of_arrays(space, stored, f"type{t}_"), caution=float(stored["caution"])
                )
                for t, name in enumerate(stored.get("types", ()))
            }
            return replace(read, caution=float(stored["caution"]), by_type=types)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: no low-rank simulator, {error}") from None

    @classmethod
    def _of_arrays(
        cls, space: ColocationSpace, stored: Mapping[str, NDArray[Any]], prefix: str
    ) -> "LowRankOracle":
        fits = {}
        for name in map(str, stored[f"{prefix}quantities"]):
            parts = zip(*(stored[f"{prefix}{part}_{name}"] for part in PARTS), strict=True)
            expected, *members = (LowRank(*part) for part in parts)
            own, alone = float(stored[f"{prefix}own_{name}"]), stored[f"{prefix}alone_{name}"]
            fits[name] = Fits(expected, tuple(members), own, alone)
        if f"{prefix}doubt" not in stored:
            return cls(space, fits)
        of_type = OfType(
            {name: stored[f"{prefix}pace_{name}"] for name in fits if name in SHARES},
            float(stored[f"{prefix}doubt"]),
            stored[f"{prefix}alone"],
            float(stored[f"{prefix}measured"]),
        )
        return cls(space, fits, of_type=of_type)


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
