"""The use of nodes that differ: resources by type, containers by fault domain, soft rules that are broken."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metis.problem.counts import IntArray
from metis.problem.limits import limits_of, named_nodes
from metis.problem.rules import KINDS, Rules, SoftRules
from metis.problem.space import ColocationSpace
from metis.problem.statement import Statement


@dataclass(frozen=True)
class TypeUse:
    """What is used of the nodes of one type.

    Attributes:
        name: of the type.
        nodes: of it.
        free_nodes: those that hold nothing.
        used: of each resource, the time of highest use where it varies.
        capacity: of each resource, of all nodes of the type.
    """

    name: str
    nodes: int
    free_nodes: int
    used: dict[str, float]
    capacity: dict[str, float]

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        free = {name: self.capacity[name] - self.used[name] for name in self.used}
        return {"nodes": self.nodes, "free_nodes": self.free_nodes, "used": self.used, "free": free}


@dataclass(frozen=True)
class Broken:
    """A soft rule that is broken.

    Attributes:
        rule: in words.
        containers: that would have to go for it to be kept.
        penalty: what each takes from the objective, in the RPS of one container; None where a share is free.
    """

    rule: str
    containers: int
    penalty: float | None

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {"rule": self.rule, "containers": self.containers, "penalty": self.penalty}


def use_by_type(statement: Statement, held: IntArray) -> list[TypeUse]:
    """Return what `held` [nodes, apps], all that runs, uses of each type."""
    taken = held @ statement.requests
    found = []
    for number, name in enumerate(statement.types):
        own = statement.type_of == number
        used: dict[str, float] = {}
        capacity: dict[str, float] = {}
        for resource in dict.fromkeys(statement.dimensions):
            times = statement.resource(resource)
            sums = taken[own][:, times].sum(axis=0)
            at = int(sums.argmax())
            used[resource] = float(sums[at])
            capacity[resource] = float(statement.capacity[own][:, times[at]].sum())
        free = int((~held[own].any(axis=1)).sum())
        found.append(TypeUse(name, int(own.sum()), free, used, capacity))
    return found


def use_by_domain(statement: Statement, held: IntArray) -> dict[str, dict[str, int]]:
    """Return how many containers each fault domain holds: domain -> name -> containers."""
    found: dict[str, dict[str, int]] = {}
    for domain, names in statement.domains.items():
        within = np.array(names)
        each = held.sum(axis=1)
        found[domain] = {name: int(each[within == name].sum()) for name in dict.fromkeys(names)}
    return found


def broken_rules(statement: Statement, held: IntArray, space: ColocationSpace) -> list[Broken]:
    """Return the soft rules that `held` [nodes, apps], all that runs, breaks, those of a share included."""
    found = []
    for soft in statement.rules.soft:
        for rule in _as_hard(soft).parts():
            words = rule.overrides[0]
            if rule.eligible:
                app, names = next(iter(rule.eligible.items()))
                elsewhere = ~named_nodes(statement, app, names)
                count = int(held[elsewhere, statement.apps.index(app)].sum())
            elif rule.spread:
                alone = SoftRules(spread=rule.spread, penalty=soft.penalty)
                count = _beyond(statement, alone, held)
            else:
                count = int(rule.violations(held, space).sum())
            if count:
                found.append(Broken(words, count, soft.penalty))
    return found


def _as_hard(soft: SoftRules) -> Rules:
    return Rules(**{kind: getattr(soft, kind) for kind in KINDS})


def _beyond(statement: Statement, rule: SoftRules, held: IntArray) -> int:
    alone = replace(statement, rules=replace(statement.rules, spread={}, soft=(rule,)))
    limits = limits_of(alone, held.sum(axis=0))
    return sum(max(one.used(held) - one.most, 0) for one in limits)
