"""What a simulator predicts of the placements of a trial, and how it compares with what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metis.operate.trial import share_held
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.evaluation import reached_on
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables
from metis.simulate.simulator import error_of

COVERED = 0.8  # nominal share of what is measured that single predicted intervals hold
DEALS = 20  # of a placement's containers at random
SELECTION = 4  # chosen on the embedded testbed, and seen to hold on the published table


@dataclass(frozen=True)
class Predicted:
    """The prediction of one placement.

    Attributes:
        placement: int [nodes, apps].
        rates: RPS of a container as a share of stand-alone, float64 [nodes, apps].
        drawn: rates that could be true as well, float64 [draws, nodes, apps]; without draws the simulator
            knows nothing of its errors.
    """

    placement: IntArray
    rates: FloatArray
    drawn: FloatArray

    @property
    def mean(self) -> float:
        """Mean RPS over the containers."""
        return float((self.rates * self.placement).sum() / self.placement.sum())

    @property
    def drawn_means(self) -> FloatArray:
        """The same under each draw, [draws]."""
        return np.asarray((self.drawn * self.placement).sum(axis=(1, 2)) / self.placement.sum())

    @property
    def half(self) -> float:
        """Half width of the 95 % interval of the mean, by the simulator's own error; NaN where unknown."""
        return error_of(self.drawn_means)

    def beyond(self, other: "Predicted") -> tuple[float, float]:
        """Return by how much its mean exceeds that of another one, and the half width of the interval.

        Both are valued on the same draws, so that an error which both placements share does not count.
        """
        return self.mean - other.mean, error_of(self.drawn_means - other.drawn_means)


def predict(
    placements: Sequence[IntArray],
    cluster: Cluster,
    known: Tables | Oracle,
    drawn: Sequence[Tables | Oracle],
    calibration: tuple[float, float] = (1.0, 1.0),
) -> list[Predicted]:
    """Return what is predicted of placements that are tried against one another.

    Who places by what is predicted takes co-locations of which too much is expected, and their errors are
    wider than those of a placement that was made without it, such as Swarm's. Between the two a placement
    stands as `chosen` says.

    Args:
        placements: int [nodes, apps] each, of the same group.
        cluster: whose nodes they are on.
        known: what the simulator predicts.
        drawn: what could be true as well.
        calibration: factors on what draws differ by; see `metis.simulate.simulator.Doubt`.
    """
    rates = [reached_on(placement, cluster, known) for placement in placements]
    apart, picked = calibration
    shares = np.ones(len(placements))
    if apart != picked and drawn:
        shares = chosen(placements, cluster, known)
    found = []
    for placement, rate, share in zip(placements, rates, shares, strict=True):
        could_be = np.array([reached_on(placement, cluster, one) for one in drawn])
        could_be = could_be.reshape(-1, *placement.shape)
        factor = apart + (picked - apart) * float(share)
        with np.errstate(divide="ignore", invalid="ignore"):
            nearer = np.where(rate > 0, rate * (could_be / rate) ** factor, could_be)
        found.append(Predicted(placement, rate, nearer))
    return found


def chosen(placements: Sequence[IntArray], cluster: Cluster, known: Tables | Oracle) -> FloatArray:
    """Return how far each placement was chosen by what is predicted, from 0 to 1, [placements].

    What it gains over the same containers dealt at random to the same slots, as a share of what the best of
    the placements gains; to the power `SELECTION`, as most of the optimism is in the last of the gain.

    Args:
        placements: int [nodes, apps] each, of the same group.
        cluster: whose nodes they are on.
        known: what the simulator predicts.
    """
    gains = np.array([_gain(placement, cluster, known) for placement in placements])
    best = float(gains.max())
    return np.clip(gains / best, 0.0, 1.0) ** SELECTION if best > 1e-9 else np.zeros(len(gains))


def _gain(placement: IntArray, cluster: Cluster, known: Tables | Oracle) -> float:
    """Return by how much the mean RPS of a placement exceeds that of its containers dealt at random."""
    rng = np.random.default_rng(DEALS)
    rows, apps = (np.repeat(index, placement[np.nonzero(placement)]) for index in np.nonzero(placement))

    def mean_of(held: IntArray) -> float:
        return float((reached_on(held, cluster, known) * held).sum() / held.sum())

    dealt = []
    for _ in range(DEALS):
        held = np.zeros_like(placement)
        np.add.at(held, (rows, rng.permutation(apps)), 1)
        dealt.append(mean_of(held))
    return mean_of(placement) - float(np.mean(dealt))


def with_units(predicted: Sequence[Predicted], errors: FloatArray, seed: int) -> list[Predicted]:
    """Return predictions whose draws have the error of what counts as 1, too: the same one for all of them.

    A placement that serves more is as much further off, so a difference has it only in proportion.

    Args:
        predicted: of each placement.
        errors: deviations of the logarithm of what counts as 1, float64 [apps].
        seed: of the draws.
    """
    found = []
    for one in predicted:
        rng = np.random.default_rng([seed, len(one.drawn)])
        factors = np.exp(errors * rng.standard_normal((len(one.drawn), 1, len(errors))))
        found.append(replace(one, drawn=one.drawn * factors))
    return found


def coverage(
    predicted: Sequence[Predicted],
    rates: FloatArray,
    level: float = COVERED,
    *,
    nodes_alike: bool = True,
) -> tuple[int, int]:
    """Return how many predicted intervals hold what was measured, and how many there are.

    One for each application in each co-location; where nodes are alike the same co-location counts once. An
    interval is as wide as the simulator's spread and the error of the measured mean together say.

    Args:
        predicted: of each placement.
        rates: measured, float64 [rounds, placements, nodes, apps].
        level: nominal share of intervals that hold.
        nodes_alike: whether the same co-location on another node is the same.
    """
    from scipy.special import ndtri

    z = float(ndtri((1 + level) / 2))
    seen: dict[tuple[int, ...], list[tuple[FloatArray, float, float]]] = {}
    for p, one in enumerate(predicted):
        if len(one.drawn) < 2:
            return 0, 0
        for node, app in zip(*np.nonzero(one.placement), strict=True):
            own = rates[:, p, node, app]
            where = (*one.placement[node].tolist(), int(app), *(() if nodes_alike else (int(node),)))
            spread = float(np.log(one.drawn[:, node, app]).std(ddof=1))
            seen.setdefault(where, []).append(
                (own[np.isfinite(own) & (own > 0)], float(one.rates[node, app]), spread)
            )
    measured, low, high = [], [], []
    for found in seen.values():
        logs = np.log(np.concatenate([own for own, _, _ in found]))
        if not len(logs):
            continue
        _, expected, spread = found[0]
        error = float(logs.std(ddof=1)) / len(logs) ** 0.5 if len(logs) > 1 else 0.0
        width = z * (spread**2 + error**2) ** 0.5
        measured.append(float(logs.mean()))
        low.append(np.log(expected) - width)
        high.append(np.log(expected) + width)
    return share_held(np.array(measured), np.array(low), np.array(high))
