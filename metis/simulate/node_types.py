"""Simulators of the nodes of single types, fitted to what was measured there and lent from other types."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metis.measure.profile import MEASURES, SHARES, Profile, median_known
from metis.problem.counts import FloatArray
from metis.problem.tables import Tables
from metis.simulate.model_oracle import ModelOracle, OfType
from metis.simulate.simulator import Doubt, FittedSimulator
from metis.simulate.type_transfer import LITTLE, transferred


def simulate_by_type(
    profile: Profile, doubt: float, fit: Callable[[Profile], FittedSimulator], transfer: bool = False
) -> FittedSimulator:
    """Fit a simulator to each node type of a profile, and one to all types together.

    Co-locations that were not measured on a type are lent to its fit by the other types, as shares of what
    applications reach alone. What is predicted with their help is worse by `doubt`, as is all that is
    predicted of types together: shares lower, latencies higher.

    Args:
        profile: with `types`.
        doubt: deviation of the logarithm by which a type may differ from others.
        fit: of one profile without types.
        transfer: whether what is lent is as the type differs from others where it was measured, instead of
            what others do; see `metis.simulate.type_transfer`.

    Returns:
        A simulator for types that were not measured, with one for each that was. Shares are of what an
        application reaches alone on the type where that is most.
    """
    together = replace(profile, types={}, pace=None)
    found = {}
    report: dict[str, float] = {}
    for name in profile.types:
        own, lent = _with_lent(profile, name, together, transfer)
        fitted = fit(lent) if len(lent) > len(own) else fit(replace(own, pace=None))
        found[name] = _on_type(fitted, profile, own, doubt)
        report |= {f"{figure}_{name}": value for figure, value in fitted.report.items() if figure == "r2"}
        report[f"measured_{name}"] = found[name].tables.measured
    base = fit(together)
    return replace(_on_type(base, profile, None, doubt), report={**base.report, **report}, types=found)


def oracle_by_type(
    profile: Profile,
    doubt: float,
    fit: Callable[[Profile], tuple[ModelOracle, dict[str, float]]],
    transfer: bool = False,
) -> tuple[ModelOracle, dict[str, float]]:
    """Fit an oracle to each node type of a profile, and one to all together, as `simulate_by_type` does.

    Of a type to which others lend, all is worse by `doubt` but what was measured there.

    Args:
        profile: with `types`.
        doubt: deviation of the logarithm by which a type may differ from others.
        fit: of one profile without types; returns the oracle and its report.
        transfer: see `simulate_by_type`.
    """
    together = replace(profile, types={}, pace=None)
    base, report = fit(together)
    found = {}
    for name in profile.types:
        own, lent = _with_lent(profile, name, together, transfer)
        oracle, judged = fit(lent)
        known = lent.space.size - 1
        of = OfType(
            {quantity: _pace(quantity, profile, own) for quantity in oracle.fits if quantity in SHARES},
            doubt if len(lent) > len(own) else 0.0,
            np.zeros(len(profile.apps), dtype=bool) if own.pace is None else np.isfinite(own.pace),
            len(own) / known,
        )
        here = None if oracle.known is None else oracle.known.among(own.colocations)
        found[name] = replace(oracle, of_type=of, known=here)
        report |= {f"r2_{name}": judged["r2"]} if "r2" in judged else {}
        report[f"measured_{name}"] = of.measured
    paces = {quantity: _pace(quantity, profile, None) for quantity in base.fits if quantity in SHARES}
    of = OfType(paces, doubt, np.zeros(len(profile.apps), dtype=bool), 0.0)
    return replace(base, of_type=of, by_type=found, known=None), report


def speed_pace(profile: Profile, own: Profile | None) -> FloatArray:
    """Return the lowest stand-alone p99 of all types over that of one, [apps]; the median of types for None.

    NaN where the latency of an application was not measured alone.
    """
    alone = np.stack([one.alone("p99") for one in profile.types.values()])
    best = np.array([np.nanmin(column) if np.isfinite(column).any() else np.nan for column in alone.T])
    return np.asarray(median_known(best / alone) if own is None else best / own.alone("p99"))


def _with_lent(profile: Profile, name: str, together: Profile, transfer: bool) -> tuple[Profile, Profile]:
    """Return what was measured on a type, and the same with what others lend; see `simulate_by_type`."""
    own = profile.types[name]
    if not transfer or len(own) >= min(len(together), LITTLE) or len(profile.types) == 1:
        return own, _lent(own, together)
    found = transferred(profile, name)
    rps = np.where(np.isfinite(together.rps), found.shares, np.nan)
    return found.own, _lent(found.own, replace(together, rps=rps))


def _lent(own: Profile, together: Profile) -> Profile:
    """Return the rows of a type, and of all types together those that were not measured on it."""
    ids = own.space.index(own.colocations)
    others = together.rows(~np.isin(together.space.index(together.colocations), ids))
    measures = {name: np.concatenate([getattr(own, name), getattr(others, name)]) for name in MEASURES}
    for name in ("p50", "p99"):  # seconds of other machines, as slow as this one
        slower = own.alone(name) / together.alone(name)
        measures[name][len(own) :] *= np.where(np.isfinite(slower), slower, 1.0)
    spreads = [np.full(one.rps.shape, np.nan) if one.spread is None else one.spread for one in (own, others)]
    spread = np.concatenate(spreads)
    return Profile(
        own.apps,
        own.slots,
        np.concatenate([own.colocations, others.colocations]),
        **measures,
        provenance=own.provenance,
        spread=spread if np.isfinite(spread).any() else None,
        types={},
    )


def _on_type(fitted: FittedSimulator, profile: Profile, own: Profile | None, doubt: float) -> FittedSimulator:
    """Return a simulator in shares of the best type, worse by `doubt` but where the type was measured."""
    space = fitted.tables.space
    measured = np.zeros(space.size, dtype=bool)
    measured[0] = True  # nothing runs there
    if own is not None:
        measured[space.index(own.colocations)] = True
    guessed = np.repeat(~measured[:, None], len(space.apps), axis=1)
    paces = {name: _pace(name, profile, own) for name in fitted.tables.quantities}
    tables, doubts = {}, {}
    for name, table in fitted.tables.quantities.items():
        step = np.where(guessed, -doubt if name in SHARES else doubt, 0.0)
        tables[name] = table * paces[name] * np.exp(step)
        if name in fitted.doubts:
            doubts[name] = _wider(fitted.doubts[name], guessed, step, doubt)
    share = float(measured[1:].mean())
    return FittedSimulator(Tables(space, tables, measured=share), fitted.report, doubts)


def _pace(name: str, profile: Profile, own: Profile | None) -> FloatArray:
    """Return by what the shares on a type are multiplied, [apps].

    Of an application that was not measured alone on the type it is the median of those that were; of a type
    without any, what the application has on others, in the median.
    """
    if name not in SHARES:
        return np.ones(len(profile.apps))
    if name == "rps":
        typical, here = profile.pace, profile.pace if own is None else own.pace
    else:
        typical, here = speed_pace(profile, None), speed_pace(profile, own)
    assert typical is not None  # of a profile with types
    assert here is not None
    known = np.isfinite(here)
    found = np.where(known, here, np.median(here[known])) if known.any() else typical
    return np.where(np.isfinite(found), found, 1.0)


def _wider(known: Doubt, guessed: NDArray[np.bool_], step: FloatArray, doubt: float) -> Doubt:
    """Return a doubt with that of other types: of all their co-locations alike, in one draw."""
    draws = len(known.draws)
    drawn = np.random.default_rng(draws).normal(0.0, doubt, (draws, 1, 1))
    return Doubt(
        np.where(guessed, np.hypot(known.spread, doubt), known.spread),
        (known.draws - step + np.where(guessed, drawn, 0.0)).astype(np.float16),
    )
