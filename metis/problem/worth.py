"""The worth of co-locations by oracle: what one node adds to a placement's value, asked for row by row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace


class Worth(Protocol):
    """What a node adds to the value of a placement, for any co-location that it may hold; maximised.

    A table is one implementation. Others compute it when asked, for spaces that are too large to tabulate.
    """

    def of(self, colocations: IntArray) -> FloatArray:
        """Return the worth of each of `colocations` [n, apps], float64 [n]."""
        ...


class Ceiling(NamedTuple):
    """Upper limits for whatever co-locations may grow into.

    Attributes:
        there: of the worth that the containers already there can have in the end, float64 [n].
        more: of the worth that one more container of each application can have, float64 [n, apps].
    """

    there: FloatArray
    more: FloatArray


@runtime_checkable
class BoundedWorth(Worth, Protocol):
    """A worth that is a sum over containers and knows limits, so that a search can prove what it found."""

    @property
    def branching(self) -> IntArray:
        """The applications in the order in which limits fall soonest, int [apps]."""
        ...

    def ceiling(self, colocations: IntArray, later: NDArray[np.bool_]) -> Ceiling:
        """Return limits for all that `colocations` [n, apps] become by adding applications of `later`.

        Args:
            colocations: counts, not empty, int [n, apps].
            later: which applications may still come, bool [n, apps].
        """
        ...


@runtime_checkable
class GrowingWorth(Worth, Protocol):
    """A worth that gives at little cost what nodes are worth after one more container of each application."""

    def of_one_more(self, colocations: IntArray) -> FloatArray:
        """Return the worth of each of `colocations` [n, apps] with one more of each, float64 [n, apps]."""
        ...


@runtime_checkable
class NotedWorth(Worth, Protocol):
    """A worth that knows of co-locations which a search should look at, since it would not meet them."""

    @property
    def noted(self) -> IntArray:
        """The co-locations, int [n, apps]."""
        ...


@dataclass(frozen=True)
class TableWorth:
    """The worth of co-locations that are all tabulated.

    Attributes:
        space: the co-locations, in order.
        values: worth of each, float64 [size].
    """

    space: ColocationSpace
    values: FloatArray

    def of(self, colocations: IntArray) -> FloatArray:
        """See `Worth.of`."""
        return np.asarray(self.values[self.space.index(colocations)])


@dataclass(frozen=True)
class WorthByType:
    """The worth of co-locations on nodes of several types.

    Attributes:
        types: by name of the type.
        other: on nodes of a type that is not among them.
    """

    types: Mapping[str, Worth]
    other: Worth

    def of(self, colocations: IntArray) -> FloatArray:
        """Return the worth on nodes of a type of which nothing is known; see `Worth.of`."""
        return self.other.of(colocations)

    def on(self, name: str) -> Worth:
        """Return the worth on nodes of one type."""
        return self.types.get(name, self.other)


def on_type(worth: Worth, name: str) -> Worth:
    """Return the worth on nodes of one type; the same on all where types are not distinguished."""
    return worth.on(name) if isinstance(worth, WorthByType) else worth


def as_worth(space: ColocationSpace, worth: FloatArray | Worth) -> Worth:
    """Return a table [size] as an oracle, an oracle as it is."""
    return TableWorth(space, worth) if isinstance(worth, np.ndarray) else worth
