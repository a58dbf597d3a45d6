"""Quantities of every co-location of a space, written out as tables."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from metis.errors import InputError
from metis.problem.counts import FloatArray
from metis.problem.space import ColocationSpace


@dataclass(frozen=True)
class Tables:
    """What a simulator predicts, or a testbed knows, of every co-location of a space.

    Attributes:
        space: the co-locations, in order.
        quantities: name -> float64 [size, apps]; 0 where an application is absent, a column of NaN for an
            application of which the quantity was never measured. Names in use: `rps` (share of stand-alone
            RPS), `speed` (stand-alone p99 / p99), `p50` and `p99` (latency in seconds).
        by_type: tables of the nodes of single types, where a profile has node types; shares in them are of
            what an application reaches alone on the type where it reaches most.
        measured: of tables of one type, the share of the co-locations that were measured on it.

    Raises:
        InputError: a quantity has another shape than [size, apps]; names it.
    """

    space: ColocationSpace
    quantities: Mapping[str, FloatArray]
    by_type: Mapping[str, "Tables"] = field(default_factory=dict)
    measured: float = 1.0

    def __post_init__(self) -> None:
        shape = (self.space.size, len(self.space.apps))
        for name, values in self.quantities.items():
            if values.shape != shape:
                raise InputError(f"table {name!r} of shape {values.shape}: this space needs {shape}")

    @property
    def rps(self) -> FloatArray:
        """Normalised RPS per application, float64 [size, apps]; 0 where absent."""
        return self.quantity("rps")

    def quantity(self, name: str) -> FloatArray:
        """The table of one quantity, float64 [size, apps].

        Raises:
            InputError: these tables were made without it; names what makes them with it.
        """
        if name not in self.quantities:
            raise InputError(
                f"{name!r} is not among the quantities of these tables ({', '.join(self.quantities)}): "
                f"fit the simulator, or take the testbed's truth, with quantities=(..., {name!r})"
            )
        return self.quantities[name]

    def of_type(self, name: str) -> "Tables":
        """Return the tables of the nodes of one type: its own, else those of all types together."""
        return self.by_type.get(name) or replace(self, by_type={})

    def unmeasured(self, name: str) -> set[str]:
        """The applications of which a quantity was never measured: their columns hold only NaN."""
        columns = zip(self.space.apps, self.quantity(name).T, strict=True)
        return {app for app, column in columns if np.isnan(column).all()}
