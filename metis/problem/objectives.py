"""Objectives: what a co-location is worth, as sums over nodes, so that each has an exact optimum.

To add one, write a class here, list it in `OBJECTIVES`, and its kind into `conf/objective/KIND.yaml`.
An objective of your own needs no change here: `kind: my_module:MyObjective` names its class.
"""

from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, ClassVar, Protocol, cast, runtime_checkable

import numpy as np
from annotated_types import Ge, Gt, Le

from metis.errors import InputError
from metis.inputs.names import meant
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.tables import Tables
from metis.settings import NONE_IS_EMPTY, read_as, settings


class Objective(Protocol):
    """The worth of a co-location; a placement's value is the sum over its nodes. Always maximised.

    An objective that values vacant nodes also has `vacancy`, what a cluster of them only would be worth.
    """

    @property
    def kind(self) -> str:
        """The word that selects this class in `objective.kind`."""
        ...

    @property
    def name(self) -> str:
        """Short name with its parameters, as shown in tables; equal only for equal objectives."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """The quantities that the tables must hold, by name."""
        ...

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """The worth of every co-location, float64 [size], for this group on this cluster.

        Raises:
            InputError: the tables lack a quantity, or have it for too few applications of the group.
        """
        ...


@runtime_checkable
class RisesWithRps(Objective, Protocol):
    """An objective that is a mean over containers of what never falls as a container's RPS rises.

    A node without containers may have a worth of its own. Of such an objective limits are known where limits
    of the RPS are, so that a search over co-locations can prove what it found.
    """

    def of_rps(self, rps: FloatArray) -> FloatArray:
        """Return what a container adds to the sum that is divided by their number, of the shape of `rps`."""
        ...


@settings("objective")
class MeanRps:
    """Mean normalised RPS over all containers, existing ones included."""

    kind: ClassVar[str] = "rps"
    needs: ClassVar[tuple[str, ...]] = ("rps",)

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return "rps"

    def of_rps(self, rps: FloatArray) -> FloatArray:
        """See `RisesWithRps`."""
        return rps

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`."""
        return np.asarray((tables.space.counts * tables.rps).sum(axis=1) / containers(group, cluster))


@settings("objective")
class SloShare:
    """Share of containers whose normalised RPS is at least `level` (Metis, SC 2020, case study).

    Attributes:
        level: share of its stand-alone RPS that a container must reach.
    """

    kind: ClassVar[str] = "slo"
    needs: ClassVar[tuple[str, ...]] = ("rps",)

    level: Annotated[float, Gt(0), Le(10)] = 0.95

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return f"slo{self.level:.2f}"

    def of_rps(self, rps: FloatArray) -> FloatArray:
        """See `RisesWithRps`."""
        return np.asarray(rps >= self.level, dtype=np.float64)

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`."""
        met = tables.rps >= self.level
        return np.asarray((tables.space.counts * met).sum(axis=1) / containers(group, cluster))


@settings("objective")
class FreeNodes:
    """Mean RPS + `beta` x share of vacant nodes (Metis, SC 2020, case study).

    Attributes:
        beta: what a cluster of vacant nodes only would be worth.
    """

    kind: ClassVar[str] = "free_nodes"
    needs: ClassVar[tuple[str, ...]] = ("rps",)

    beta: Annotated[float, Ge(0), Le(100)] = 1.0

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return f"free{self.beta:g}"

    @property
    def vacancy(self) -> float:
        """What a cluster of vacant nodes only would be worth, which a learner must know beforehand."""
        return self.beta

    def of_rps(self, rps: FloatArray) -> FloatArray:
        """See `RisesWithRps`."""
        return rps

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`."""
        worth = MeanRps().bind(group, cluster, tables)
        worth[0] += self.beta / cluster.nodes
        return worth


@settings("objective")
class Latency:
    """Mean of stand-alone p99 / p99 over the containers whose latency is measured."""

    kind: ClassVar[str] = "latency"
    needs: ClassVar[tuple[str, ...]] = ("speed",)

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        return "latency"

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`.

        Raises:
            InputError: no application of this group has a measured latency; names them.
        """
        speed, left_out = tables.quantity("speed"), tables.unmeasured("speed")
        measured = np.array([app not in left_out for app in tables.space.apps])
        containers = (group + cluster.existing.sum(axis=0))[measured].sum()
        if containers == 0:
            raise InputError(f"objective=latency: no latency was measured for {', '.join(sorted(left_out))}")
        counts = tables.space.counts[:, measured]
        return np.asarray((counts * speed[:, measured]).sum(axis=1) / float(containers))


@settings("objective")
class P99Below:
    """Share of containers whose p99 latency, in seconds, stays below a limit.

    Containers of an application without a limit count as met. A group may hold an application named in
    `limits` only if its p99 was measured. Containers to which `limit` applies are left out of the share where
    the p99 of their application was never measured.

    Attributes:
        limit: seconds, for every application that `limits` does not name; null for none.
        limits: seconds by application, such as {Redis: 4.5}.
    """

    kind: ClassVar[str] = "p99_below"
    needs: ClassVar[tuple[str, ...]] = ("p99",)

    limit: Annotated[float, Gt(0)] | None = 5.0
    limits: Annotated[Mapping[str, Annotated[float, Gt(0)]], NONE_IS_EMPTY] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for app, limit in self.limits.items():
            if not limit > 0:
                raise InputError(f"objective.limits.{app} {limit:g}: give seconds, more than 0")
        if self.limit is None and not self.limits:
            raise InputError("objective: give objective.limit in seconds, or objective.limits={app: seconds}")

    @property
    def name(self) -> str:
        """See `Objective.name`."""
        named = [f"{app} {self.limits[app]:g}s" for app in sorted(self.limits)]
        others = [] if self.limit is None else [f"{self.limit:g}s"]
        return f"p99<{', '.join(others + named)}"

    def bind(self, group: IntArray, cluster: Cluster, tables: Tables) -> FloatArray:
        """See `Objective.bind`.

        Raises:
            InputError: a limit for an unknown application, or for one of this group whose p99 was never
                measured, or none of this group was measured; names them.
        """
        p99, unmeasured = tables.quantity("p99"), tables.unmeasured("p99")
        apps, everyone = tables.space.apps, group + cluster.existing.sum(axis=0)
        for app in self.limits:
            if app not in apps:
                raise InputError(
                    f"objective.limits names the unknown application {app!r}: {meant(app, apps)}"
                )
            if app in unmeasured and everyone[apps.index(app)]:
                raise InputError(f"objective.limits.{app}: no p99 was measured for {app}; take its limit out")
        limits = np.array([self.limits.get(app, self.limit) for app in apps], dtype=np.float64)  # NaN: none
        judged = np.array([app not in unmeasured for app in apps]) | np.isnan(limits)
        containers = everyone[judged].sum()
        if containers == 0:
            raise InputError(f"objective=p99_below: no p99 was measured for {', '.join(sorted(unmeasured))}")
        met = ((p99 < limits) | np.isnan(limits))[:, judged]
        return np.asarray((tables.space.counts[:, judged] * met).sum(axis=1) / float(containers))


OBJECTIVES: dict[str, type[Any]] = {
    one.kind: one for one in (MeanRps, SloShare, FreeNodes, Latency, P99Below)
}


def make_objective(values: Mapping[str, Any]) -> Objective:
    """An objective from its kind and parameters, such as `{"kind": "slo", "level": 0.95}`.

    Args:
        values: `kind` (a key of `OBJECTIVES`, or `module:Class` for a class of your own; `rps` without it)
            and the parameters of that class.

    Raises:
        InputError: an unknown kind or parameter, or a value out of its bounds; names what would be right.
    """
    parameters = {str(name): value for name, value in values.items()}
    kind = str(parameters.pop("kind", MeanRps.kind))
    found = _imported(kind) if ":" in kind else OBJECTIVES.get(kind)
    if found is None:
        nearest = get_close_matches(kind, OBJECTIVES, 1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise InputError(
            f"objective.kind {kind!r}: there is no such objective; {hint}use {', '.join(OBJECTIVES)}, "
            "or module:Class for one of your own"
        )
    known = [one.name for one in fields(found)] if is_dataclass(found) else []
    for name in parameters:
        if name not in known:
            nearest = get_close_matches(name, known, 1)
            has = f"it has {', '.join(known) or 'none'}"
            hint = f"did you mean objective.{nearest[0]}?" if nearest else has
            raise InputError(f"objective.{name}: {kind} has no such parameter; {hint}")
    made: Any = read_as(found, parameters, "objective.") if is_dataclass(found) else found()
    return cast(Objective, made)


def kind_of(objective: Objective) -> str:
    """The kind by which `make_objective` finds the class of an objective again."""
    own = type(objective)
    return objective.kind if OBJECTIVES.get(objective.kind) is own else f"{own.__module__}:{own.__qualname__}"


def tabulated(objective: Objective) -> tuple[str, ...]:
    """The quantities to tabulate for an objective: RPS, which every evaluation shows, and what it needs."""
    return tuple(dict.fromkeys(("rps", *objective.needs)))


def _imported(kind: str) -> type[Any]:
    module, _, attribute = kind.partition(":")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(f"objective.kind {kind!r}: {error}") from None
    lacking = [name for name in ("name", "needs", "bind") if not hasattr(found, name)]
    if not isinstance(found, type) or lacking:
        raise InputError(
            f"objective.kind {kind!r}: give a class with `name`, `needs` and `bind`, see "
            "metis.problem.objectives.Objective"
        )
    return found


def containers(group: IntArray, cluster: Cluster) -> float:
    """Return how many containers run once a group is placed, by which means over them are divided."""
    return float(group.sum() + cluster.running)
