"""The protocol of simulators, and a fitted simulator written out over its space."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

SMALLEST_SHARE = 0.01  # logarithms need a floor; measured shares of what is reached alone are far above


class Simulator(Protocol):
    """Predicts one quantity per application and co-location, as a share of what is reached alone."""

    def predict(self, colocations: IntArray) -> FloatArray:
        """The quantity, float64 [n, apps] for counts [n, apps]; 0 where absent.

        Double precision, because SLO levels are compared with it exactly.
        """
        ...


@dataclass(frozen=True)
class FittedSimulator:
    """A simulator written out over its space, and how well it predicts.

    Attributes:
        tables: the quantities of every co-location.
        report: `measured` (share of the space), `r2` and `mse` held out, pooled over present
            applications, and `r2_<app>`; without a fit only `measured`. All of the first quantity.
    """

    tables: Tables
    report: dict[str, float] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write tables and report as `.npz`, whole or not at all."""
        space = self.tables.space
        arrays: dict[str, Any] = {
            "apps": np.array(space.apps),
            "slots": np.array(space.slots),
            "quantities": np.array(list(self.tables.quantities)),
            "report_names": np.array(list(self.report)),
            "report_values": np.array(list(self.report.values()), dtype=np.float64),
        }
        arrays |= {f"quantity_{name}": values for name, values in self.tables.quantities.items()}
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "FittedSimulator":
        """Read what `save` wrote.

        Raises:
            InputError: another file, or a damaged one; names it.
        """
        stored = load_arrays(path)
        try:
            report = zip(stored["report_names"], stored["report_values"], strict=True)
            space = ColocationSpace(tuple(map(str, stored["apps"])), int(stored["slots"]))
            tables = {str(name): stored[f"quantity_{name}"] for name in stored["quantities"]}
            return cls(Tables(space, tables), {str(name): float(value) for name, value in report})
        except KeyError as error:
            raise InputError(f"{path}: not a fitted simulator, {error} is missing") from None
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a fitted simulator, {error}") from None
