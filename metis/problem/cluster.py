"""Clusters: nodes with slots, and the containers already there."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.problem.counts import IntArray, whole_counts
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace
from metis.problem.statement import SLOTS, Statement
from metis.wording import amount

FULL = 1e-6  # slack granted to sums of requests


@dataclass(frozen=True)
class Cluster:
    """The nodes to place on, their slots, and the containers already there.

    Attributes:
        space: the co-locations possible on a node (its applications and slots).
        nodes: number of nodes.
        existing: containers in place, int [nodes, apps]; they never migrate.
        allowed: bool [space.size], the co-locations the operator's rules admit; empty where the space is too
            large to tabulate.
        rules: the operator's rules, which decide there; `admits` fits both.
        stated: nodes of several types, resources and rules that distinguish nodes; None where all nodes are
            alike. Its applications are those of the space, whose slots are those of the largest node.
    """

    space: ColocationSpace
    nodes: int
    existing: IntArray = field(default=None)  # type: ignore[arg-type]
    allowed: NDArray[np.bool_] = field(default=None)  # type: ignore[arg-type]
    rules: Rules = field(default_factory=Rules)
    stated: Statement | None = None

    def __post_init__(self) -> None:
        if self.nodes < 1:
            raise InputError(f"cluster.nodes {self.nodes}: a cluster needs at least 1 node")
        shape = (self.nodes, len(self.space.apps))
        if self.existing is None:
            object.__setattr__(self, "existing", np.zeros(shape, dtype=np.int64))
        held = whole_counts(self.existing, "existing")
        if held.shape != shape:
            raise InputError(f"existing has shape {held.shape}: this cluster needs {shape} (nodes, apps)")
        self._check_stated(held)
        over = np.flatnonzero(held.sum(axis=1) > self.slots)
        if over.size:
            node = over[0] if self.stated is None else self.stated.nodes[over[0]]
            raise InputError(
                f"existing: node {node} holds {amount(held[over[0]].sum(), 'container')} "
                f"and has {amount(self.slots[over[0]], 'slot')}"
            )
        object.__setattr__(self, "existing", held)
        tabulated = self.space.size if self.space.tabulated else 0
        if self.allowed is None:
            object.__setattr__(self, "allowed", np.ones(tabulated, dtype=bool))
        if self.allowed.shape != (tabulated,) or self.allowed.dtype != bool:
            raise InputError(f"allowed has shape {self.allowed.shape}: give {tabulated} booleans")

    def _check_stated(self, held: IntArray) -> None:
        if self.stated is None:
            return
        if self.stated.apps != self.space.apps or len(self.stated.nodes) != self.nodes:
            raise InputError("a cluster's statement must be of its own applications and nodes")
        # too many for its slots is said by the caller, in containers
        counted = np.array([name != SLOTS for name in self.stated.dimensions], dtype=bool)
        over = np.argwhere((held @ self.stated.requests > self.stated.capacity + FULL) & counted)
        if len(over):
            node, resource = (int(i) for i in over[0])
            raise InputError(
                f"existing: node {self.stated.nodes[node]} holds containers that need more "
                f"{self.stated.dimensions[resource]} than its {self.stated.capacity[node, resource]:g}"
            )

    def admits(self, colocations: IntArray) -> NDArray[np.bool_]:
        """Whether the operator's rules admit each of `colocations` [n, apps], bool [n]."""
        if self.space.tabulated:
            return np.asarray(self.allowed[self.space.index(colocations)])
        return self.rules.admits(colocations, self.space)

    @cached_property
    def running(self) -> int:
        """The containers in place."""
        return int(self.existing.sum())

    @property
    def empty(self) -> bool:
        """Whether nothing runs yet."""
        return not self.running

    @property
    def slots(self) -> IntArray:
        """Slots of each node, int [nodes]."""
        if self.stated is not None and SLOTS in self.stated.dimensions:
            return self.stated.capacity[:, self.stated.dimensions.index(SLOTS)].astype(np.int64)
        return np.full(self.nodes, self.space.slots)

    @property
    def free_slots(self) -> int:
        """Slots not taken by existing containers."""
        return int(self.slots.sum() - self.existing.sum())
