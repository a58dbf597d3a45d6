"""Fitting a simulator to a profile."""

import numpy as np

from metis.errors import InputError
from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, describe_colocation
from metis.problem.tables import Tables
from metis.simulate.fidelity import fidelity
from metis.simulate.regressed import RegressedSimulator
from metis.simulate.settings import SimulatorSettings
from metis.simulate.simulator import FittedSimulator


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
    from metis.simulate.ensemble import simulate_by_ensemble

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
