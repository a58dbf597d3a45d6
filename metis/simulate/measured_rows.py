"""What was measured of single co-locations, which stands over what a model predicts of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray, hash_keys


@dataclass(frozen=True)
class MeasuredRows:
    """Measured co-locations, as shares of what applications reach alone.

    Attributes:
        colocations: counts, each row once, int [n, apps].
        shares: by quantity, float64 [n, apps]; NaN where the prediction stands.
        spreads: deviation of the logarithm that is left, by quantity, float64 [n, apps]; 0 where exact.
    """

    colocations: IntArray
    shares: Mapping[str, FloatArray]
    spreads: Mapping[str, FloatArray]

    @cached_property
    def _keys(self) -> IntArray:
        return hash_keys(self.colocations.shape[1])

    @cached_property
    def _sorted(self) -> tuple[IntArray, IntArray]:
        """The hashes of the rows in order, and where each row is."""
        hashes = self.colocations @ self._keys
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    def at(self, colocations: IntArray) -> tuple[IntArray, IntArray]:
        """Return which of `colocations` [n, apps] were measured, and at which row of these each is."""
        hashes, order = self._sorted
        if not len(hashes):
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing
        wanted = colocations @ self._keys
        place = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        found = np.flatnonzero(hashes[place] == wanted)
        return found, order[place[found]]

    def over(self, colocations: IntArray, name: str, predicted: FloatArray) -> FloatArray:
        """Return predicted shares [n, apps] of a quantity, with those that were measured in their place."""
        return self._over(colocations, self.shares[name], predicted, self.shares[name])

    def spread_over(self, colocations: IntArray, name: str, spread: FloatArray) -> FloatArray:
        """Return spreads [n, apps] of what is predicted, with what measuring left of them."""
        return self._over(colocations, self.spreads[name], spread, self.shares[name])

    def _over(
        self, colocations: IntArray, values: FloatArray, others: FloatArray, known: FloatArray
    ) -> FloatArray:
        found, row = self.at(colocations)
        if not len(found):
            return others
        result = others.copy()
        result[found] = np.where(np.isfinite(known[row]), values[row], others[found])
        return result

    def among(self, colocations: IntArray) -> "MeasuredRows":
        """Return the rows that are also among `colocations` [m, apps]."""
        return self.chosen(np.isin(self.colocations @ self._keys, colocations @ self._keys))

    def chosen(self, rows: NDArray[np.bool_]) -> "MeasuredRows":
        """Return some of the rows, bool [n]."""
        return MeasuredRows(
            self.colocations[rows],
            {name: values[rows] for name, values in self.shares.items()},
            {name: values[rows] for name, values in self.spreads.items()},
        )

    def drawn(self, rng: np.random.Generator) -> "MeasuredRows":
        """Return shares that could be true as well."""
        could_be = {
            name: values * np.exp(self.spreads[name] * rng.standard_normal(values.shape))
            for name, values in self.shares.items()
        }
        return replace(self, shares=could_be)

    def raised(
        self,
        colocations: IntArray,
        later: NDArray[np.bool_],
        name: str,
        limits: tuple[FloatArray, FloatArray],
    ) -> tuple[FloatArray, FloatArray]:
        """Return limits [n, apps] of a model's shares that hold for what was measured, too.

        Args:
            colocations: counts, int [n, apps].
            later: which applications may still come, bool [n, apps].
            name: of the quantity.
            limits: of those there and of one more container of each; see
                `metis.problem.oracle.BoundedOracle.most_rps`.
        """
        there, more = limits[0].copy(), limits[1].copy()
        total = colocations.sum(axis=1)
        for row, shares in zip(self.colocations, self.shares[name], strict=True):
            known = np.flatnonzero(np.isfinite(shares) & (row > 0))
            if not len(known):
                continue
            held = np.flatnonzero(row)
            inside = colocations[:, held]
            missing = row[held] - inside
            # what a co-location may grow into: nothing else is there, and what is missing may still come
            grows = (inside.sum(axis=1) == total) & (missing >= 0).all(axis=1)
            grows &= (later[:, held] | (missing == 0)).all(axis=1)
            at = np.flatnonzero(grows)
            for limit in (there, more):
                limit[at[:, None], known] = np.maximum(limit[at[:, None], known], shares[known])
        return there, more

    def arrays(self, prefix: str) -> dict[str, Any]:
        """Return arrays by name, to be stored."""
        found: dict[str, Any] = {f"{prefix}rows": self.colocations}
        for name in self.shares:
            found[f"{prefix}shares_{name}"] = self.shares[name]
            found[f"{prefix}spreads_{name}"] = self.spreads[name]
        return found

    @classmethod
    def of_arrays(
        cls, stored: Mapping[str, NDArray[Any]], prefix: str, names: list[str]
    ) -> "MeasuredRows | None":
        """Read what `arrays` made of `names`; None where nothing was measured."""
        if f"{prefix}rows" not in stored:
            return None
        return cls(
            stored[f"{prefix}rows"],
            {name: stored[f"{prefix}shares_{name}"] for name in names},
            {name: stored[f"{prefix}spreads_{name}"] for name in names},
        )


def shrunk(
    measured: FloatArray, predicted: FloatArray, spread: FloatArray, noise: float
) -> tuple[FloatArray, FloatArray]:
    """Return what a measured share says together with a prediction, and the spread that is left.

    The mean of both logarithms, weighted by their precisions: of an exact measurement it is the measurement,
    of a noisy one beside a sure prediction nearly the prediction.

    Args:
        measured: shares, float64 [n, apps]; NaN where unknown.
        predicted: of the same, [n, apps].
        spread: deviation of the logarithm of the prediction, [n, apps].
        noise: of the measurement.
    """
    if not noise:
        return measured, np.zeros(measured.shape)
    trust = spread**2 / (spread**2 + noise**2)
    known = np.isfinite(measured) & (measured > 0) & (predicted > 0)
    ratio = np.where(known, measured, 1.0) / np.where(known, predicted, 1.0)
    return np.where(known, predicted * ratio**trust, measured), np.sqrt(trust) * noise
