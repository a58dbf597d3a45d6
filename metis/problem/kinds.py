"""The program's view of a problem: nodes by kind, what each kind has room for, what a node is worth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.worth import TableWorth, Worth

ROUNDING = 1e-9  # of sums of requests


@dataclass(frozen=True)
class NodeType:
    """Nodes of one make.

    Attributes:
        name: as the operator calls it.
        capacity: of each resource, float64 [resources].
        worth: what such a node adds to the value of a placement, by what it holds.
    """

    name: str
    capacity: FloatArray
    worth: Worth


@dataclass(frozen=True)
class Problem:
    """A group to place on nodes that fall into kinds: alike in type and in what they hold.

    Attributes:
        apps: names of the applications, in column order.
        demand: containers to place, int [apps].
        requests: of one container for each resource, float64 [apps, resources]; slots are a resource.
        types: of the nodes.
        type_of: number of the type of each kind, int [kinds].
        held: what a node of each kind holds already, int [kinds, apps].
        nodes: how many nodes each kind has, int [kinds].
        admits: whether the rules admit each co-location [n, apps], bool [n]; they bind a node that receives
            a container.
    """

    apps: tuple[str, ...]
    demand: IntArray
    requests: FloatArray
    types: tuple[NodeType, ...]
    type_of: IntArray
    held: IntArray
    nodes: IntArray
    admits: Callable[[IntArray], NDArray[np.bool_]]

    @property
    def kinds(self) -> int:
        """How many kinds of nodes there are."""
        return len(self.nodes)

    def room(self, kind: int) -> FloatArray:
        """Return what a node of a kind has left of each resource, float64 [resources]."""
        capacity = self.types[int(self.type_of[kind])].capacity
        return np.asarray(capacity - self.held[kind] @ self.requests + ROUNDING)

    def worth_of(self, kind: int, added: IntArray) -> FloatArray:
        """Return what nodes of a kind are worth that receive `added` [n, apps], float64 [n]."""
        return self.types[int(self.type_of[kind])].worth.of(self.held[kind] + added)

    def value(self, kind_of: IntArray, placement: IntArray) -> float:
        """Return the value of a placement [nodes, apps] on nodes of the kinds `kind_of` [nodes]."""
        parts = (self.worth_of(kind, placement[kind_of == kind]).sum() for kind in range(self.kinds))
        return float(sum(parts))

    def admitted(self, kind: int, added: IntArray) -> NDArray[np.bool_]:
        """Return whether the rules admit nodes of a kind that receive `added` [n, apps], bool [n]."""
        return np.asarray(self.admits(self.held[kind] + added) | ~added.any(axis=1))


def problem_of(group: IntArray, cluster: Cluster, worth: FloatArray | Worth) -> tuple[Problem, IntArray]:
    """Return the problem of placing a group, and the kind of each node, int [nodes].

    Args:
        group: containers to place, int [apps].
        cluster: where to.
        worth: of co-locations: a table [space.size], or an oracle.
    """
    space = cluster.space
    oracle = TableWorth(space, worth) if isinstance(worth, np.ndarray) else worth
    held, kind_of, nodes = np.unique(cluster.existing, axis=0, return_inverse=True, return_counts=True)
    slots = NodeType("node", np.array([float(space.slots)]), oracle)
    problem = Problem(
        apps=space.apps,
        demand=np.asarray(group, dtype=np.int64),
        requests=np.ones((len(space.apps), 1)),
        types=(slots,),
        type_of=np.zeros(len(held), dtype=np.int64),
        held=held,
        nodes=nodes.astype(np.int64),
        admits=cluster.admits,
    )
    return problem, kind_of.ravel()
