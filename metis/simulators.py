"""Simulators: predict the normalised RPS of each application in any co-location, fitted to a profile."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.objectives import Tables
from metis.problem import FloatArray, describe_colocation
from metis.profile import Profile
from metis.space import ColocationSpace, IntArray

SMALLEST_RPS = 0.01  # logarithms need a floor; measured RPS are far above it


class Simulator(Protocol):
    """Predicts a normalised quantity per application and co-location."""

    def predict(self, colocations: IntArray) -> FloatArray:
        """Normalised RPS, float64 [n, apps] for counts [n, apps]; 0 where absent.

        Double precision, because SLO levels are compared with it exactly.
        """
        ...


@dataclass(frozen=True)
class SimulatorSettings:
    """How a simulator is fitted.

    Attributes:
        kind: `table` (exact where measured, and everything must be), `forest` (the paper's random
            forest, one per application), `boosted` (gradient boosting on log RPS, one per application),
            `ensemble` (Gaussian processes: for few rows, well chosen).
        overwrite: put measured rows over predicted ones.
        trees: trees of the forest, or boosting rounds.
        depth: depth of the forest's trees.
        leaves: leaves of a boosted tree.
        learning_rate: of boosting.
        held_out: share of the rows kept back once to report R2 and MSE; 0 to skip it.
        seed: of the fit and of the rows held out.
    """

    kind: Literal["table", "forest", "boosted", "ensemble"] = "boosted"
    overwrite: bool = True
    trees: int = 100
    depth: int = 20
    leaves: int = 15
    learning_rate: float = 0.08
    held_out: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.trees <= 10_000 or not 1 <= self.depth <= 100 or not 2 <= self.leaves <= 1000:
            raise InputError(
                f"simulator.trees {self.trees}, depth {self.depth}, leaves {self.leaves}: "
                "give 1 to 10,000 trees, a depth of 1 to 100, 2 to 1,000 leaves"
            )
        if not 0 < self.learning_rate <= 1 or not 0 <= self.held_out < 1 or self.seed < 0:
            raise InputError(
                f"simulator.learning_rate {self.learning_rate:g}, held_out {self.held_out:g}, "
                f"seed {self.seed}: give above 0 to 1, 0 to less than 1, 0 or more"
            )


@dataclass(frozen=True)
class FittedSimulator:
    """A simulator written out over its space, and how well it predicts.

    Attributes:
        tables: normalised RPS (and latency) of every co-location.
        report: `measured` (share of the space), `r2` and `mse` held out, pooled over present
            applications, and `r2_<app>`; without a fit only `measured`.
    """

    tables: Tables
    report: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write tables and report as `.npz`, whole or not at all."""
        space, speed = self.tables.space, self.tables.speed
        arrays: dict[str, Any] = {
            "apps": np.array(space.apps),
            "slots": np.array(space.slots),
            "rps": self.tables.rps,
            "report_names": np.array(list(self.report)),
            "report_values": np.array(list(self.report.values()), dtype=np.float64),
        }
        save_arrays(path, arrays if speed is None else arrays | {"speed": speed})

    @classmethod
    def load(cls, path: Path) -> "FittedSimulator":
        """Read what `save` wrote.

        Raises:
            InputError: another file, or a damaged one; names it.
        """
        stored = load_arrays(path)
        try:
            report = zip(stored["report_names"], stored["report_values"], strict=True)
            space = ColocationSpace(tuple(map(str, stored["apps"])), int(stored["slots"]))
            tables = Tables(space, stored["rps"], stored.get("speed"))
            return cls(tables, {str(name): float(value) for name, value in report})
        except KeyError as error:
            raise InputError(f"{path}: not a fitted simulator, {error} is missing") from None
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a fitted simulator, {error}") from None


class RegressedSimulator:
    """One regressor per application, on counts, their total and who is present.

    An application that the profile never holds is predicted to reach what it reaches alone.
    """

    def __init__(self, settings: SimulatorSettings, colocations: IntArray, values: FloatArray) -> None:
        """Fit `values` [n, apps] (NaN where absent) on `colocations` [n, apps]."""
        self._logs = settings.kind == "boosted"
        self._models: list[Any] = []
        for a in range(colocations.shape[1]):
            known = (colocations[:, a] > 0) & np.isfinite(values[:, a])
            targets = values[known, a]
            if not known.any():
                self._models.append(None)
                continue
            targets = np.log(np.maximum(targets, SMALLEST_RPS)) if self._logs else targets
            with _one_thread():
                self._models.append(_regressor(settings).fit(self._features(colocations[known]), targets))

    def predict(self, colocations: IntArray) -> FloatArray:
        """See `Simulator.predict`."""
        result = np.zeros(colocations.shape)
        features = self._features(colocations)
        for a, model in enumerate(self._models):
            present = colocations[:, a] > 0
            if not present.any():
                continue
            if model is None:
                result[present, a] = 1.0
                continue
            with _one_thread():
                predicted = model.predict(features[present])
            result[present, a] = np.exp(predicted) if self._logs else np.maximum(predicted, 0)
        return result

    def _features(self, colocations: IntArray) -> FloatArray:
        # the paper's forest sees the counts alone
        if not self._logs:
            return colocations.astype(np.float64)
        return np.column_stack([colocations, colocations.sum(axis=1), colocations > 0]).astype(np.float64)


def fit_simulator(
    profile: Profile, settings: SimulatorSettings | None = None, *, latency: bool = False
) -> FittedSimulator:
    """Fit a simulator to `profile` and write it out over the profile's space.

    Args:
        profile: what was measured.
        settings: which simulator; None for the default.
        latency: also predict stand-alone p99 / p99, which only the latency objective needs.

    Raises:
        InputError: `table` and a co-location was not measured; says how many and names one.
    """
    settings = settings or SimulatorSettings()
    space = profile.space
    ids = space.index(profile.colocations)
    measured = np.zeros(space.size, dtype=bool)
    measured[ids] = True
    measured[0] = True  # the empty co-location is worth nothing and needs no measuring
    report = {"measured": float(measured.mean())}
    if settings.kind == "table" and not measured.all():
        first = describe_colocation(space.counts[np.flatnonzero(~measured)[0]], space.apps)
        raise InputError(
            f"simulator=table needs every co-location measured: {(~measured).sum():,} of {space.size:,} are "
            f"missing, for instance {first}; use simulator=boosted or forest"
        )
    exact = bool(measured.all()) and (settings.overwrite or settings.kind == "table")
    if settings.kind == "ensemble" and not exact:
        return _ensemble(profile, settings, latency)
    if not exact and settings.held_out > 0:
        report |= _held_out(profile, settings)
    rps = _written_out(profile.rps, profile, settings, exact)
    speed = _speed_table(profile, settings, exact) if latency else None
    return FittedSimulator(Tables(space, rps, speed), report)


def _ensemble(profile: Profile, settings: SimulatorSettings, latency: bool) -> FittedSimulator:
    from metis.ensemble import simulate_by_ensemble

    if latency:
        raise InputError("simulator=ensemble does not model latency: use boosted, forest or table")
    return simulate_by_ensemble(profile, held_out=settings.held_out, seed=settings.seed)[0]


def _written_out(
    values: FloatArray, profile: Profile, settings: SimulatorSettings, exact: bool
) -> FloatArray:
    space = profile.space
    if exact:
        table = np.zeros((space.size, len(space.apps)))
    else:
        table = RegressedSimulator(settings, profile.colocations, values).predict(space.counts)
    if exact or settings.overwrite:
        ids = space.index(profile.colocations)
        table[ids] = np.where(np.isfinite(values), values, table[ids])
    return table


def _speed_table(profile: Profile, settings: SimulatorSettings, exact: bool) -> FloatArray:
    speed = profile.speed
    known = np.isfinite(speed).any(axis=0)
    every = np.isfinite(speed) | ~profile.present
    table = _written_out(speed, profile, settings, exact and bool(every[:, known].all()))
    table[:, ~known] = np.nan
    return table


def _held_out(profile: Profile, settings: SimulatorSettings) -> dict[str, float]:
    """R2 and MSE on rows that a first fit did not see."""
    order = np.random.default_rng(settings.seed).permutation(len(profile))
    kept = order[: round(len(order) * settings.held_out)]
    rest = np.setdiff1d(order, kept)
    if len(kept) < 2 or not len(rest):
        return {}
    model = RegressedSimulator(settings, profile.colocations[rest], profile.rps[rest])
    truth, present = profile.rps[kept], profile.present[kept]
    return fidelity(truth, model.predict(profile.colocations[kept]), present, profile.apps)


def fidelity(
    truth: FloatArray, predicted: FloatArray, present: NDArray[np.bool_], apps: tuple[str, ...]
) -> dict[str, float]:
    """R2 and MSE of `predicted` against `truth` [n, apps] over present applications, and R2 of each."""
    error = np.where(present, predicted - truth, 0.0)
    report = {"r2": _r2(truth[present], error[present]), "mse": float(np.mean(error[present] ** 2))}
    for a, app in enumerate(apps):
        rows = present[:, a]
        if rows.sum() > 1:
            report[f"r2_{app}"] = _r2(truth[rows, a], error[rows, a])
    return report


def _r2(truth: FloatArray, error: FloatArray) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float((error**2).sum()) / spread if spread > 0 else 0.0


def _one_thread() -> Any:
    """On data this small OpenMP threads gain nothing; on a busy machine they wait for each other."""
    import sklearn.ensemble  # noqa: F401 - its OpenMP must be loaded to be limited
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)


def _regressor(settings: SimulatorSettings) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

    if settings.kind == "forest":
        return RandomForestRegressor(settings.trees, max_depth=settings.depth, random_state=settings.seed)
    return HistGradientBoostingRegressor(
        max_iter=settings.trees,
        learning_rate=settings.learning_rate,
        max_leaf_nodes=settings.leaves,
        min_samples_leaf=5,
        l2_regularization=0.1,
        random_state=settings.seed,
    )
