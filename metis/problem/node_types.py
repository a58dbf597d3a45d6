"""Node types and requests as an operator writes them in settings, and the statement that they make."""

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Annotated

import numpy as np
from annotated_types import Ge, Le

from metis.errors import InputError
from metis.inputs.names import LONGEST_HOST, check_names, meant, twice_in
from metis.inputs.quantities import quantity_of
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import Rules
from metis.problem.statement import SLOTS, Statement
from metis.settings import NONE_IS_EMPTY, settings

DOMAIN_OF_ONE = "node"  # the fault domain that every node is by itself
MAX_NODES = 1_000_000
Quantities = Annotated[Mapping[str, float | str], NONE_IS_EMPTY]


@settings("cluster.types")
class NodeTypeSettings:
    """Nodes of one type.

    Attributes:
        name: of the type.
        count: how many there are, called NAME-1, NAME-2, ...; or give `nodes`.
        nodes: their names.
        slots: containers that such a node holds; null: `cluster.slots`.
        capacity: resource -> how much such a node has, such as {cpu: 16, memory: 64Gi}.
        labels: by which `rules.eligible` may name these nodes, as by the name of their type.
        domains: fault domain -> the one that holds these nodes, or several among which they are dealt in
            turn, such as {zone: a, rack: [r1, r2]}.
    """

    name: str
    count: Annotated[int, Ge(0), Le(MAX_NODES)] | None = None
    nodes: tuple[str, ...] = ()
    slots: Annotated[int, Ge(1), Le(256)] | None = None
    capacity: Quantities = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    domains: Annotated[Mapping[str, str | tuple[str, ...]], NONE_IS_EMPTY] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names([self.name, *self.labels], "cluster.types: name or label")
        check_names(self.nodes, f"cluster.types.{self.name}: node", LONGEST_HOST)
        if (self.count is None) == (not self.nodes):
            raise InputError(f"cluster.types.{self.name}: give its count, or the names of its nodes")
        if self.count == 0:
            raise InputError(
                f"cluster.types.{self.name}: has no nodes; give 1 or more, or leave the type out"
            )
        if SLOTS in self.capacity:
            raise InputError(f"cluster.types.{self.name}.capacity: slots stand beside it, as slots: 8")
        if DOMAIN_OF_ONE in self.domains:
            raise InputError(f"cluster.types.{self.name}.domains: every node is a domain `node` by itself")
        for domain, names in self.domains.items():
            check_names([domain, *_several(names)], f"cluster.types.{self.name}.domains: name")
            if not names:
                raise InputError(f"cluster.types.{self.name}.domains.{domain}: names none")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its nodes."""
        return self.nodes or tuple(f"{self.name}-{i + 1}" for i in range(self.count or 0))


def nodes_of(types: Sequence[NodeTypeSettings]) -> int:
    """Return how many nodes some types have."""
    return sum(len(one.nodes) or one.count or 0 for one in types)


def state_problem(
    types: Sequence[NodeTypeSettings],
    requests: Mapping[str, Mapping[str, float | str]],
    rules: Rules,
    apps: tuple[str, ...],
    slots: int,
    placed: IntArray,
) -> Statement:
    """Return what settings state.

    Args:
        types: of the nodes.
        requests: application -> resource -> what a container takes.
        rules: of the operator.
        apps: names of the applications, in column order.
        slots: of a node whose type says nothing of it.
        placed: 1 for each application of which containers are placed: they need a request of each resource;
            0 for others, int [apps].

    Raises:
        InputError: a name that stands twice or is unknown, a resource that is missing, negative or no
            quantity, or containers that fit nowhere.
    """
    names = [name for one in types for name in one.names]
    for given, what in (([one.name for one in types], "type"), (names, "node")):
        twice = twice_in(given)
        if twice is not None:
            raise InputError(f"cluster.types: the {what} {twice!r} stands twice; give each name once")
    resources = _resources(types, requests)
    each = np.array([len(one.names) for one in types])
    capacity = np.array([_capacity(one, resources, slots) for one in types], dtype=np.float64)
    made = Statement(
        apps=apps,
        demand=np.zeros(len(apps), dtype=np.int64),  # how many are placed is the group's to say
        requests=_requests(requests, resources, apps, placed),
        nodes=tuple(names),
        capacity=np.repeat(capacity, each, axis=0),
        dimensions=(SLOTS, *resources),
        beside=np.zeros((0, 3), dtype=np.int64),
        existing=np.zeros((0, 3), dtype=np.int64),
        types=tuple(one.name for one in types),
        type_of=np.repeat(np.arange(len(types)), each),
        labels=tuple(frozenset(one.labels) for one in types for _ in one.names),
        domains=_domains(types),
        rules=rules,
    )
    made.check_each(placed)
    return made


def _resources(
    types: Sequence[NodeTypeSettings], requests: Mapping[str, Mapping[str, float | str]]
) -> tuple[str, ...]:
    resources = tuple(dict.fromkeys(name for one in types for name in one.capacity))
    for one in types:
        for name in resources:
            if name not in one.capacity:
                raise InputError(
                    f"cluster.types.{one.name}.capacity: {name} is missing, which others have; give 0 for "
                    "none"
                )
    for app, asked in requests.items():
        for name in asked:
            if name not in resources:
                raise InputError(
                    f"apps.requests.{app}.{name}: no type in cluster.types has such a resource; "
                    f"{meant(name, resources)}"
                )
    return resources


def _capacity(one: NodeTypeSettings, resources: Sequence[str], slots: int) -> list[float]:
    place = f"cluster.types.{one.name}.capacity"
    return [one.slots or slots, *(quantity_of(one.capacity[name], f"{place}.{name}") for name in resources)]


def _requests(
    given: Mapping[str, Mapping[str, float | str]],
    resources: Sequence[str],
    apps: tuple[str, ...],
    placed: IntArray,
) -> FloatArray:
    for app in given:
        if app not in apps:
            raise InputError(f"apps.requests: {app!r} is unknown; {meant(app, apps)}")
    found = np.ones((len(apps), 1 + len(resources)))
    for a, app in enumerate(apps):
        for r, name in enumerate(resources):
            asked = given.get(app, {})
            if name not in asked and placed[a]:
                raise InputError(f"apps.requests.{app}: {name} is missing; give what a container takes, or 0")
            found[a, 1 + r] = quantity_of(asked.get(name, 0), f"apps.requests.{app}.{name}")
    return found


def _domains(types: Sequence[NodeTypeSettings]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for domain in dict.fromkeys(name for one in types for name in one.domains):
        cells: list[str] = []
        for one in types:
            if domain not in one.domains:
                raise InputError(f"cluster.types.{one.name}.domains: {domain} is missing, which others have")
            names = _several(one.domains[domain])
            cells += [names[i % len(names)] for i in range(len(one.names))]
        found[domain] = tuple(cells)
    return found


def _several(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
