"""The embedded testbed's model: what every application reaches in a co-location, by named coefficients.

An application `a` beside other containers `n` (all of its node's, less one of its own) reaches

    log rps_a(n) = company_a [n is not empty] + sum_c presence_ac [n_c > 0]
                   + sum_r effect_ar (softplus(P_r(n) - knee_ar) - softplus(-knee_ar)),
    P_r(n) = sum_c demand_cr n_c,      softplus(z) = log(1 + exp(z)),

of what it reaches alone. `demand_cr` is the pressure that one container of c puts on the shared resource r:
a property of c alone, whichever application suffers from it. Below its knee a pressure costs next to
nothing, beyond it every unit costs `effect_ar`: the two regimes of a processor, cache or memory bus that is
first sufficient and then oversubscribed. `presence` is what a neighbour brings or costs once, however many
there are of it: MMS and ISR take their image from a co-located Redis instead of the network. Without others
all terms vanish, so that an application alone reaches exactly 1.

The pressures are found by the fit, not measured. Some effects are positive: they take back part of what
another pressure costs, as saturation does. So only their sum is to be trusted, none of them is one device.

Latency follows from throughput, because the load is closed: four clients that are served half as fast wait
about twice as long, p99 = p99_alone / rps ** p99_exponent, and p50 likewise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.inputs.documents import parse_yaml, read_yaml
from metis.problem.counts import FloatArray, IntArray

PACKAGED = "seven_apps.yaml"
LATENCY = ("p50_alone", "p50_exponent", "p99_alone", "p99_exponent")


@dataclass(frozen=True)
class InterferenceModel:
    """Named coefficients per application; the module's docstring has the formula.

    Attributes:
        apps: names, in column order.
        pressures: names of the shared resources.
        demand: pressure of one container, at least 0, float64 [apps, pressures].
        company: log-RPS by having any neighbour at all, float64 [apps].
        presence: log-RPS of the row's application by a neighbour of the column's, [apps, apps].
        knee: pressure at which the row's application begins to feel it, [apps, pressures].
        effect: log-RPS per unit of pressure beyond the knee, [apps, pressures]; negative slows down.
        alone: stand-alone p50 and p99 in seconds, [apps, 2]; NaN where latency was not measured.
        exponent: of the RPS in p50 and p99, [apps, 2].
    """

    apps: tuple[str, ...]
    pressures: tuple[str, ...]
    demand: FloatArray
    company: FloatArray
    presence: FloatArray
    knee: FloatArray
    effect: FloatArray
    alone: FloatArray
    exponent: FloatArray

    @classmethod
    def load(cls, path: Path | None = None) -> "InterferenceModel":
        """Read a table of coefficients (YAML); None for the packaged seven applications.

        Raises:
            InputError: no such file, not YAML, or a coefficient missing or unknown; names file and place.
        """
        if path is None:
            return cls.from_table(_packaged(), PACKAGED)
        return cls.from_table(read_yaml(path), str(path))

    @classmethod
    def from_table(cls, table: Any, name: str = "table") -> "InterferenceModel":
        """The model of a table as it stands in the YAML file.

        Args:
            table: `pressures` (a list of names) and `apps` (application -> its coefficients).
            name: what to call the table in messages.

        Raises:
            InputError: a coefficient is missing, unknown or no number; names its place.
        """
        top = _fields(table, ("pressures", "apps"), name)
        if not isinstance(top["pressures"], list) or not isinstance(top["apps"], Mapping) or not top["apps"]:
            raise InputError(f"{name}: `pressures` must be a list of names, `apps` name at least one")
        pressures = tuple(str(pressure) for pressure in top["pressures"])
        apps = tuple(str(app) for app in top["apps"])
        fields = ("demand", "company", "presence", "knee", "effect", "latency")
        rows = {app: _fields(top["apps"][app], fields, f"{name}: {app}") for app in apps}

        def matrix(field: str, columns: Sequence[str]) -> FloatArray:
            place = f"{name}: %s.{field}"
            return np.array([_numbers(rows[app][field], columns, place % app) for app in apps])

        unmeasured = dict.fromkeys(LATENCY, np.nan)
        for app in apps:
            if rows[app]["latency"] is None:
                rows[app]["latency"] = unmeasured
        demand, latency = matrix("demand", pressures), matrix("latency", LATENCY)
        if (demand < 0).any():
            raise InputError(f"{name}: a demand is negative; a container cannot relieve a shared resource")
        if (latency <= 0).any():
            raise InputError(f"{name}: stand-alone latencies and exponents must be above 0")
        company = [_numbers({"company": rows[app]["company"]}, ["company"], f"{name}: {app}") for app in apps]
        return cls(
            apps=apps,
            pressures=pressures,
            demand=demand,
            company=np.array(company)[:, 0],
            presence=matrix("presence", apps),
            knee=matrix("knee", pressures),
            effect=matrix("effect", pressures),
            alone=latency[:, [0, 2]],
            exponent=latency[:, [1, 3]],
        )

    @property
    def coefficients(self) -> int:
        """How many coefficients the table holds; those of a latency that was not measured do not count."""
        arrays = (self.demand, self.company, self.presence, self.knee, self.effect, self.alone, self.exponent)
        return int(sum(np.isfinite(array).sum() for array in arrays))

    def rps(self, colocations: IntArray) -> FloatArray:
        """Normalised RPS of each application in each co-location.

        Args:
            colocations: counts, int [n, apps]; any number of containers per row, calibrated up to 8.

        Returns:
            float64 [n, apps]; 0 where absent, exactly 1 for a container alone on its node.

        Raises:
            InputError: another shape, or a negative count.
        """
        counts = self._checked(colocations)
        # what the others press: all of the node, less one container of the application itself
        total = counts.astype(np.float64) @ self.demand
        pressure = total[:, np.newaxis, :] - self.demand  # [n, apps, pressures]; exactly 0 when alone
        beyond = np.logaddexp(0.0, pressure - self.knee) - np.logaddexp(0.0, -self.knee)
        neighbours = counts[:, np.newaxis, :] - np.eye(len(self.apps), dtype=np.int64)
        log_rps = (
            self.company * (counts.sum(axis=1, keepdims=True) > 1)
            + ((neighbours > 0) * self.presence).sum(axis=2)
            + (beyond * self.effect).sum(axis=2)
        )
        return np.where(counts > 0, np.exp(np.where(counts > 0, log_rps, 0.0)), 0.0)

    def latency(self, colocations: IntArray, rps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Median and 99th percentile of latency at a given throughput.

        Args:
            colocations: counts, int [n, apps].
            rps: normalised RPS, [n, apps], from `rps` or with noise upon it.

        Returns:
            p50 and p99 in seconds, float64 [n, apps] each; NaN where absent or not measured.

        Raises:
            InputError: the shapes differ.
        """
        counts = self._checked(colocations)
        if rps.shape != counts.shape:
            raise InputError(f"rps has shape {rps.shape}, the co-locations {counts.shape}: give them alike")
        reached = np.where((counts > 0) & (rps > 0), rps, np.nan)
        p50, p99 = (self.alone[:, i] / reached ** self.exponent[:, i] for i in range(2))
        return p50, p99

    def _checked(self, colocations: IntArray) -> IntArray:
        counts = np.asarray(colocations)
        if counts.ndim != 2 or counts.shape[1] != len(self.apps):
            raise InputError(f"co-locations of shape {counts.shape}: this model needs [n, {len(self.apps)}]")
        if counts.size and counts.min() < 0:
            raise InputError("a co-location has a negative count")
        return counts.astype(np.int64)


@cache
def _packaged() -> Any:
    """The table of the seven applications, which is read and not changed."""
    return parse_yaml(files("metis.measure.data").joinpath(PACKAGED).read_text(encoding="utf-8"), PACKAGED)


def _fields(value: Any, names: Sequence[str], place: str) -> dict[str, Any]:
    """`value` as a mapping that has exactly the keys `names`."""
    if not isinstance(value, Mapping):
        raise InputError(f"{place}: expected the entries {', '.join(names)}")
    given = {str(key): entry for key, entry in value.items()}
    for key in sorted(set(names) ^ set(given)):
        raise InputError(f"{place}: {key!r} is {'missing' if key in names else 'unknown'}")
    return given


def _numbers(value: Any, names: Sequence[str], place: str) -> list[float]:
    """The numbers of a mapping in the order of `names`."""
    entries = _fields(value, names, place)
    for key in names:
        if isinstance(entries[key], bool) or not isinstance(entries[key], int | float):
            raise InputError(f"{place}: {key} is {entries[key]!r}; give a number")
    return [float(entries[key]) for key in names]
