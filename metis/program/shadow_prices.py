"""Shadow prices: what one more node, more of a resource or a looser rule would be worth, by the relaxation.

One more node of a type, and one container more under a limit, are put into the program over the columns that
are known, which is solved again. With more of a resource on one node its best column is looked for anew, at
the prices of the relaxation: that is an upper limit of what it would bring.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from metis.problem.counts import FloatArray, IntArray
from metis.problem.kinds import Problem
from metis.problem.worth import TableWorth
from metis.program.generation import Relaxation, solve_on_pools
from metis.program.pool import Pool
from metis.program.pricing import enumerate_columns, search

SLOTS = "slots"
LIMITS = 20  # those of the highest tolls, whose gains are found
EXACT = 1e-9  # share of the largest worth below which a toll is none
MORE = 0.1  # share of a resource other than slots that is added


@dataclass(frozen=True)
class Duals:
    """Prices of the relaxation, and what it gains by small changes.

    Attributes:
        prices: of a container of each application, float64 [apps].
        kinds: of a node of each kind, float64 [kinds].
        tolls: of a container under each limit, float64 [limits].
        node_gains: of one more node of each kind, float64 [kinds].
        limit_gains: of one container more under each limit, float64 [limits].
    """

    prices: FloatArray
    kinds: FloatArray
    tolls: FloatArray
    node_gains: FloatArray
    limit_gains: FloatArray

    def document(self) -> dict[str, list[float]]:
        """Return them as JSON holds them."""
        return {one.name: getattr(self, one.name).tolist() for one in fields(self)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Duals":
        """Read what `document` wrote."""
        return cls(**{one.name: np.array(document[one.name], dtype=float) for one in fields(cls)})


def duals_of(problem: Problem, relaxed: Relaxation) -> Duals:
    """Return the prices of a relaxation, and what it gains by one more node or a looser limit."""
    solution = relaxed.solution
    emptiest = {
        int(of): min(np.flatnonzero(problem.type_of == of).tolist(), key=lambda k: int(problem.held[k].sum()))
        for of in np.unique(problem.type_of)
    }
    node_gains = np.zeros(problem.kinds)
    for kind in emptiest.values():
        node_gains[kind] = _gain(problem, relaxed, np.eye(problem.kinds, dtype=np.int64)[kind], None)
    limit_gains = np.zeros(len(problem.limits))
    dear = np.argsort(-solution.tolls, kind="stable")[:LIMITS]
    for r in dear[solution.tolls[dear] > EXACT * relaxed.master.scale].tolist():
        limit_gains[r] = _gain(problem, relaxed, None, np.eye(len(limit_gains), dtype=np.int64)[r])
    relaxed.master.restrict(problem.demand, problem.nodes)
    return Duals(solution.prices, solution.kinds, solution.tolls, node_gains, limit_gains)


def _gain(problem: Problem, relaxed: Relaxation, nodes: IntArray | None, left: IntArray | None) -> float:
    """Return what the program over the pools gains by more nodes or containers under limits."""
    master = relaxed.master
    more_nodes = problem.nodes if nodes is None else problem.nodes + nodes
    master.restrict(
        problem.demand, more_nodes, problem.limit_most if left is None else problem.limit_most + left
    )
    solution = solve_on_pools(problem, master, relaxed.pools)
    return max(solution.value - relaxed.solution.value, 0.0)


@dataclass(frozen=True)
class ShadowPrices:
    """What changes would be worth, in the value of the placement.

    Attributes:
        nodes: one more node, by type.
        resources: more on one node: one slot, a tenth of another resource, by type and resource.
        rules: one container more under a limit, by the limit's words; limits that gain nothing are left out.
        containers: one container more of an application, by name; where it is negative, more would cost.
    """

    nodes: dict[str, float]
    resources: dict[str, dict[str, float]]
    rules: dict[str, float]
    containers: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Return them as JSON holds them."""
        return {
            "node": self.nodes,
            "resource": self.resources,
            "rule": self.rules,
            "container": self.containers,
        }


def shadow_prices(problem: Problem, duals: Duals, width: int = 256) -> ShadowPrices:
    """Return what changes of a problem would be worth by the duals of its relaxation.

    Args:
        problem: what is placed where.
        duals: of the relaxation.
        width: columns of equally many containers that the searches pursue.
    """
    nodes: dict[str, float] = {}
    resources: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(one.name for one in problem.types):
        own = [k for k in range(problem.kinds) if problem.types[int(problem.type_of[k])].name == name]
        if not own:
            continue
        emptiest = min(own, key=lambda k: (problem.held[k].sum(), -duals.kinds[k]))
        nodes[name] = float(max(duals.node_gains[k] for k in own))
        resources[name] = _gains(problem, duals, emptiest, width)
    by_words: dict[str, float] = {}
    for limit, gain in zip(problem.limits, duals.limit_gains.tolist(), strict=True):
        if gain > 0:
            by_words[limit.words] = gain
    asked = np.flatnonzero(problem.demand)
    containers = {problem.apps[a]: float(duals.prices[a]) for a in asked}
    return ShadowPrices(nodes, resources, by_words, containers)


def _gains(problem: Problem, duals: Duals, kind: int, width: int) -> dict[str, float]:
    """Return what a node of a kind gains by more of each resource."""
    found: dict[str, float] = {}
    for resource in dict.fromkeys(problem.resources):
        number = int(problem.type_of[kind])
        of = np.array(problem.resources) == resource
        capacity = problem.types[number].capacity.copy()
        capacity[of] += 1 if resource == SLOTS else MORE * capacity[of]
        worth = problem.types[number].worth
        if resource == SLOTS and isinstance(worth, TableWorth) and capacity[of].max() > worth.space.slots:
            continue  # co-locations of so many were never tabulated
        larger = replace(problem.types[number], capacity=capacity)
        types = (*problem.types[:number], larger, *problem.types[number + 1 :])
        pool = Pool(replace(problem, types=types), kind)
        prices = problem.prices_in(kind, np.concatenate([duals.prices, duals.tolls]))
        before = float(duals.kinds[kind])
        if enumerate_columns(pool):
            best = float(pool.reduced(prices).max())
        else:
            best = search(pool, prices, before, width).found
        gain = best - before
        found[resource] = gain if gain > 1e-6 * max(abs(before), abs(best)) else 0.0
    return found
