"""Oracles: quantities of co-locations computed when asked, for spaces that are too large to tabulate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import Objective, RisesWithRps, containers
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.problem.worth import Ceiling, Worth, WorthByType, as_worth


class Oracle(Protocol):
    """What a simulator predicts, or a testbed knows, of any co-location of a space."""

    @property
    def space(self) -> ColocationSpace:
        """The co-locations that it knows."""
        ...

    def quantities_of(self, colocations: IntArray, names: Sequence[str]) -> Mapping[str, FloatArray]:
        """Return quantities by name, float64 [n, apps], of `colocations` [n, apps]; see `Tables`.

        Raises:
            InputError: an unknown quantity.
        """
        ...


@runtime_checkable
class BoundedOracle(Oracle, Protocol):
    """An oracle that knows limits of the RPS in whatever co-locations grow into."""

    @property
    def branching(self) -> IntArray:
        """See `BoundedWorth`."""
        ...

    def most_rps(self, colocations: IntArray, later: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return upper limits of the RPS that applications may have in the end.

        Args:
            colocations: counts, not empty, int [n, apps].
            later: which applications may still come, bool [n, apps].

        Returns:
            Of those there, and of one more container of each, float64 [n, apps] both.
        """
        ...


@runtime_checkable
class GrowingOracle(BoundedOracle, Protocol):
    """An oracle that knows at little cost what one more container of each application makes of nodes."""

    def total_of_one_more(
        self, colocations: IntArray, of_rps: Callable[[FloatArray], FloatArray]
    ) -> FloatArray:
        """Return what the containers add up to after one more of each application, float64 [n, apps].

        Single precision is enough: it says what to look at.

        Args:
            colocations: counts, int [n, apps].
            of_rps: what a container of a normalised RPS adds, of the shape of its argument.
        """
        ...


@runtime_checkable
class TypedOracle(Oracle, Protocol):
    """An oracle that may distinguish node types."""

    @property
    def by_type(self) -> Mapping[str, "TypedOracle"]:
        """Oracles of the nodes of single types, by name; empty where it does not distinguish them."""
        ...

    @property
    def measured(self) -> float:
        """Of the oracle of one type: the share of the co-locations that were measured on it."""
        ...


@runtime_checkable
class NotedOracle(Oracle, Protocol):
    """An oracle that knows some co-locations better than others, as by measuring them."""

    @property
    def noted(self) -> IntArray:
        """The co-locations, int [n, apps]."""
        ...


class _Listed(ColocationSpace):
    """Co-locations of a larger space that were asked for, the empty one first as in every space."""

    def __init__(self, space: ColocationSpace, rows: IntArray) -> None:
        self.apps, self.slots, self.size = space.apps, space.slots, len(rows)
        self.__dict__["counts"] = rows  # in the place of the property that would write the space out


@dataclass(frozen=True)
class OracleWorth:
    """What an objective makes of an oracle's quantities.

    Attributes:
        objective: bound to group and cluster.
        group: containers to place, int [apps].
        cluster: where to.
        oracle: the quantities.
    """

    objective: Objective
    group: IntArray
    cluster: Cluster
    oracle: Oracle

    def of(self, colocations: IntArray) -> FloatArray:
        """See `Worth.of`."""
        nothing = np.zeros((1, colocations.shape[1]), dtype=colocations.dtype)
        rows = np.concatenate([nothing, colocations])
        quantities = self.oracle.quantities_of(rows, self.objective.needs)
        tables = Tables(_Listed(self.oracle.space, rows), quantities)
        worth = self.objective.bind(self.group, self.cluster, tables)
        return np.asarray(np.where(colocations.any(axis=1), worth[1:], worth[0]))

    @property
    def noted(self) -> IntArray:
        """See `metis.problem.worth.NotedWorth.noted`."""
        if isinstance(self.oracle, NotedOracle):
            return self.oracle.noted
        return np.zeros((0, len(self.group)), dtype=np.int64)


@dataclass(frozen=True)
class _BoundedOracleWorth(OracleWorth):
    """The same with limits, for objectives that never fall as the RPS of a container rises."""

    objective: RisesWithRps
    oracle: BoundedOracle

    @property
    def branching(self) -> IntArray:
        """See `BoundedWorth.branching`."""
        return self.oracle.branching

    def ceiling(self, colocations: IntArray, later: NDArray[np.bool_]) -> Ceiling:
        """See `BoundedWorth.ceiling`."""
        there, more = self.oracle.most_rps(colocations, later)
        share = containers(self.group, self.cluster)
        there, more = self.objective.of_rps(there), self.objective.of_rps(more)
        return Ceiling((colocations * there).sum(axis=1) / share, more / share)


@dataclass(frozen=True)
class _GrowingOracleWorth(_BoundedOracleWorth):
    """The same, whose growth by one container is asked for at once."""

    oracle: GrowingOracle

    def of_one_more(self, colocations: IntArray) -> FloatArray:
        """See `GrowingWorth.of_one_more`."""
        total = self.oracle.total_of_one_more(colocations, self.objective.of_rps)
        return total / containers(self.group, self.cluster)


def types_of(known: Tables | Oracle) -> Mapping[str, Tables | TypedOracle]:
    """Return what is known by type of node; nothing where types are not distinguished."""
    return known.by_type if isinstance(known, Tables | TypedOracle) else {}


def known_on(known: Tables | Oracle, name: str) -> Tables | Oracle:
    """Return what is known of the nodes of one type: of it, else of all types together."""
    if isinstance(known, Tables):
        return known.of_type(name)
    return types_of(known).get(name, known)


def worth_of(
    objective: Objective, group: IntArray, cluster: Cluster, known: Tables | Oracle
) -> FloatArray | Worth:
    """Return what co-locations are worth: a table [size] where they are tabulated, else an oracle.

    Where nodes have types, and what is known distinguishes these, it is a `WorthByType`.

    Raises:
        InputError: see `Objective.bind`.
    """
    if cluster.stated is not None and types_of(known):
        types = {name: worth_of(objective, group, cluster, on) for name, on in types_of(known).items()}
        alike = replace(cluster, stated=None)  # whose worth is that of all types together
        other = worth_of(objective, group, alike, known)
        return WorthByType(
            {name: as_worth(cluster.space, worth) for name, worth in types.items()},
            as_worth(cluster.space, other),
        )
    if isinstance(known, Tables):
        return objective.bind(group, cluster, known)
    if isinstance(objective, RisesWithRps) and isinstance(known, GrowingOracle):
        return _GrowingOracleWorth(objective, group, cluster, known)
    if isinstance(objective, RisesWithRps) and isinstance(known, BoundedOracle):
        return _BoundedOracleWorth(objective, group, cluster, known)
    return OracleWorth(objective, group, cluster, known)
