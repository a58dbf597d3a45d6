"""The synthetic testbed's model: any number of applications that share a few resources, drawn by a seed.

An application `a` beside what a node holds in all, `n` (itself included), reaches

    log rps_a(n) = - sum_r sensitivity_ar (C(P_r(n)) - C(pressure_ar)) + sum_{c != a, n_c > 0} help_ac,
    P_r(n) = sum_c pressure_cr n_c,      C(p) = log(1 + exp(p - KNEE)),

of what it reaches alone, so that an application alone reaches exactly 1. `C` is the contention for a
resource: next to nothing while the pressure of all containers is below the knee, and one more for every unit
beyond it. An application suffers by its sensitivity from the contention that others add to its own. An
application that helps another (a cache, a store whose images need not cross the network) does so once,
however many of its containers are there.

What is drawn, from `numpy.random.default_rng([seed, applications, STREAM])`, in this order:

    pressure      [apps, RESOURCES]   with probability USES exponential of mean PRESSURE, else 0
    sensitivity   [apps, RESOURCES]   with probability FEELS exponential of mean SENSITIVITY, else 0
    helpers       [apps, HELPERS]     for each application, HELPERS others
    help          [apps, HELPERS]     with probability HELPED uniform over HELP, else 0

Latency follows from throughput, because the load is closed: p50 and p99 are ALONE / rps seconds.

Cite it as: the synthetic testbed of metis, model 1, with the number of applications and the seed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.measure.contention import contention, contention_of_one_more, own_suffering, share_of_one_more
from metis.measure.profile import QUANTITIES
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace

STREAM = 1  # the number of this model: other formulas or draws get another
RESOURCES = 5  # shared by the containers of a node, as processor, caches, memory, disk and network are
USES, PRESSURE = 0.6, 1.0
FEELS, SENSITIVITY = 0.6, 0.2
HELPERS, HELPED, HELP = 2, 0.5, (0.1, 0.6)
SINGLE = 1e-4  # by which limits in single precision are raised, so that rounding makes none too low
ARRAYS = ("pressure", "sensitivity", "helpers", "help")  # of a model, as they are stored
MODEL = "model_"  # before their names in a file
Float32Array = NDArray[np.float32]
ALONE = (1.0, 2.0)  # p50 and p99 of every application alone, seconds


@dataclass(frozen=True)
class SyntheticModel:
    """Pressures, sensitivities and helping pairs; the module's docstring has the formula.

    Attributes:
        apps: names, in column order.
        pressure: of one container on each resource, 0 or more, float64 [apps, resources].
        sensitivity: log-RPS lost per unit of contention, 0 or more, float64 [apps, resources].
        helpers: columns of the applications that help the row's, int [apps, helpers].
        help: log-RPS that each of them brings once, 0 or more, float64 [apps, helpers].
    """

    apps: tuple[str, ...]
    pressure: FloatArray
    sensitivity: FloatArray
    helpers: IntArray
    help: FloatArray

    @classmethod
    def drawn(cls, apps: int, seed: int) -> "SyntheticModel":
        """Draw a model of `apps` applications by a seed.

        Raises:
            InputError: fewer than two applications.
        """
        if apps < 2:
            raise InputError(f"apps.count {apps}: the synthetic testbed needs at least 2 applications")
        rng = np.random.default_rng([seed, apps, STREAM])
        shape = (apps, RESOURCES)
        pressure = np.where(rng.random(shape) < USES, rng.exponential(PRESSURE, shape), 0.0)
        sensitivity = np.where(rng.random(shape) < FEELS, rng.exponential(SENSITIVITY, shape), 0.0)
        few = min(HELPERS, apps - 1)
        others = np.stack([rng.choice(apps - 1, few, replace=False) for _ in range(apps)])
        helpers = others + (others >= np.arange(apps)[:, None])  # never itself
        helped = np.where(rng.random(helpers.shape) < HELPED, rng.uniform(*HELP, helpers.shape), 0.0)
        width = len(str(apps))
        names = tuple(f"app-{i + 1:0{width}}" for i in range(apps))
        return cls(names, pressure, sensitivity, helpers.astype(np.int64), helped)

    def rps(self, colocations: IntArray) -> FloatArray:
        """Return the normalised RPS of each application in each co-location.

        Args:
            colocations: counts, int [n, apps].

        Returns:
            float64 [n, apps]; 0 where absent, exactly 1 for a container alone on its node.

        Raises:
            InputError: another shape, or a negative count.
        """
        counts = np.asarray(colocations)
        if counts.ndim != 2 or counts.shape[1] != len(self.apps):
            raise InputError(f"co-locations of shape {counts.shape}: this model needs [n, {len(self.apps)}]")
        if counts.size and counts.min() < 0:
            raise InputError("a co-location has a negative count")
        held = counts.astype(np.float64)
        suffered = contention(held @ self.pressure)
        row, app = np.nonzero(counts)  # a node holds few of many applications: only theirs is worked out
        log_rps = own_suffering(self.pressure, self.sensitivity)[app]
        for r in range(self.pressure.shape[1]):
            log_rps -= suffered[row, r] * self.sensitivity[app, r]
        for helpers, helped in zip(self.helpers.T, self.help.T, strict=True):
            log_rps += (counts[row, helpers[app]] > 0) * helped[app]
        found = np.zeros(counts.shape)
        found[row, app] = np.exp(log_rps)
        alone = held.sum(axis=1) == 1
        found[alone] = held[alone]  # exactly, whatever the rounding
        return np.asarray(found)

    def most_rps(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return upper limits of the RPS; see `metis.problem.oracle.BoundedOracle`.

        Contention only rises and help only comes as containers are added. So what is there reaches at most
        what it does now with the help that may still come, and one more container at most what it would
        reach at once with that help.
        """
        held = colocations.astype(np.float64)
        pressure = held @ self.pressure
        own = own_suffering(self.pressure, self.sensitivity)
        helped = np.zeros(colocations.shape)
        possible = later | (held > 0)
        for helpers, help_ in zip(self.helpers.T, self.help.T, strict=True):
            helped += possible[:, helpers] * help_
        helped += own
        there = np.exp(helped - contention(pressure) @ self.sensitivity.T)
        more = share_of_one_more(helped, pressure, self.pressure, self.sensitivity, later)
        return there, more * (1 + SINGLE)

    def total_of_one_more(
        self, colocations: IntArray, of_rps: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Return what nodes' containers add up to after one more; see `metis.problem.oracle.GrowingOracle`.

        A node holds few of many applications, so only those are worked out, [n, apps, held at most].
        """
        held = np.asarray(colocations)
        present, times = _present(held)
        there = times > 0
        sensitivity, own, help_ = self._single
        suffered = contention_of_one_more(
            np.einsum("nk,nkr->nr", times, self.pressure[present]), self.pressure
        )
        joining = np.tile(own, (len(held), 1))
        for app, is_there in zip(present.T, there.T, strict=True):
            joining += help_.T[app] * is_there[:, None]
        helped = np.take_along_axis(joining, present, axis=1)
        for r in range(len(sensitivity)):
            joining -= suffered[:, r] * sensitivity[r]
        np.exp(joining, out=joining)
        log_rps = np.matmul(sensitivity.T[present], suffered)
        np.subtract(helped[:, :, None], log_rps, out=log_rps)
        log_rps += help_[present] * (held == 0)[:, None]
        rps = np.exp(log_rps, out=log_rps)
        total = np.einsum("nka,nk->na", of_rps(rps), times)
        joining[~there.any(axis=1)] = 1.0
        return np.asarray(total + of_rps(cast(FloatArray, joining)), dtype=np.float64)  # single is enough

    @cached_property
    def _single(self) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Sensitivity [resources, apps], log-RPS before contention [apps], and help [apps, apps]."""
        count = len(self.apps)
        helped = np.zeros((count, count), dtype=np.float32)
        np.add.at(helped, (np.arange(count)[:, None], self.helpers), self.help.astype(np.float32))
        own = own_suffering(self.pressure, self.sensitivity).astype(np.float32)
        return np.ascontiguousarray(self.sensitivity.T, dtype=np.float32), own, helped

    @property
    def branching(self) -> IntArray:
        """The applications, those that press most first."""
        return np.argsort(-self.pressure.sum(axis=1), kind="stable")

    def latency(self, colocations: IntArray, rps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return p50 and p99 in seconds, float64 [n, apps] each, at a given throughput; NaN where absent."""
        reached = np.where((np.asarray(colocations) > 0) & (rps > 0), rps, np.nan)
        return ALONE[0] / reached, ALONE[1] / reached


def _present(held: IntArray) -> tuple[IntArray, Float32Array]:
    """Return the applications that nodes hold, int [n, held at most], and how many containers; 0 for none."""
    row, app = np.nonzero(held)
    count = np.bincount(row, minlength=len(held))
    at = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    present = np.zeros((len(held), int(count.max(initial=0))), dtype=np.int64)
    times = np.zeros(present.shape, dtype=np.float32)
    present[row, at], times[row, at] = app, held[row, app]
    return present, times


@dataclass(frozen=True)
class SyntheticOracle:
    """A `GrowingOracle`: what the model makes of co-locations, when asked.

    Attributes:
        model: of the applications.
        slots: containers that fit on a node.
    """

    model: SyntheticModel
    slots: int

    @cached_property
    def space(self) -> ColocationSpace:
        """See `Oracle.space`."""
        return ColocationSpace(self.model.apps, self.slots)

    @property
    def branching(self) -> IntArray:
        """See `BoundedOracle.branching`."""
        return self.model.branching

    def quantities_of(self, colocations: IntArray, names: Sequence[str]) -> dict[str, FloatArray]:
        """See `Oracle.quantities_of`."""
        rps = self.model.rps(colocations)
        found: dict[str, FloatArray] = {}
        for name in names:
            if name in ("rps", "speed"):  # latency is inverse to throughput
                found[name] = rps
            elif name in QUANTITIES:
                latency = self.model.latency(colocations, rps)[0 if name == "p50" else 1]
                found[name] = np.nan_to_num(latency)
            else:
                raise InputError(f"quantity {name!r}: a testbed has {', '.join(QUANTITIES)}")
        return found

    def most_rps(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """See `BoundedOracle.most_rps`."""
        return self.model.most_rps(colocations, later)

    def total_of_one_more(
        self, colocations: IntArray, of_rps: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """See `GrowingOracle.total_of_one_more`."""
        return self.model.total_of_one_more(colocations, of_rps)

    def save(self, path: Path) -> None:
        """Write the model and the slots as `.npz`, whole or not at all."""
        arrays: dict[str, Any] = {"apps": np.array(self.model.apps), "slots": np.array(self.slots)}
        save_arrays(path, arrays | {f"{MODEL}{name}": getattr(self.model, name) for name in ARRAYS})

    @classmethod
    def load(cls, path: Path) -> "SyntheticOracle":
        """Read what `save` wrote.

        Raises:
            InputError: another file, or a damaged one; names it.
        """
        stored = load_arrays(path)
        try:
            arrays = {name: stored[f"{MODEL}{name}"] for name in ARRAYS}
            return cls(SyntheticModel(tuple(map(str, stored["apps"])), **arrays), int(stored["slots"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: no synthetic model, {error}") from None
