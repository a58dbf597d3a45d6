"""The program's view of a problem: nodes by kind, what each kind has room for, what a node is worth."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.limits import Limit, limits_of, most_on_one
from metis.problem.objectives import containers
from metis.problem.worth import Worth, as_worth, on_type

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
class KindLimit:
    """At most so many more containers of some applications on nodes of some kinds.

    Attributes:
        words: what it is, for people.
        where: whether a container of an application counts on nodes of a kind, bool [kinds, apps].
        most: containers that may join those that run already.
        penalty: what each container beyond takes from the value; infinity for a hard limit.
    """

    words: str
    where: NDArray[np.bool_]
    most: int
    penalty: float = np.inf

    @property
    def hard(self) -> bool:
        """Whether it may not be passed."""
        return bool(np.isinf(self.penalty))


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
        resources: names of the resources.
        most: containers of each application that a node of each kind may receive, int [kinds, apps]; None
            for all.
        penalty: what each co-location [n, apps] takes from the value by soft rules, float64 [n]; None for
            nothing.
        limits: on nodes of several kinds together; a limit treats all nodes of a kind alike.
        origin: where containers move, those that a node of each kind had and that are part of `demand`, int
            [kinds, apps]: one that does not come to a node of its kind again is a move. The last of `limits`
            is then on moves. None where nothing moves.
        move_cost: of moving a container of each application, float64 [apps]; None for nothing.
    """

    apps: tuple[str, ...]
    demand: IntArray
    requests: FloatArray
    types: tuple[NodeType, ...]
    type_of: IntArray
    held: IntArray
    nodes: IntArray
    admits: Callable[[IntArray], NDArray[np.bool_]]
    resources: tuple[str, ...] = ("slots",)
    most: IntArray | None = None
    penalty: Callable[[IntArray], FloatArray] | None = None
    limits: tuple[KindLimit, ...] = ()
    origin: IntArray | None = None
    move_cost: FloatArray | None = None

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
        total = self.held[kind] + added
        worth = self.types[int(self.type_of[kind])].worth.of(total)
        return worth if self.penalty is None else worth - self.penalty(total)

    def value(self, kind_of: IntArray, placement: IntArray) -> float:
        """Return the value of a placement [nodes, apps] on nodes of the kinds `kind_of` [nodes]."""
        parts = [float(self.worth_of(kind, placement[kind_of == kind]).sum()) for kind in range(self.kinds)]
        if not self.limits:
            return float(sum(parts))
        beyond = np.maximum(self.used(kind_of, placement) - self.limit_most, 0)
        soft = np.isfinite(self.limit_penalty)
        return float(sum(parts) - beyond[soft] @ self.limit_penalty[soft])

    def admitted(self, kind: int, added: IntArray) -> NDArray[np.bool_]:
        """Return whether the rules admit nodes of a kind that receive `added` [n, apps], bool [n]."""
        found = np.asarray(self.admits(self.held[kind] + added) | ~added.any(axis=1))
        return found if self.most is None else found & (added <= self.most[kind]).all(axis=1)

    def receivable(self, kind: int) -> IntArray:
        """Return how many containers of each application a node of a kind may receive, int [apps]."""
        return self.demand if self.most is None else np.minimum(self.demand, self.most[kind])

    @cached_property
    def limit_where(self) -> NDArray[np.bool_]:
        """Whether an application counts on a kind for each limit, bool [limits, kinds, apps]."""
        found = np.array([limit.where for limit in self.limits], dtype=bool)
        return found.reshape(-1, self.kinds, len(self.apps))

    def limit_use(self, kind: int | IntArray, added: IntArray) -> IntArray:
        """Return how many containers of `added` [n, apps] on a kind count for each limit, int [n, limits].

        Args:
            kind: of all these nodes, or of each, int [n].
            added: what they receive.
        """
        if isinstance(kind, np.ndarray):
            use = np.stack([(where[kind] * added).sum(axis=1) for where in self.limit_where], axis=1)
        else:
            use = np.asarray(added @ self.limit_where[:, kind].T.astype(np.int64))
        if self.origin is not None:
            use[:, -1] = self.leaving(kind, added).sum(axis=1)
        return use

    def leaving(self, kind: int | IntArray, added: IntArray) -> IntArray:
        """Return which containers leave nodes that end up with `added` [n, apps], int [n, apps].

        Args:
            kind: of all these nodes, or of each, int [n].
            added: what they receive, of what they had as well.
        """
        assert self.origin is not None
        return np.asarray(np.maximum(self.origin[kind] - added, 0))

    def cost_of_moves(self, kind: int | IntArray, added: IntArray, price: float = 0.0) -> FloatArray:
        """Return what the moves away from nodes cost that end up with `added` [n, apps], float64 [n].

        Args:
            kind: of all these nodes, or of each, int [n].
            added: what they receive, of what they had as well.
            price: of a move, beside what it costs by itself.
        """
        if self.origin is None:
            return np.zeros(len(added))
        each = np.zeros(len(self.apps)) if self.move_cost is None else self.move_cost
        return np.asarray(self.leaving(kind, added) @ (each + price))

    def under_limits(self, kind: int) -> NDArray[np.bool_]:
        """Return which limits containers on nodes of a kind may count for, bool [limits]."""
        found: NDArray[np.bool_] = np.asarray(self.limit_where[:, kind].any(axis=1))
        if self.origin is not None:
            found[-1] = True
        return found

    @cached_property
    def limit_most(self) -> IntArray:
        """The containers that each limit leaves, int [limits]."""
        return np.array([limit.most for limit in self.limits], dtype=np.int64)

    @cached_property
    def limit_penalty(self) -> FloatArray:
        """What a container beyond each limit costs, infinity for hard ones, float64 [limits]."""
        return np.array([limit.penalty for limit in self.limits], dtype=np.float64)

    @cached_property
    def zones(self) -> IntArray:
        """The number of the zone of each kind, int [kinds]: kinds of a zone are under the same limits."""
        if not self.limits:
            return np.zeros(self.kinds, dtype=np.int64)
        return np.unique(self.limit_where, axis=1, return_inverse=True)[1].ravel()

    def used(self, kind_of: IntArray, placement: IntArray) -> IntArray:
        """Return how many containers of a placement [nodes, apps] count for each limit, int [limits]."""
        of_kind = np.zeros((self.kinds, len(self.apps)), dtype=np.int64)
        np.add.at(of_kind, kind_of, placement)
        use = np.asarray((self.limit_where * of_kind).sum(axis=(1, 2)))
        if self.origin is not None:
            use[-1] = self.leaving(kind_of, placement).sum()
        return use

    def fits(self, kind: int, added: IntArray, demand: IntArray, left: IntArray) -> NDArray[np.bool_]:
        """Return whether one node of a kind may receive `added` [n, apps] of what is left, bool [n].

        Args:
            kind: of the node.
            added: containers.
            demand: containers that are left, int [apps].
            left: of each limit, int [limits]; soft ones bind nothing.
        """
        most = demand if self.most is None else np.minimum(demand, self.most[kind])
        found = (added <= most).all(axis=1)
        if self.limits:
            over = self.limit_use(kind, added) > left
            found &= ~(over & np.isinf(self.limit_penalty)).any(axis=1)
        return np.asarray(found)

    def prices_in(self, kind: int, duals: FloatArray) -> FloatArray:
        """Return what a container of each application costs on nodes of a kind, float64 [apps].

        Args:
            kind: of the nodes.
            duals: prices of the applications' containers, then of the limits, float64 [apps + limits].
        """
        prices = duals[: len(self.apps)]
        if not self.limits:
            return prices
        return np.asarray(prices + duals[len(self.apps) :] @ self.limit_where[:, kind])


def problem_of(
    group: IntArray, cluster: Cluster, worth: FloatArray | Worth, origin: IntArray | None = None
) -> tuple[Problem, IntArray]:
    """Return the problem of placing a group, and the kind of each node, int [nodes].

    Args:
        group: containers to place, int [apps].
        cluster: where to; its statement, where it has one, says what nodes have and what rules ask.
        worth: of co-locations: a table [space.size], or an oracle.
        origin: where some of the group run already, and may move, int [nodes, apps]; None: nothing moves.
            Any number may; see `with_moves`.
    """
    space = cluster.space
    oracle = as_worth(space, worth)
    group = np.asarray(group, dtype=np.int64)
    if cluster.stated is not None:
        return _stated(group, cluster, oracle, origin)
    at_first = cluster.existing[:, :0] if origin is None else origin
    rows = np.column_stack([cluster.existing, at_first])
    _, first, kind_of, nodes = np.unique(
        rows, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    slots = NodeType("node", np.array([float(space.slots)]), oracle)
    problem = Problem(
        apps=space.apps,
        demand=group,
        requests=np.ones((len(space.apps), 1)),
        types=(slots,),
        type_of=np.zeros(len(first), dtype=np.int64),
        held=cluster.existing[first],
        nodes=nodes.astype(np.int64),
        admits=cluster.admits,
        limits=_on_moves(first, origin, len(space.apps)),
        origin=None if origin is None else origin[first],
    )
    return problem, kind_of.ravel()


def with_moves(problem: Problem, moves: int) -> Problem:
    """Return a problem whose containers may move, with at most so many moves."""
    *others, on_moves = problem.limits
    return replace(problem, limits=(*others, replace(on_moves, most=moves)))


def _on_moves(first: IntArray, origin: IntArray | None, apps: int) -> tuple[KindLimit, ...]:
    """Return the limit on moves, which any number of them keeps; none where nothing moves."""
    if origin is None:
        return ()
    return (KindLimit("moves", np.zeros((len(first), apps), dtype=bool), int(origin.sum())),)


def _stated(
    group: IntArray, cluster: Cluster, oracle: Worth, origin: IntArray | None
) -> tuple[Problem, IntArray]:
    """Return the problem that a statement makes, its nodes split by type, limits and what they hold."""
    stated, existing = cluster.stated, cluster.existing
    assert stated is not None
    at_first = existing * 0 if origin is None else origin
    total = group + existing.sum(axis=0)
    limits = limits_of(stated, total)
    most = np.maximum(most_on_one(stated, total) - existing, 0)
    makes, make_of = np.unique(
        np.column_stack([stated.type_of, stated.capacity]), axis=0, return_inverse=True
    )
    masks = [nodes for limit in limits for _, nodes in limit.parts]
    under = np.array(masks, dtype=np.int64).reshape(-1, len(existing)).T
    rows = np.column_stack([make_of.ravel(), under, most, existing, at_first])
    _, first, kind_of, nodes = np.unique(
        rows, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    per = 1 / max(containers(group, cluster), 1)
    rules, space = stated.rules, cluster.space
    costly = any(soft.penalty is not None for soft in rules.soft)
    problem = Problem(
        apps=stated.apps,
        demand=group,
        requests=stated.requests,
        types=tuple(_node_type(stated.types[int(make[0])], make[1:], oracle) for make in makes),
        type_of=make_of.ravel()[first],
        held=existing[first],
        nodes=nodes.astype(np.int64),
        admits=cluster.admits,
        resources=stated.dimensions,
        most=most[first],
        penalty=(lambda counts: per * rules.penalties(counts, space)) if costly else None,
        limits=tuple(
            KindLimit(
                words=limit.words,
                where=_where(limit, first, len(stated.apps)),
                # what is over a hard limit already may stay, and not grow
                most=max(limit.most - limit.used(existing), limit.used(at_first) if limit.hard else 0, 0),
                penalty=limit.penalty * per,
            )
            for limit in limits
        )
        + _on_moves(first, origin, len(stated.apps)),
        origin=None if origin is None else origin[first],
    )
    return problem, kind_of.ravel()


def _node_type(name: str, capacity: FloatArray, worth: Worth) -> NodeType:
    return NodeType(name, capacity, on_type(worth, name))


def _where(limit: Limit, first: IntArray, apps: int) -> NDArray[np.bool_]:
    """Return where containers count for a limit, bool [kinds, apps], by the first node of each kind."""
    where = np.zeros((len(first), apps), dtype=bool)
    for app, nodes in limit.parts:
        where[:, app] = nodes[first]
    return where
