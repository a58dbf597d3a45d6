"""What measurements that fell have in common: a node, an application, or everything that was measured.

A bad machine slows all that stands on it, a changed application is another one everywhere. What all share (a
core that the nodes have in common, the load generator) slows everything; then nothing is known of anything,
and no move could help.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray

CLEAR = 2.0  # deviations by which a single value must be off to be one of those that fell together
MOST = 0.8  # share of the values of an application, or of everything, that must be
LEVEL = 0.99  # at which a common change is one at all, over all that are looked at


@dataclass(frozen=True)
class Diagnosis:
    """What changed, each with what is reached now as a share of what was expected.

    Attributes:
        everything: of all that was measured; None where there is no such thing.
        nodes: by row, of nodes on which all applications changed together.
        apps: by column, of applications that changed wherever they run.
    """

    everything: float | None = None
    nodes: Mapping[int, float] = field(default_factory=dict)
    apps: Mapping[int, float] = field(default_factory=dict)

    def sound(self, rows: Sequence[int]) -> list[int]:
        """Of these rows, those of which something can be learned."""
        return [] if self.everything is not None else [row for row in rows if row not in self.nodes]


@dataclass(frozen=True)
class _Cause:
    """Something that could explain values, and how well it does.

    Attributes:
        gain: squared deviations that it explains.
        kind: `everything`, `app` or `node`; of two that explain as much the first one counts.
        index: row or column.
        change: of the logarithm, the median.
    """

    gain: float
    kind: str
    index: int
    change: float


def diagnose(residuals: FloatArray, deviation: FloatArray) -> Diagnosis:
    """Find what explains measurements that are off, the most telling cause first.

    Args:
        residuals: logarithm of what was measured to what was expected, [nodes, apps]; NaN where nothing was.
        deviation: of these, where nothing changed, [nodes, apps].
    """
    off, left = residuals / deviation, np.isfinite(residuals)
    nodes: dict[int, float] = {}
    apps: dict[int, float] = {}
    while causes := [
        one for one in _causes(off, residuals, deviation, left) if one.kind != "app" or one.index not in apps
    ]:
        best = max(causes, key=lambda one: one.gain)
        if best.kind == "everything":
            # all that is left changed, even if an application was thought to explain some of it
            return Diagnosis(float(np.exp(best.change)), nodes, apps)
        if best.kind == "node":
            nodes[best.index] = float(np.exp(best.change))
            left = left.copy()
            left[best.index] = False
            continue
        apps[best.index] = float(np.exp(best.change))
        residuals = residuals.copy()
        residuals[:, best.index] -= best.change
        off = residuals / deviation
    return Diagnosis(None, nodes, apps)


def _causes(
    off: FloatArray, residuals: FloatArray, deviation: FloatArray, left: NDArray[np.bool_]
) -> list[_Cause]:
    """All that could explain what is left."""
    masks: list[tuple[str, int, NDArray[np.bool_], float]] = []
    rows, columns = left.any(axis=1), left.any(axis=0)
    if rows.sum() > 1 and columns.sum() > 1:
        masks.append(("everything", -1, left, MOST))
    for a in np.flatnonzero(columns).tolist():
        mask = np.zeros_like(left)
        mask[:, a] = left[:, a]
        masks.append(("app", a, mask, MOST))
    for n in np.flatnonzero(rows).tolist():
        mask = np.zeros_like(left)
        mask[n] = left[n]
        masks.append(("node", n, mask, 1.0))
    reach = NormalDist().inv_cdf(1 - (1 - LEVEL) / 2 / max(len(masks), 1))
    found = []
    for kind, index, mask, share in masks:
        values = off[mask]
        weights = 1 / deviation[mask] ** 2
        together = abs(float((residuals[mask] * weights).sum())) / float(np.sqrt(weights.sum()))
        clear = bool((values > 0).all() or (values < 0).all()) and np.mean(np.abs(values) > CLEAR) >= share
        if clear and together > reach:
            gain = float((values**2).sum()) if kind != "app" else together**2
            found.append(_Cause(gain, kind, index, float(np.median(residuals[mask]))))
    return found


def nearer(first: FloatArray, second: FloatArray) -> FloatArray:
    """Of two residuals that nearer to 0, and 0 where they differ in sign; the other where one is NaN."""
    same = np.sign(first) == np.sign(second)
    both = np.where(same, np.where(np.abs(first) < np.abs(second), first, second), 0.0)
    return np.where(np.isnan(first), second, np.where(np.isnan(second), first, both))
