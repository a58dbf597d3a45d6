"""The protocol of simulators, and a fitted simulator written out over its space."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.measure.profile import SHARES
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables

NORMAL = 1.96  # half width of a 95 % interval in standard deviations: draws sample a belief, not a mean
SMALLEST_SHARE = 0.01  # logarithms need a floor; measured shares of what is reached alone are far above


class Simulator(Protocol):
    """Predicts one quantity per application and co-location, as a share of what is reached alone."""

    def predict(self, colocations: IntArray) -> FloatArray:
        """The quantity, float64 [n, apps] for counts [n, apps]; 0 where absent.

        Double precision, because SLO levels are compared with it exactly.
        """
        ...


@dataclass(frozen=True)
class Doubt:
    """What a simulator knows of its own errors, of one quantity.

    Attributes:
        spread: standard deviation of the logarithm of what is predicted, float64 [size, apps]; 0 where exact.
        draws: logarithms of tables that could be true over the one predicted, float16 [draws, size, apps].
    """

    spread: FloatArray
    draws: NDArray[np.float16]


@dataclass(frozen=True)
class FittedSimulator:
    """A simulator written out over its space, and how well it predicts.

    Attributes:
        tables: the quantities of every co-location.
        report: `measured` (share of the space), `r2` and `mse` held out, pooled over present
            applications, and `r2_<app>`; without a fit only `measured`. All of the first quantity.
        doubts: by quantity what it knows of its own errors; empty where it knows nothing (all but the
            ensemble).
    """

    tables: Tables
    report: dict[str, float] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)

    def cautious(self, caution: float) -> "FittedSimulator":
        """Return it with every quantity worse by `caution` spreads: shares lower, latencies higher."""
        tables, doubts = dict(self.tables.quantities), dict(self.doubts)
        for name, doubt in self.doubts.items():
            step = (-caution if name in SHARES else caution) * doubt.spread
            tables[name] = tables[name] * np.exp(step)
            doubts[name] = Doubt(doubt.spread, (doubt.draws - step).astype(np.float16))
        return FittedSimulator(Tables(self.tables.space, tables), self.report, doubts)

    def drawn(self) -> Iterator[Tables]:
        """Yield tables that could be true as well; none where nothing is known of errors."""
        count = min((len(doubt.draws) for doubt in self.doubts.values()), default=0)
        for k in range(count):
            changed = {
                name: self.tables.quantity(name) * np.exp(doubt.draws[k].astype(np.float64))
                for name, doubt in self.doubts.items()
            }
            yield Tables(self.tables.space, {**self.tables.quantities, **changed})

    def save(self, path: Path) -> None:
        """Write tables, report and doubts as `.npz`, whole or not at all."""
        space = self.tables.space
        arrays: dict[str, Any] = {
            "apps": np.array(space.apps),
            "slots": np.array(space.slots),
            "quantities": np.array(list(self.tables.quantities)),
            "report_names": np.array(list(self.report)),
            "report_values": np.array(list(self.report.values()), dtype=np.float64),
        }
        arrays |= {f"quantity_{name}": values for name, values in self.tables.quantities.items()}
        for name, doubt in self.doubts.items():
            arrays |= {f"spread_{name}": doubt.spread, f"draws_{name}": doubt.draws}
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
            doubts = {
                name: Doubt(stored[f"spread_{name}"], stored[f"draws_{name}"])
                for name in tables
                if f"spread_{name}" in stored
            }
            figures = {str(name): float(value) for name, value in report}
            return cls(Tables(space, tables), figures, doubts)
        except KeyError as error:
            raise InputError(f"{path}: not a fitted simulator, {error} is missing") from None
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a fitted simulator, {error}") from None


def error_of(drawn: FloatArray) -> float:
    """Return the half width of the 95 % interval of a number from its values under draws, [draws]."""
    return NORMAL * float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")
