"""Models of the quantities that an objective needs, for any co-location, with what was measured over them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.measure.profile import QUANTITIES, SHARES, Profile
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.fidelity import fidelity
from metis.simulate.measured_rows import MeasuredRows, shrunk

COVERED = 0.8  # share of measurements that the reported interval should hold


class Fits(Protocol):
    """The models of one quantity, which say what share applications reach of what they reach alone.

    A share falls as others disturb: of a latency it is the inverse.
    """

    @property
    def alone(self) -> FloatArray:
        """What each application reaches alone, float64 [apps]; NaN where that was never measured."""
        ...

    @property
    def draws(self) -> int:
        """How many models there are that could be true as well; 0 where nothing is known of errors."""
        ...

    def shares(self, colocations: IntArray) -> FloatArray:
        """Return shares, float64 [n, apps]; 0 where absent, 1 for one alone."""
        ...

    def spread(self, colocations: IntArray) -> FloatArray:
        """Return the standard deviation of the logarithm of what is predicted, float64 [n, apps]."""
        ...

    def drawn(self, k: int) -> Self:
        """Return the k-th of those that could be true as well."""
        ...

    def arrays(self) -> dict[str, Any]:
        """Return arrays by name, to be stored."""
        ...

    @classmethod
    def of_arrays(cls, stored: Mapping[str, NDArray[Any]]) -> Self:
        """Read what `arrays` made."""
        ...


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

    def guessed(self, colocations: IntArray, known: MeasuredRows | None) -> NDArray[np.bool_]:
        """Return where others help to predict: all but what was measured there, bool [n, apps]."""
        single = colocations.sum(axis=1, keepdims=True) == 1
        found = (colocations > 0) & ~(single & self.alone)
        if known is not None:
            found[known.at(colocations)[0]] = False
        return np.asarray(found)


@dataclass(frozen=True)
class ModelOracle:
    """An `Oracle` of models, one for each quantity, with doubts where these have any.

    Attributes:
        space: the co-locations; they need not be tabulated.
        fits: by name of the quantity.
        caution: spreads by which everything is predicted worse than expected.
        of_type: whose nodes it predicts; None where types are not distinguished.
        by_type: the same of the nodes of single types.
        shift: deviations by which a draw differs from what is expected where other types help.
        known: what was measured, which stands over what is predicted; None for nothing.
    """

    space: ColocationSpace
    fits: Mapping[str, Any]
    caution: float = 0.0
    of_type: OfType | None = None
    by_type: Mapping[str, Self] = field(default_factory=dict)
    shift: float = -1.0
    known: MeasuredRows | None = None

    FORMAT: ClassVar[str]
    FITS: ClassVar[type[Fits]]

    @property
    def measured(self) -> float:
        """Share of the co-locations measured on the type; 1 where types are not distinguished."""
        return 1.0 if self.of_type is None else self.of_type.measured

    @property
    def noted(self) -> IntArray:
        """See `metis.problem.oracle.NotedOracle.noted`: what was measured."""
        if self.known is None:
            return np.zeros((0, len(self.space.apps)), dtype=np.int64)
        return self.known.colocations

    def quantities_of(self, colocations: IntArray, names: Sequence[str]) -> dict[str, FloatArray]:
        """See `Oracle.quantities_of`."""
        return {name: self._quantity(colocations, name) for name in names}

    def _quantity(self, colocations: IntArray, name: str) -> FloatArray:
        fits = self._fits(name)
        shares = fits.shares(colocations)
        if self.known is not None:
            shares = self.known.over(colocations, name, shares)
        if self.caution and fits.draws:
            shares = shares * np.exp(-self.caution * self.spread(colocations, name))
        if self.of_type is not None and self.of_type.doubt:
            worse = self.shift * self.of_type.doubt
            guessed = self.of_type.guessed(colocations, self.known)
            shares = shares * np.exp(np.where(guessed, worse, 0.0))
        if name in SHARES:
            shares = shares * self._pace(name)
            return np.where(np.isfinite(fits.alone), shares, np.nan)
        with np.errstate(divide="ignore"):
            return np.where(np.isnan(fits.alone) | (colocations > 0), fits.alone / shares, 0.0)

    def spread(self, colocations: IntArray, name: str) -> FloatArray:
        """Return the standard deviation of the logarithm of a quantity, float64 [n, apps]."""
        spread: FloatArray = self._fits(name).spread(colocations)
        if self.known is not None:
            spread = self.known.spread_over(colocations, name, spread)
        if self.of_type is None:
            return spread
        guessed = self.of_type.guessed(colocations, self.known)
        return np.hypot(spread, np.where(guessed, self.of_type.doubt, 0.0))

    def _pace(self, name: str) -> FloatArray:
        return np.ones(len(self.space.apps)) if self.of_type is None else self.of_type.pace[name]

    def _fits(self, name: str) -> Any:
        if name not in self.fits:
            known = f"fitted were {', '.join(self.fits)}" if name in QUANTITIES else "there is none"
            raise InputError(f"quantity {name!r}: {known}")
        return self.fits[name]

    def with_measured(self, profile: Profile, noise: float) -> Self:
        """Return it with the measured rows of a profile over its predictions.

        A row that was disturbed is no more than a hint to the fit; a noisy one is shrunk towards the
        prediction, see `shrunk`.

        Args:
            profile: what was measured.
            noise: deviation of the logarithm of one row.
        """
        taken = np.flatnonzero(profile.weights == 1)
        rows = profile.colocations[taken]
        shares, spreads = {}, {}
        for name, fits in self.fits.items():
            measured = shares_of(profile, name)[taken]
            measured[:, ~np.isfinite(fits.alone)] = np.nan
            shares[name], spreads[name] = shrunk(measured, fits.shares(rows), fits.spread(rows), noise)
        return replace(self, known=MeasuredRows(rows, shares, spreads))

    def cautious(self, caution: float) -> Self:
        """Return it with every quantity worse by `caution` spreads."""
        types = {name: one.cautious(caution) for name, one in self.by_type.items()}
        return replace(self, caution=caution, by_type=types)

    def drawn(self) -> Iterator[Self]:
        """Yield oracles that could be true as well; none where nothing is known of errors."""
        every = [fits for one in (self, *self.by_type.values()) for fits in one.fits.values()]
        count = min(fits.draws for fits in every)
        for k, shift in enumerate(np.random.default_rng(count).standard_normal(count).tolist()):
            types = {name: one._draw(k, shift) for name, one in self.by_type.items()}
            yield replace(self._draw(k, shift), by_type=types)

    def _draw(self, k: int, shift: float) -> Self:
        """Return the k-th oracle that could be true as well, types aside."""
        could_be = {name: fits.drawn(k) for name, fits in self.fits.items()}
        known = None if self.known is None else self.known.drawn(np.random.default_rng([k]))
        return type(self)(self.space, could_be, of_type=self.of_type, shift=shift, known=known)

    @cached_property
    def tables(self) -> Tables:
        """What is predicted, of a space that is tabulated."""
        return Tables(self.space, self.quantities_of(self.space.counts, list(self.fits)))

    def save(self, path: Path) -> None:
        """Write it as `.npz`, whole or not at all."""
        arrays: dict[str, Any] = {
            "format": np.array(self.FORMAT),
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
        if self.known is not None:
            arrays |= self.known.arrays("known_")
        for name, fits in self.fits.items():
            arrays |= {f"{part}_{name}": values for part, values in fits.arrays().items()}
        return arrays

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: another file, or a damaged one; names it.
        """
        stored = load_arrays(path)
        try:
            if str(stored["format"]) != cls.FORMAT:
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
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InputError(f"{path}: no simulator of many applications, {error}") from None

    @classmethod
    def _of_arrays(cls, space: ColocationSpace, stored: Mapping[str, NDArray[Any]], prefix: str) -> Self:
        names = list(map(str, stored[f"{prefix}quantities"]))
        fits = {}
        for name in names:
            own = {
                key.removeprefix(prefix).removesuffix(f"_{name}"): values
                for key, values in stored.items()
                if key.startswith(prefix) and key.endswith(f"_{name}")
            }
            fits[name] = cls.FITS.of_arrays(own)
        known = MeasuredRows.of_arrays(stored, f"{prefix}known_", names)
        if f"{prefix}doubt" not in stored:
            return cls(space, fits, known=known)
        of_type = OfType(
            {name: stored[f"{prefix}pace_{name}"] for name in fits if name in SHARES},
            float(stored[f"{prefix}doubt"]),
            stored[f"{prefix}alone"],
            float(stored[f"{prefix}measured"]),
        )
        return cls(space, fits, of_type=of_type, known=known)


Made = TypeVar("Made", bound=ModelOracle)


def shares_of(profile: Profile, name: str) -> FloatArray:
    """Return a quantity of a profile as shares that fall as others disturb: of a latency its inverse.

    Returns:
        float64 [n, apps]; NaN where absent or unknown.
    """
    values, alone = profile.quantity(name), profile.alone(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = values / alone if name in SHARES else alone / values
    return np.where(np.isfinite(shares), shares, np.nan)


def measured_share(profile: Profile) -> float:
    """Return the share of the co-locations of a profile's space that were measured."""
    return float(len(profile) / max(profile.space.size - 1, 1))


def split_rows(profile: Profile, held_out: float, seed: int) -> tuple[IntArray, IntArray]:
    """Return rows of a profile to judge by, and those to fit to meanwhile; none where they are too few."""
    order = np.random.default_rng(seed).permutation(len(profile))
    kept, rest = np.split(order, [round(len(order) * held_out)])
    enough = len(kept) > 1 and len(rest) > 0
    return np.sort(kept if enough else kept[:0]), np.sort(rest)


def fit_oracle(
    kind: type[Made],
    profile: Profile,
    quantities: Sequence[str],
    fit: Callable[[IntArray, str, Callable[..., None]], Any],
    *,
    steps: int,
    noise: float,
    held_out: float,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[Made, dict[str, float]]:
    """Fit models of quantities, judged once by rows that a first fit did not see.

    Args:
        kind: of oracle.
        profile: what was measured.
        quantities: what to predict; the report is on the first.
        fit: of some rows of the profile and a quantity; calls what it is given after each step.
        steps: of one fit.
        noise: deviation of the logarithm of one row.
        held_out: share of the rows kept back for the report; 0 to skip it.
        seed: of the rows held out.
        progress: called with the steps done and all.

    Returns:
        The oracle, and its report: `measured`, and of rows held out what `judged` returns.
    """
    report = {"measured": measured_share(profile)}
    kept, rest = split_rows(profile, held_out, seed)
    total = (len(quantities) + bool(len(kept))) * steps
    done = count(1)

    def step(*_: int) -> None:
        if progress:
            progress(next(done), total)

    name = quantities[0]
    if len(kept):
        first = kind(profile.space, {name: fit(rest, name, step)})
        report |= judged(first, profile, kept, name, noise)
    every = np.arange(len(profile))
    return kind(profile.space, {one: fit(every, one, step) for one in quantities}), report


def judged(
    oracle: ModelOracle, profile: Profile, rows: IntArray, name: str, noise: float
) -> dict[str, float]:
    """Return fidelity on rows that the fit did not see, and of an 80 % interval how many it holds."""
    kept, values = profile.rows(rows), profile.quantity(name)[rows]
    predicted = oracle.quantities_of(kept.colocations, (name,))[name]
    present = kept.present & np.isfinite(values) & np.isfinite(predicted)
    report = fidelity(values, predicted, present, kept.apps)
    if not oracle.fits[name].draws:
        return report
    varied = present & (kept.colocations.sum(axis=1, keepdims=True) > 1)
    reach = NormalDist().inv_cdf(0.5 + COVERED / 2) * np.hypot(oracle.spread(kept.colocations, name), noise)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = np.abs(np.log(values / predicted)) <= reach
    return report | {"coverage80": float(inside[varied].mean()) if varied.any() else float("nan")}
