"""The protocol of simulators, and a fitted simulator written out over its space."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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
        calibration: factors on both with which intervals hold their share, of co-locations that were not
            chosen by what is predicted and of those that were; see `metis.simulate.ensemble.Ensemble`.
    """

    spread: FloatArray
    draws: NDArray[np.float16]
    calibration: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class FittedSimulator:
    """A simulator written out over its space, and how well it predicts.

    Attributes:
        tables: the quantities of every co-location.
        report: `measured` (share of the space), `r2` and `mse` held out, pooled over present
            applications, and `r2_<app>`; without a fit only `measured`. All of the first quantity.
        doubts: by quantity what it knows of its own errors; empty where it knows nothing (all but the
            ensemble).
        types: of the nodes of single types, where a profile has node types; `tables` then hold theirs.
    """

    tables: Tables
    report: dict[str, float] = field(default_factory=dict)
    doubts: Mapping[str, Doubt] = field(default_factory=dict)
    types: Mapping[str, "FittedSimulator"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tables = replace(self.tables, by_type={name: one.tables for name, one in self.types.items()})
        object.__setattr__(self, "tables", tables)

    def cautious(self, caution: float) -> "FittedSimulator":
        """Return it with every quantity worse by `caution` spreads: shares lower, latencies higher."""
        tables, doubts = dict(self.tables.quantities), dict(self.doubts)
        for name, doubt in self.doubts.items():
            step = (-caution if name in SHARES else caution) * doubt.spread
            tables[name] = tables[name] * np.exp(step)
            doubts[name] = replace(doubt, draws=(doubt.draws - step).astype(np.float16))
        types = {name: one.cautious(caution) for name, one in self.types.items()}
        return replace(self, tables=replace(self.tables, quantities=tables), doubts=doubts, types=types)

    def drawn(self) -> Iterator[Tables]:
        """Yield tables that could be true as well; none where nothing is known of errors."""
        every = [doubt for one in (self, *self.types.values()) for doubt in one.doubts.values()]
        for k in range(min((len(doubt.draws) for doubt in every), default=0)):
            by_type = {name: one._draw(k) for name, one in self.types.items()}
            yield replace(self._draw(k), by_type=by_type)

    def _draw(self, k: int) -> Tables:
        """Return the k-th tables that could be true as well, types aside."""
        changed = {
            name: self.tables.quantity(name) * np.exp(doubt.draws[k].astype(np.float64))
            for name, doubt in self.doubts.items()
        }
        return replace(self.tables, quantities={**self.tables.quantities, **changed}, by_type={})

    def save(self, path: Path) -> None:
        """Write tables, report and doubts as `.npz`, whole or not at all."""
        space = self.tables.space
        arrays = {"apps": np.array(space.apps), "slots": np.array(space.slots), **self._arrays()}
        if self.types:
            arrays["types"] = np.array(list(self.types))
        for t, one in enumerate(self.types.values()):
            arrays |= {f"type{t}_{name}": values for name, values in one._arrays().items()}
        save_arrays(path, arrays)

    def _arrays(self) -> dict[str, Any]:
        arrays: dict[str, Any] = {
            "measured": np.array(self.tables.measured),
            "quantities": np.array(list(self.tables.quantities)),
            "report_names": np.array(list(self.report)),
            "report_values": np.array(list(self.report.values()), dtype=np.float64),
        }
        arrays |= {f"quantity_{name}": values for name, values in self.tables.quantities.items()}
        for name, doubt in self.doubts.items():
            arrays |= {f"spread_{name}": doubt.spread, f"draws_{name}": doubt.draws}
            arrays[f"calibration_{name}"] = np.array(doubt.calibration)
        return arrays

    @classmethod
    def load(cls, path: Path) -> "FittedSimulator":
        """Read what `save` wrote.

        Raises:
            InputError: another file, or a damaged one; names it.
        """
        stored = load_arrays(path)
        try:
            space = ColocationSpace(tuple(map(str, stored["apps"])), int(stored["slots"]))
            types = {
                str(name): cls._of_arrays(space, stored, f"type{t}_")
                for t, name in enumerate(stored.get("types", ()))
            }
            return replace(cls._of_arrays(space, stored, ""), types=types)
        except KeyError as error:
            raise InputError(f"{path}: not a fitted simulator, {error} is missing") from None
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{path}: not a fitted simulator, {error}") from None

    @classmethod
    def _of_arrays(
        cls, space: ColocationSpace, stored: Mapping[str, NDArray[Any]], prefix: str
    ) -> "FittedSimulator":
        report = zip(stored[f"{prefix}report_names"], stored[f"{prefix}report_values"], strict=True)
        names = [str(name) for name in stored[f"{prefix}quantities"]]
        doubts = {
            name: Doubt(
                stored[f"{prefix}spread_{name}"],
                stored[f"{prefix}draws_{name}"],
                _two(stored.get(f"{prefix}calibration_{name}", (1.0, 1.0))),
            )
            for name in names
            if f"{prefix}spread_{name}" in stored
        }
        tables = {name: stored[f"{prefix}quantity_{name}"] for name in names}
        figures = {str(name): float(value) for name, value in report}
        return cls(Tables(space, tables, measured=float(stored[f"{prefix}measured"])), figures, doubts)


def _two(values: Iterable[float]) -> tuple[float, float]:
    first, second = map(float, values)
    return first, second


def error_of(drawn: FloatArray) -> float:
    """Return the half width of the 95 % interval of a number from its values under draws, [draws]."""
    return NORMAL * float(drawn.std(ddof=1)) if len(drawn) > 1 else float("nan")
