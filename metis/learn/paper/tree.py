"""Trees of decisions, from the whole cluster down to one node, by fan-out."""

from dataclasses import dataclass

import numpy as np

from metis.errors import InputError
from metis.problem.counts import IntArray


@dataclass(frozen=True)
class TreeShape:
    """A full tree of decisions and what a level's policy sees (Metis, SC 2020).

    Attributes:
        fan_out: children of every inner position, K.
        levels: decisions per container, L; the tree has K ** L leaves.
        apps: number of applications.
        sees_remaining: whether a policy sees the counts still to come.
        hidden: tanh units in the hidden layer of a level's policy.
    """

    fan_out: int
    levels: int
    apps: int
    sees_remaining: bool = True
    hidden: int = 128

    def __post_init__(self) -> None:
        if self.fan_out < 2 or self.levels < 1 or self.hidden < 1:
            raise InputError(
                f"a tree of fan-out {self.fan_out}, {self.levels} levels and {self.hidden} hidden units: "
                "give a fan-out of at least 2, and at least 1 of the others"
            )

    @property
    def leaves(self) -> int:
        """Leaves of the tree, K ** L."""
        return int(self.fan_out**self.levels)

    @property
    def parents(self) -> int:
        """Inner positions of the tree, all levels together."""
        return sum(self.fan_out**level for level in range(self.levels))

    @property
    def inputs(self) -> int:
        """Width of a policy's input: K x apps counts, the application, the counts still to come."""
        return self.apps * (self.fan_out + 1 + int(self.sees_remaining))


def levels_for(units: int, fan_out: int) -> int:
    """Return the levels of the smallest tree with at least `units` leaves; at least 1."""
    levels = 1
    while fan_out**levels < units:
        levels += 1
    return levels


def spread(units: int, fan_out: int, levels: int) -> IntArray:
    """Spread units over the leaves as evenly as possible at every level; leaves ascending, int [units].

    The leaves left over are closed: with 100 nodes in a tree of 243 leaves no part of it holds more
    than one node over its fair share, so no level faces children of very different size.

    Raises:
        InputError: more units than leaves.
    """
    if not 0 < units <= fan_out**levels:
        raise InputError(f"{units} units: a tree of {fan_out**levels} leaves holds 1 to as many")
    sizes = np.array([units], dtype=np.int64)
    children = np.arange(fan_out)
    for _ in range(levels):
        sizes = ((sizes[:, None] + fan_out - 1 - children) // fan_out).ravel()
    return np.flatnonzero(sizes)


def split_evenly(nodes: int, parts: int) -> IntArray:
    """Split nodes into parts, int [parts], differing by at most 1, the larger first."""
    return (nodes + parts - 1 - np.arange(parts)) // parts
