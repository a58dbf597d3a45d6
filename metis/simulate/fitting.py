"""Fitting a simulator to a profile, one table per quantity."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metis.errors import InputError
from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, describe_colocation
from metis.problem.tables import Tables
from metis.simulate.fidelity import fidelity
from metis.simulate.regressed import RegressedSimulator
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import FittedSimulator

if TYPE_CHECKING:
    from metis.simulate.lowrank_oracle import LowRankOracle
    from metis.simulate.model_oracle import ModelOracle


def fit_simulator(
    profile: Profile,
    settings: SimulatorSettings | None = None,
    quantities: Sequence[str] = ("rps",),
    progress: Callable[[int, int], None] | None = None,
) -> FittedSimulator:
    """Fit a simulator to `profile` and write it out over the profile's space.

    Args:
        profile: what was measured.
        settings: which simulator; None for the default.
        quantities: what to predict: `rps`, `speed`, `p50`, `p99`. The report is on the first.
        progress: of `lowrank`: called with the fits done and all.

    Returns:
        Tables of the quantities; a column is NaN where the quantity of an application was never measured.
        Of a profile with node types also tables of each type.

    Raises:
        InputError: `table` and a co-location was not measured (says how many and names one), or an unknown
            quantity.
    """
    settings = settings or SimulatorSettings()
    if not profile.types:
        return _fitted(profile, settings, quantities, progress)
    from metis.simulate.node_types import simulate_by_type

    return simulate_by_type(
        profile,
        settings.type_doubt,
        lambda one: _fitted(one, settings, quantities, progress),
        settings.type_transfer,
    )


def _fitted(
    profile: Profile,
    settings: SimulatorSettings,
    quantities: Sequence[str],
    progress: Callable[[int, int], None] | None,
) -> FittedSimulator:
    """Fit a simulator to a profile without types."""
    space = profile.space
    measured = np.zeros(space.size, dtype=bool)
    measured[space.index(profile.colocations)] = True
    measured[0] = True  # the empty co-location is worth nothing and needs no measuring
    report = {"measured": float(measured.mean())}
    if settings.kind == "table" and not measured.all():
        first = describe_colocation(space.counts[np.flatnonzero(~measured)[0]], space.apps)
        raise InputError(
            f"simulator=table needs every co-location measured: {(~measured).sum():,} of {space.size - 1:,} "
            f"are missing, for instance {first}; use simulator=ensemble, the best for few rows, or boosted"
        )
    overwritten = settings.overwrite and bool((profile.weights == 1).all())
    exact = bool(measured.all()) and (overwritten or settings.kind == "table")
    if settings.kind == "ensemble" and not exact:
        from metis.simulate.belief import simulate_by_ensemble

        noise = profile.noise if settings.noise is None else settings.noise
        return simulate_by_ensemble(profile, quantities, noise, settings.held_out, settings.seed)[0]
    if settings.kind == "lowrank" and not exact:
        oracle, judged = lowrank_of(profile, settings, quantities, progress)
        report |= {name: value for name, value in judged.items() if name != "measured"}
        from metis.simulate.lowrank_table import written_out

        return written_out(oracle, profile, report, overwrite=settings.overwrite, seed=settings.seed)
    if not exact and settings.held_out > 0:
        report |= _held_out(profile, settings, quantities[0])
    tables = {name: _table_of(name, profile, settings, exact) for name in quantities}
    return FittedSimulator(Tables(space, tables), report)


def oracle_of(
    profile: Profile,
    settings: SimulatorSettings,
    quantities: Sequence[str] = ("rps",),
    progress: Callable[[int, int], None] | None = None,
) -> "tuple[ModelOracle, dict[str, float]]":
    """Fit a simulator as an oracle, whose space need not be tabulated.

    Measured rows stand over predicted ones, as in tables, where the settings say so. Of a profile with node
    types also oracles of each type.

    Args:
        profile: what was measured.
        settings: of the simulator.
        quantities: what to predict. The report is on the first.
        progress: called with the fits done and all.

    Raises:
        InputError: `table`, which needs all co-locations measured.
    """
    if settings.kind == "table":
        raise InputError(
            f"simulator=table needs every co-location measured, all {profile.space.size - 1:,}; "
            "use simulator=lowrank, the best for many applications, or ensemble"
        )
    if profile.types:
        from metis.simulate.node_types import oracle_by_type

        return oracle_by_type(
            profile,
            settings.type_doubt,
            lambda one: oracle_of(one, settings, quantities, progress),
            settings.type_transfer,
        )
    noise = profile.noise if settings.noise is None else settings.noise
    oracle: ModelOracle
    if settings.kind == "lowrank":
        oracle, report = lowrank_of(profile, settings, quantities, progress)
    elif settings.kind == "ensemble":
        from metis.simulate.process_oracle import fit_process_oracle

        oracle, report = fit_process_oracle(
            profile,
            quantities,
            noise=noise,
            held_out=settings.held_out,
            seed=settings.seed,
            progress=progress,
        )
    else:
        from metis.simulate.tree_oracle import fit_tree_oracle

        oracle, report = fit_tree_oracle(profile, settings, quantities, progress)
        noise = 0.0  # of errors of their own trees know nothing, by which to weigh a measurement
    return oracle.with_measured(profile, noise) if settings.overwrite else oracle, report


def lowrank_of(
    profile: Profile,
    settings: SimulatorSettings,
    quantities: Sequence[str] = ("rps",),
    progress: Callable[[int, int], None] | None = None,
) -> "tuple[LowRankOracle, dict[str, float]]":
    """Fit low-rank models alone; see `oracle_of`."""
    from metis.simulate.lowrank_oracle import fit_lowrank_oracle

    return fit_lowrank_oracle(
        profile,
        quantities,
        noise=profile.noise if settings.noise is None else settings.noise,
        resources=settings.resources,
        members=settings.members,
        held_out=settings.held_out,
        seed=settings.seed,
        progress=progress,
    )


def _table_of(name: str, profile: Profile, settings: SimulatorSettings, exact: bool) -> FloatArray:
    """The table of one quantity, [size, apps]: measured where `exact`, else predicted."""
    if name == "rps":  # every row of a profile has it
        return _written_out(name, profile, settings, exact)
    values = profile.quantity(name)
    known = np.isfinite(values / profile.alone(name)).any(axis=0)
    every = np.isfinite(values) | ~profile.present
    table = _written_out(name, profile, settings, exact and bool(every[:, known].all()))
    table[:, ~known] = np.nan
    return table


def _written_out(name: str, profile: Profile, settings: SimulatorSettings, exact: bool) -> FloatArray:
    space, values, alone = profile.space, profile.quantity(name), profile.alone(name)
    if exact:
        table = np.zeros((space.size, len(space.apps)))
    else:
        # regressors see shares of what is reached alone, whatever the unit
        model = RegressedSimulator(settings, profile.colocations, values / alone, profile.weight)
        table = model.predict(space.counts) * alone
    if exact or settings.overwrite:
        ids = space.index(profile.colocations)
        # a row that was disturbed is no more than a hint
        taken = np.isfinite(values) & ((profile.weights == 1) | exact)[:, None]
        table[ids] = np.where(taken, values, table[ids])
    return table


def _held_out(profile: Profile, settings: SimulatorSettings, name: str) -> dict[str, float]:
    """R2 and MSE of a quantity on rows that a first fit did not see."""
    order = np.random.default_rng(settings.seed).permutation(len(profile))
    kept = order[: round(len(order) * settings.held_out)]
    rest = np.setdiff1d(order, kept)
    if len(kept) < 2 or not len(rest):
        return {}
    values, alone = profile.quantity(name), profile.alone(name)
    weights = None if profile.weight is None else profile.weight[rest]
    model = RegressedSimulator(settings, profile.colocations[rest], values[rest] / alone, weights)
    predicted = model.predict(profile.colocations[kept]) * alone
    judged = profile.present[kept] & np.isfinite(values[kept]) & np.isfinite(alone)
    return fidelity(values[kept], predicted, judged, profile.apps)
