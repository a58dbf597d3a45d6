"""What applications reach on a type of node of which little was measured, from what they do on other types.

A Gaussian process over the logarithms of two things: the pace of an application alone, and the share of it
that it keeps in a co-location. Its mean is what other types say. Applications that are alike on known types
are taken to be alike on the new one: what one of them deviates by there, the other one is expected to deviate
by, too, as a victim and as a neighbour. A run on the new type says the sum of both, so that also a
co-location says something on the pace of an application that was never alone there.

The kernel states what is expected, not what was found on any table: a type is at large faster or slower, more
or less sensitive to neighbours, and applications differ in that.
"""

from dataclasses import dataclass, replace

import numpy as np

from metis.measure.profile import Profile
from metis.problem.counts import FloatArray, IntArray

FLOOR = 0.1  # of shares: less is as good as nothing, and its logarithm would drown all others
# deviations of logarithms, of shares: of all, with how much is lost elsewhere, with how much known types
# differ, of a victim, of its neighbours, of both together, and of a single co-location
LEVEL, SLOPE, APART, VICTIM, NEIGHBOUR, BOTH, SINGLE = 0.3, 0.5, 0.4, 0.15, 0.15, 0.2, 0.15
# of the pace: of all, with how much known types differ, of applications that are alike, of one alone
PACE, PACE_APART, PACE_ALIKE, PACE_OWN = 0.5, 0.7, 0.3, 0.1
ALIKE = 0.5  # distance of applications, in deviations of what is known of them, at which they hardly are
LITTLE = 400  # co-locations of a type, beyond which nothing is transferred
EXACT = 1e-6  # variance of a measured logarithm


@dataclass(frozen=True)
class _Entries:
    """Logarithms that are asked for, or were measured: of n rates.

    Attributes:
        app: whose rate, int [n].
        shared: 1 where it is beside others, so that the share counts; 0 of one alone, float64 [n].
        beside: share of each application in its neighbours, float64 [n, apps].
        mean: logarithm of the share by other types, float64 [n].
        apart: by how much each known type deviates from that, float64 [n, types].
        row: number of the co-location; an entry is the same as another one with equal row and app, int [n].
    """

    app: IntArray
    shared: FloatArray
    beside: FloatArray
    mean: FloatArray
    apart: FloatArray
    row: IntArray


@dataclass(frozen=True)
class Transferred:
    """What a type is expected to do.

    Attributes:
        own: what was measured on it, with the pace of every application.
        shares: that applications keep there in the co-locations of the whole profile, float64 [rows, apps];
            NaN where absent.
        spreads: deviations of the logarithms of their rates, share and pace together, likewise.
    """

    own: Profile
    shares: FloatArray
    spreads: FloatArray


def transferred(profile: Profile, name: str) -> Transferred:
    """Return what a type is expected to do where it was not measured, from its few runs and other types.

    Args:
        profile: with `types`, `name` among them, and another one.
        name: of the type.
    """
    own = profile.types[name]
    others = [one for other, one in profile.types.items() if other != name]
    paces = np.log(np.stack([one.pace for one in others if one.pace is not None]))
    typical = _mean(paces, axis=0)
    typical = np.where(np.isfinite(typical), typical, _mean(typical, axis=0))
    every = _entries(profile.colocations, profile, others)
    seen = _entries(own.colocations, profile, others)
    alike = _alikeness(profile, others, paces - typical)
    differ = np.where(np.isfinite(paces), paces - typical, 0.0)
    assert own.pace is not None  # of a type
    rows, apps = np.nonzero(own.colocations)
    rates = np.log(np.maximum(own.rps[rows, apps], FLOOR)) + np.log(own.pace[apps])
    known = np.isfinite(rates)
    seen = _Entries(*(part[known] for part in vars(seen).values()))
    missed = rates[known] - seen.shared * seen.mean - typical[seen.app]
    alone = np.arange(len(own.apps))
    within = _shares(seen, seen, alike) + _paces(seen.app, seen.app, alike, differ)
    weights = np.linalg.solve(within + EXACT * np.eye(len(missed)), missed)
    pace = np.exp(typical + _paces(alone, seen.app, alike, differ) @ weights)
    crossed = _shares(every, seen, alike)
    expected = np.exp(every.mean + crossed @ weights)
    crossed += _paces(every.app, seen.app, alike, differ)
    solved = np.linalg.solve(within + EXACT * np.eye(len(missed)), crossed.T).T
    variances = _variances(every, alike, differ) - (crossed * solved).sum(axis=1)
    shares, spreads = np.full((2, *profile.colocations.shape), np.nan)
    present = np.nonzero(profile.colocations)
    shares[present] = np.where(every.shared > 0, expected, 1.0)
    spreads[present] = np.sqrt(np.maximum(variances, 0.0))
    measured = np.isfinite(own.rps) & (own.rps > 0)
    of = np.where(measured.any(axis=0), own.pace / pace, 1.0)
    return Transferred(replace(own, pace=pace, rps=own.rps * of), shares, spreads)


def alone_first(profile: Profile, count: int) -> list[int]:
    """Return which applications to measure alone on a type that is new, by their columns, in order.

    Each is the one that says most on the pace of all, given those before it.

    Args:
        profile: with the `types` that are known.
        count: how many.
    """
    others = list(profile.types.values())
    paces = np.log(np.stack([one.pace for one in others if one.pace is not None]))
    differ = paces - _mean(paces, axis=0)
    every = np.arange(len(profile.apps))
    alike = _alikeness(profile, others, differ)
    left = _paces(every, every, alike, np.where(np.isfinite(differ), differ, 0.0))
    found: list[int] = []
    for _ in range(min(count, len(every))):
        variance = np.maximum(np.diag(left), EXACT)
        says = (left**2).sum(axis=0) / variance
        says[found] = -1.0
        best = int(np.argmax(says))
        found.append(best)
        left = left - np.outer(left[:, best], left[best]) / (variance[best] + EXACT)
    return found


def _entries(counts: IntArray, profile: Profile, others: list[Profile]) -> _Entries:
    """Return the entries of co-locations, int [n, apps]: one for each application in each."""
    rows, apps = np.nonzero(counts)
    beside = counts[rows].astype(np.float64)
    beside[np.arange(len(rows)), apps] -= 1
    total = beside.sum(axis=1)
    ids = profile.space.index(counts)
    logs = np.stack([_logs(one, ids) for one in others])[:, rows, apps]
    mean = _mean(logs, axis=0)
    at_large = _mean(np.log(np.maximum(profile.rps, FLOOR)), axis=None)
    apart = np.where(np.isfinite(logs), logs - mean, 0.0).T
    mean = np.where(np.isfinite(mean), mean, at_large)
    shared = (total > 0).astype(np.float64)
    return _Entries(apps, shared, beside / np.maximum(total, 1)[:, None], mean * shared, apart, ids[rows])


def _logs(one: Profile, ids: IntArray) -> FloatArray:
    """Return the logarithms of shares on a type, float64 [ids, apps]; NaN where it was not measured."""
    own = one.space.index(one.colocations)
    order = np.argsort(own)
    at = order[np.minimum(np.searchsorted(own, ids, sorter=order), len(own) - 1)]
    logs = np.log(np.maximum(one.rps[at], FLOOR))
    return np.asarray(np.where((own[at] == ids)[:, None], logs, np.nan))


def _alikeness(profile: Profile, others: list[Profile], paces: FloatArray) -> FloatArray:
    """Return how alike applications are on known types, from 0 to 1, float64 [apps, apps]."""
    known = [*paces]
    for one in others:
        shared = one.colocations.sum(axis=1, keepdims=True) > 1
        logs = np.where((one.colocations > 0) & shared, np.log(np.maximum(one.rps, FLOOR)), np.nan)
        caused = [
            _mean(np.where(np.arange(len(one.apps)) == a, np.nan, logs)[one.colocations[:, a] > 0], None)
            for a in range(len(one.apps))
        ]
        known += [_mean(logs, axis=0), np.array(caused)]
    found = np.stack(known, axis=1)
    found = found - _mean(found, axis=0)
    deviation = np.sqrt(_mean(found**2, axis=0))
    found = np.where(np.isfinite(found) & (deviation > 1e-9), found / np.maximum(deviation, 1e-9), 0.0)
    far = ((found[:, None] - found[None]) ** 2).mean(axis=2)
    return np.asarray(np.exp(-far / (2 * ALIKE**2)))


def _shares(one: _Entries, other: _Entries, alike: FloatArray) -> FloatArray:
    """Covariance of the logarithms of shares, [one, other]."""
    victims = alike[np.ix_(one.app, other.app)]
    neighbours = one.beside @ alike @ other.beside.T
    same = (one.row[:, None] == other.row) & (one.app[:, None] == other.app)
    found = LEVEL**2 + SLOPE**2 * np.outer(one.mean, other.mean) + APART**2 * one.apart @ other.apart.T
    found += VICTIM**2 * victims + NEIGHBOUR**2 * neighbours + BOTH**2 * victims * neighbours
    return np.asarray((found + SINGLE**2 * same) * np.outer(one.shared, other.shared))


def _variances(one: _Entries, alike: FloatArray, differ: FloatArray) -> FloatArray:
    """Variance of the logarithm of each rate before anything is measured, [one]."""
    neighbours = ((one.beside @ alike) * one.beside).sum(axis=1)
    found = LEVEL**2 + SLOPE**2 * one.mean**2 + APART**2 * (one.apart**2).sum(axis=1)
    found += VICTIM**2 + NEIGHBOUR**2 * neighbours + BOTH**2 * neighbours + SINGLE**2
    pace = PACE**2 + PACE_APART**2 * (differ**2).sum(axis=0) + PACE_ALIKE**2 + PACE_OWN**2
    return np.asarray(found * one.shared + pace[one.app])


def _paces(one: IntArray, other: IntArray, alike: FloatArray, differ: FloatArray) -> FloatArray:
    """Covariance of the logarithms of paces, [one, other]."""
    found = PACE**2 + PACE_APART**2 * differ.T @ differ + PACE_ALIKE**2 * alike
    return np.asarray((found + PACE_OWN**2 * np.eye(len(alike)))[np.ix_(one, other)])


def _mean(values: FloatArray, axis: int | None) -> FloatArray:
    """Mean of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
