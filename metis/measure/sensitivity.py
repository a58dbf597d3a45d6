"""Sensitivity of applications to what works beside them, from what containers in service report.

A container that has capacity to spare serves what it is asked for, whatever its neighbours do. What shows
their influence is its speed, 1 / seconds of work on a request. A neighbour presses on it only while it
works: with one of c busy for a share u_c of the time, the speed is the mean over the co-locations that so
come about,

    speed_a(t) = speed_a alone * sum over B of chance(B; u(t)) rps_a(a beside B),    B part of its neighbours,

whose logarithms are linear in features of B: containers of each application, whether there are any, and
pairs. So a day of varying load shows what the node would reach under full load (all of B), and with one
neighbour gone, and how far either lies from what the day has shown enters its standard error.

Coefficients are shared by all nodes, and each node's co-location deviates from them in its own way, both with
normal priors: a mixed model, fitted by Gauss-Newton steps (Pinheiro and Bates, Mixed-Effects Models in S and
S-PLUS, 2000, chapter 7). Only numpy: some hundred nodes of a few applications take about a second.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.measure.readings import Readings
from metis.problem.counts import FloatArray, IntArray

FEWEST = 4  # blocks of an application, below which nothing is concluded from them
STEPS = 12  # of Gauss and Newton at most; with noise, five do
SETTLED = 0.05  # change of the noise within a step below which more of them change nothing that counts
MOST_PARTS = 512  # parts of a node's containers that are gone through one by one
MOST_PAIRED = 20  # applications, up to which each pair of them has a coefficient

# deviations of the priors, of logarithms: the unknown speed alone; per container, for any, per pair
ALONE, PER_CONTAINER, PER_PRESENCE, PER_PAIR = 10.0, 0.1, 0.2, 0.015
OWN = 0.15  # of a node's own deviation, as a share of those of a container and of any
LEAST_NOISE, MOST_LASTING = 1e-4, 0.9
WIDEST = 3.0  # what left-out hours may multiply a standard error by


@dataclass(frozen=True)
class Estimate:
    """What is learnt of one application on one node.

    Attributes:
        node: which node.
        counts: what it holds, int [apps].
        rps: logarithm of its normalised RPS under full load.
        spread: standard error of that.
        relief: what it would gain in that logarithm if one container of each application left, float64
            [apps]; NaN where there is none.
        covariance: of the reliefs, float64 [apps, apps].
        relieved_spread: standard error of `rps + relief`, float64 [apps]; NaN where there is none.
    """

    node: int
    counts: IntArray
    rps: float
    spread: float
    relief: FloatArray
    covariance: FloatArray
    relieved_spread: FloatArray


@dataclass(frozen=True)
class Sensitivity:
    """What is learnt of one application.

    Attributes:
        app: its column.
        seconds: of work on one request, alone.
        estimates: one per node and co-location that it was seen in.
        noise: deviation of the logarithm of the mean of one block, had each its own error.
        widening: factor on standard errors, by which left-out hours of high load are met.
    """

    app: int
    seconds: float
    estimates: tuple[Estimate, ...]
    noise: float
    widening: float


def features(beside: FloatArray | IntArray, paired: bool) -> FloatArray:
    """Features of what is beside a container: counts, presence and pairs.

    Args:
        beside: containers that work, [n, apps].
        paired: whether each pair of applications has a feature, or only the number of all pairs.

    Returns:
        float64 [n, features].
    """
    counts = np.asarray(beside, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    if not paired:
        return np.hstack([counts, np.minimum(counts, 1.0), total * np.maximum(total - 1, 0) / 2])
    i, j = np.triu_indices(counts.shape[1])
    same = counts[:, i] * np.maximum(counts[:, i] - 1, 0) / 2
    return np.hstack([counts, np.minimum(counts, 1.0), np.where(i == j, same, counts[:, i] * counts[:, j])])


def parts_of(beside: IntArray) -> IntArray:
    """All that may work of some containers [apps], from nothing to all of them, int [parts, apps]."""
    return np.asarray(np.indices((beside + 1).tolist()).reshape(len(beside), -1).T, dtype=np.int64)


def chances(beside: IntArray, parts: IntArray, busy: FloatArray) -> FloatArray:
    """The chance that just a part of some containers works, float64 [times, parts].

    Args:
        beside: containers, int [apps].
        parts: parts of them, int [parts, apps].
        busy: share of the time for which one of each works, float64 [times, apps].
    """
    found = np.ones((len(busy), len(parts)))
    for c in np.flatnonzero(beside):
        ways = np.ones(1)
        for _ in range(beside[c]):  # one container after the other works or not
            ways = np.convolve(ways, [1.0, 1.0])
        k = np.arange(beside[c] + 1)
        u = busy[:, [c]]
        found *= (ways * u**k * (1 - u) ** (beside[c] - k))[:, parts[:, c]]
    return found


@dataclass
class _Stay:
    """One application on one node, while that held the same.

    Attributes:
        node: which.
        counts: what it held, int [apps].
        target: logarithm of the speed by block, float64 [blocks].
        weight: share of a whole block that each has, [blocks].
        chance: of each part of its neighbours to work, [blocks, parts]; one part, their mean, for too many.
        inputs: features of the parts, [parts, features]; by block for too many, [blocks, 1, features].
        load: containers beside it that work, in the mean, [blocks].
    """

    node: int
    counts: IntArray
    target: FloatArray
    weight: FloatArray
    chance: FloatArray
    inputs: FloatArray
    load: FloatArray
    own: FloatArray = field(default_factory=lambda: np.zeros(0))

    def linearised(self, shared: FloatArray, few: int) -> tuple[FloatArray, FloatArray]:
        """The logarithm of the mean share of the speed alone [blocks], and its slopes [blocks, features]."""
        logs = self.inputs @ shared + self.inputs[..., :few] @ self.own
        weights = self.chance * np.exp(logs)
        total = weights.sum(axis=1)
        mixed = weights / total[:, None]
        slopes = mixed @ self.inputs if self.inputs.ndim == 2 else self.inputs[:, 0]
        return np.log(total), slopes

    def chosen(self, kept: NDArray[np.bool_]) -> "_Stay":
        """The same of some of its blocks, bool [blocks]."""
        inputs = self.inputs if self.inputs.ndim == 2 else self.inputs[kept]
        parts = (self.target[kept], self.weight[kept], self.chance[kept], inputs, self.load[kept])
        return _Stay(self.node, self.counts, *parts, own=self.own)


@dataclass(frozen=True)
class _Fit:
    """A fitted mixed model of one application.

    Attributes:
        few: features in which a stay deviates, the first ones.
        shared: intercept and coefficients, [1 + features], and their covariance.
        own: by stay the covariance of its deviation, [few, few], and how that follows the shared ones.
        noise: variance of a block.
    """

    few: int
    shared: FloatArray
    covariance: FloatArray
    own: list[tuple[FloatArray, FloatArray]]
    noise: float

    def of(self, stay: _Stay, k: int, inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Mean [n] and covariance [n, n] of what features [n, features] come to on the k-th stay."""
        inner, follows = self.own[k]
        here = inputs[:, : self.few]
        mean = inputs @ self.shared[1:] + here @ stay.own
        outer = np.hstack([np.zeros((len(inputs), 1)), inputs]) - here @ inner @ follows.T
        return mean, here @ inner @ here.T + outer @ self.covariance @ outer.T


def _fit(stays: list[_Stay], widths: FloatArray, apps: int) -> _Fit:
    """Fit shared coefficients, and every stay's deviation from them (kept in `stay.own`)."""
    few = 2 * apps
    prior, own_prior = np.diag(1 / widths**2), np.diag(1 / (OWN * widths[1 : few + 1]) ** 2)
    shared = np.zeros(len(widths))
    shared[0] = np.median(np.concatenate([stay.target for stay in stays]))
    for stay in stays:
        stay.own = np.zeros(few)
    noise = 1e-3
    for _ in range(STEPS):
        precision, pull = prior.copy(), np.zeros(len(widths))
        solved = []
        for stay in stays:
            log, slopes = stay.linearised(shared[1:], few)
            rows = np.hstack([np.ones((len(log), 1)), slopes])
            mine = slopes[:, :few]
            wanted = stay.target - log + slopes @ shared[1:] + mine @ stay.own
            each = stay.weight[:, None] / noise
            inner = np.asarray(np.linalg.inv(own_prior + mine.T @ (mine * each)), dtype=np.float64)
            follows, moved = rows.T @ (mine * each), (mine * each).T @ wanted
            precision += rows.T @ (rows * each) - follows @ inner @ follows.T
            pull += (rows * each).T @ wanted - follows @ inner @ moved
            solved.append((inner, follows, moved))
        covariance = np.asarray(np.linalg.inv(precision), dtype=np.float64)
        shared = covariance @ pull
        for stay, (inner, follows, moved) in zip(stays, solved, strict=True):
            stay.own = inner @ (moved - follows.T @ shared)
        before, noise = noise, _noise(stays, shared, few)
        if abs(noise / before - 1) < SETTLED:
            break
    return _Fit(few, shared, covariance, [(inner, follows) for inner, follows, _ in solved], noise)


def _noise(stays: list[_Stay], shared: FloatArray, few: int) -> float:
    """Variance of a block, larger where one's error lasts into the next: it then averages out less."""
    squares = lagged = count = 0.0
    for stay in stays:
        error = (stay.target - shared[0] - stay.linearised(shared[1:], few)[0]) * np.sqrt(stay.weight)
        squares, count = squares + float(error @ error), count + len(error)
        lagged += float(error[1:] @ error[:-1])
    lasting = float(np.clip(lagged / max(squares, 1e-12), 0.0, MOST_LASTING))
    return max(squares / count, LEAST_NOISE**2) * (1 + lasting) / (1 - lasting)


def _widening(stays: list[_Stay], widths: FloatArray, apps: int) -> float:
    """How far the blocks of highest load lie off where they are left out, in standard errors; at least 1."""
    kept, left = [], []
    for stay in stays:
        busiest = stay.load > np.quantile(stay.load, 0.75)
        if busiest.any() and not busiest.all():
            kept.append(stay.chosen(~busiest))
            left.append(stay.chosen(busiest))
    if len(kept) < FEWEST:
        return 1.0
    fit = _fit(kept, widths, apps)
    errors = []
    for k, (stay, high) in enumerate(zip(kept, left, strict=True)):
        high.own = stay.own
        log, slopes = high.linearised(fit.shared[1:], fit.few)
        mean = np.average(slopes, axis=0, weights=high.weight)[None]
        # the intercept's error is in all of them: it is common to what was fitted and what was left out
        _, variance = fit.of(stay, k, mean)
        error = np.average(high.target - fit.shared[0] - log, weights=high.weight)
        errors.append(error / np.sqrt(variance[0, 0] + fit.noise / high.weight.sum()))
    return float(np.clip(np.sqrt(np.mean(np.square(errors))), 1.0, WIDEST))


def learn_sensitivity(readings: Readings, app: int) -> Sensitivity:
    """Learn how an application's speed depends on what works beside it.

    Args:
        readings: blocks of them, see `Readings.blocks`.
        app: its column.

    Raises:
        InputError: there are too few readings of it; names it.
    """
    apps = len(readings.apps)
    paired = apps <= MOST_PAIRED
    stays = _stays(readings, app, paired)
    blocks = sum(len(stay.target) for stay in stays)
    if blocks < FEWEST:
        raise InputError(
            f"{readings.apps[app]}: {blocks} half hours in which it served requests; give {FEWEST} or more"
        )
    kinds = (PER_CONTAINER, PER_PRESENCE, PER_PAIR)
    size = features(np.zeros((1, apps)), paired).shape[1]
    widths = np.concatenate([[ALONE], np.repeat(kinds, [apps, apps, size - 2 * apps])])
    widening = _widening(stays, widths, apps)
    fit = _fit(stays, widths, apps)
    estimates = tuple(_estimate(fit, stay, k, app, paired, widening) for k, stay in enumerate(stays))
    return Sensitivity(app, float(np.exp(-fit.shared[0])), estimates, float(np.sqrt(fit.noise)), widening)


def _estimate(fit: _Fit, stay: _Stay, k: int, app: int, paired: bool, widening: float) -> Estimate:
    beside = _beside(stay.counts, app)
    there = np.flatnonzero(beside)
    without = beside - np.eye(len(beside), dtype=np.int64)[there]
    mean, covariance = fit.of(stay, k, features(np.vstack([beside, without]), paired))
    covariance = covariance * widening**2
    change = np.hstack([-np.ones((len(there), 1)), np.eye(len(there))])
    relief, spread = np.full(len(beside), np.nan), np.zeros((len(beside), len(beside)))
    relieved = relief.copy()
    relief[there] = change @ mean
    spread[np.ix_(there, there)] = change @ covariance @ change.T
    errors = np.sqrt(np.diag(covariance))
    relieved[there] = errors[1:]
    return Estimate(stay.node, stay.counts, float(mean[0]), float(errors[0]), relief, spread, relieved)


def _beside(counts: IntArray, app: int) -> IntArray:
    """What is beside one container of an application, int [apps]."""
    found = counts.copy()
    found[app] -= 1
    return found


def _stays(readings: Readings, app: int, paired: bool) -> list[_Stay]:
    seconds, rate = readings.seconds[:, app], readings.rate[:, app]
    rows = np.flatnonzero((readings.counts[:, app] > 0) & (rate > 0) & (seconds > 0))
    if not rows.size:
        return []
    keys = np.hstack([readings.node[rows, None], readings.counts[rows]])
    which, inverse = np.unique(keys, axis=0, return_inverse=True)
    busy = readings.busy
    found = []
    for k, key in enumerate(which):
        mine = rows[inverse.ravel() == k]
        beside = _beside(key[1:], app)
        if np.prod(beside + 1.0) <= MOST_PARTS:
            parts = parts_of(beside)
            chance, inputs = chances(beside, parts, busy[mine]), features(parts, paired)
        else:  # as many as work in the mean
            chance = np.ones((len(mine), 1))
            inputs = features(beside * busy[mine], paired)[:, None]
        load = (beside * busy[mine]).sum(axis=1)
        weight = readings.whole[mine]
        found.append(_Stay(int(key[0]), key[1:], -np.log(seconds[mine]), weight, chance, inputs, load))
    return found
