"""A newcomer: an application that was never measured, among others that were."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.measure.profile import MEASURES, Profile
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace

TIMES = 2  # containers of each other application that a newcomer first meets: one presses on too little
BESIDE = 6  # co-locations at most in which a newcomer first meets the others, where they fit


@dataclass(frozen=True)
class Newcomer:
    """An application that joins others which were profiled.

    Attributes:
        app: its name.
        known: profile of the others; it may have rows of the newcomer, too.
    """

    app: str
    known: Profile

    def check(self, space: ColocationSpace) -> None:
        """Refuse a newcomer that is no application of `space`, or others than those that were profiled.

        Raises:
            InputError: names the applications on both sides.
        """
        if self.app not in space.apps:
            raise InputError(f"newcomer {self.app!r}: use one of {', '.join(space.apps)}")
        others = [app for app in space.apps if app != self.app]
        if set(self.known.apps) - {self.app} != set(others):
            raise InputError(
                f"newcomer={self.app}: the others are {', '.join(others)}, but profile.onto measured "
                f"{', '.join(self.known.apps)}"
            )

    def on(self, space: ColocationSpace) -> Profile:
        """Return the profile of the others with the columns and slots of `space`; rows must fit its nodes."""
        place = [space.apps.index(app) for app in self.known.apps]

        def wide(values: NDArray[Any], fill: float) -> NDArray[Any]:
            found = np.full((len(values), len(space.apps)), fill, dtype=values.dtype)
            found[:, place] = values
            return found

        counts = wide(self.known.colocations, 0)
        measures = {name: wide(getattr(self.known, name), np.nan) for name in MEASURES}
        spread = None if self.known.spread is None else wide(self.known.spread, np.nan)
        widened = Profile(
            space.apps,
            max(self.known.slots, space.slots),
            counts,
            **measures,
            provenance=self.known.provenance,
            spread=spread,
            types={},
        )
        return widened.on(space.slots)

    def design(self, space: ColocationSpace, seed: int) -> IntArray:
        """Return what to measure first: the newcomer alone, then beside all others, int [n, apps].

        Beside one other at a time, `TIMES` containers of it, where there are `BESIDE` at most; else beside
        one container each of a few at a time.
        """
        apps = len(space.apps)
        one = np.eye(apps, dtype=np.int64)
        a = space.apps.index(self.app)
        others = np.random.default_rng([seed, 0]).permutation(np.delete(np.arange(apps), a))
        if space.slots < 2 or not len(others):
            return one[[a]]
        parts = np.array_split(others, max(min(BESIDE, len(others)), -(-len(others) // (space.slots - 1))))
        alone = max(map(len, parts)) == 1 and space.slots > TIMES
        times = TIMES if alone else 1
        return np.stack([one[a], *(one[a] + times * one[part].sum(axis=0) for part in parts)])

    def among(self, mixes: IntArray, space: ColocationSpace, rng: np.random.Generator) -> IntArray:
        """Return mixes [n, apps] in which one container is the newcomer's."""
        changed = mixes.copy()
        a = space.apps.index(self.app)
        for row in changed:
            row[rng.choice(len(row), p=row / row.sum())] -= 1
            row[a] += 1
        return changed
