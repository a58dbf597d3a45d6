"""A full profile replayed as a testbed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from metis.errors import InputError
from metis.measure.profile import Profile
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.simulate.fitting import fit_simulator
from metis.simulate.settings import SimulatorSettings


@dataclass(frozen=True)
class FileTestbed:
    """A testbed that replays a full profile, in which every co-location was measured once."""

    profile: Profile

    @property
    def space(self) -> ColocationSpace:
        """See `Testbed.space`."""
        return self.profile.space

    def measure(self, colocations: IntArray, seed: int, repeats: int = 1) -> Profile:
        """See `Testbed.measure`; the recorded rows, whatever the seed."""
        del seed, repeats
        where = np.full(self.space.size, -1)
        where[self.space.index(self.profile.colocations)] = np.arange(len(self.profile))
        rows = where[np.unique(self.space.index(colocations))]
        if (rows < 0).any():
            raise InputError(
                f"testbed.path: {(rows < 0).sum()} of the co-locations to measure are not recorded in it"
            )
        types = {
            name: one.rows(np.isin(self.space.index(one.colocations), self.space.index(colocations)))
            for name, one in self.profile.types.items()
        }
        kept = {name: one for name, one in types.items() if len(one)}
        return replace(self.profile.rows(rows), types=kept)

    def truth(self, quantities: Sequence[str] = ("rps",)) -> Tables:
        """See `Testbed.truth`.

        Raises:
            InputError: the profile does not cover its space, on each of its types, or an unknown quantity.
        """
        for name, one in (self.profile.types or {"": self.profile}).items():
            known = set(self.space.index(one.colocations).tolist()) | {0}
            missing = self.space.size - len(known)
            if missing:
                where = f" on nodes of type {name}" if name else ""
                raise InputError(
                    f"testbed.path: judging placements needs every co-location, and {missing} of "
                    f"{self.space.size - 1} are not recorded in it{where}; name a full profile"
                )
        return fit_simulator(self.profile, SimulatorSettings(kind="table"), quantities).tables
