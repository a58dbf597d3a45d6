"""What a simulator predicts of the placements of a trial, and how it compares with what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metis.operate.trial import share_held
from metis.problem.counts import FloatArray, IntArray
from metis.simulate.simulator import error_of

COVERED = 0.8  # nominal share of what is measured that single predicted intervals hold


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
