"""A problem as an operator states it: nodes with capacities, applications with requests, rules between them.

Nothing is tabulated: thousands of applications and nodes are stated by what they have and need. A placement
is rows of node, application and count, since a matrix of all nodes and applications would be nearly empty.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from metis.errors import InputError, PlacementError
from metis.inputs.names import meant
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import Rules
from metis.problem.space import ColocationSpace

SLOTS = "slots"  # a resource of which every container takes one
ROUNDING = 1e-9  # of sums of requests
MOST_DEVICES = 64  # of a node
NODES_AT_ONCE = 500  # whose sums are held in memory at a time


@dataclass(frozen=True)
class Statement:
    """Nodes, applications, and what may stand beside what.

    Attributes:
        apps: names of the applications.
        demand: containers of each, int [apps].
        requests: of one container, float64 [apps, dimensions].
        nodes: names of the nodes.
        capacity: of each node, float64 [nodes, dimensions].
        dimensions: the resource of each dimension; a resource that varies over time has one for each time.
        beside: rows of (application, other, most): where a container of the application is, at most so many
            of the other may be, int [rules, 3]. The other may be the application itself.
        existing: rows of (node, application, count) that run already and stay, int [rows, 3]; they are part
            of the demand.
        types: names of the node types.
        type_of: number of the type of each node, int [nodes].
        labels: of each node, by which `rules.eligible` names it.
        domains: fault domain, such as `zone` -> the one in which each node is.
        rules: all of the operator's; `beside` holds those of them that are hard and of that form.
        devices: the resource, if any, that a node has as whole devices, such as its GPUs: a request of up to
            1 lies on one of them, a larger one takes whole ones.

    Raises:
        InputError: a container fits on no node, or more must be placed than all nodes hold, or devices are
            not whole; names the application, node or resource.
    """

    apps: tuple[str, ...]
    demand: IntArray
    requests: FloatArray
    nodes: tuple[str, ...]
    capacity: FloatArray
    dimensions: tuple[str, ...]
    beside: IntArray
    existing: IntArray
    types: tuple[str, ...] = ("node",)
    type_of: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    labels: tuple[frozenset[str], ...] = ()
    domains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rules: Rules = field(default_factory=Rules)
    devices: str = ""

    def __post_init__(self) -> None:
        if not len(self.type_of):
            object.__setattr__(self, "type_of", np.zeros(len(self.nodes), dtype=np.int64))
        if not self.labels:
            object.__setattr__(self, "labels", (frozenset[str](),) * len(self.nodes))
        if self.devices:
            self._check_devices()
        self.check_demand(self.demand)

    def _check_devices(self) -> None:
        at = self.resource(self.devices)
        if len(at) > 1:
            raise InputError(
                f"{self.devices}: devices have no times; give one value for each node and application"
            )
        have, asked = self.capacity[:, at[0]], self.requests[:, at[0]]
        split = np.flatnonzero((have != np.floor(have)) | (have > MOST_DEVICES))
        if split.size:
            raise InputError(
                f"node {self.nodes[split[0]]}: has {have[split[0]]:g} {self.devices}; devices are whole, "
                f"{MOST_DEVICES} at most"
            )
        split = np.flatnonzero((asked > 1) & (asked != np.floor(asked)))
        if split.size:
            raise InputError(
                f"application {self.apps[split[0]]}: asks for {asked[split[0]]:g} {self.devices}; give a "
                "share of one device, or whole ones"
            )

    def refuse_devices(self, by: str) -> None:
        """Refuse a problem with devices where only sums of a resource are kept.

        Raises:
            InputError: names the resource, and what does not keep it.
        """
        if self.devices:
            raise InputError(
                f"rules.yaml, devices: {self.devices}: {by} does not choose devices; placing in order of "
                "arrival does: give arrivals.csv"
            )

    def check_demand(self, demand: IntArray, running: IntArray | None = None) -> None:
        """Refuse containers that the nodes have too little for.

        Args:
            demand: containers of each application, those that run already included, int [apps].
            running: those that run already, of which the message speaks, int [apps]; None for none.

        Raises:
            InputError: a container fits on no node, or all of them need more than all nodes have.
        """
        self.check_each(demand)
        wanted, there = demand @ self.requests, self.capacity.sum(axis=0)
        short = np.flatnonzero(wanted > there * (1 + ROUNDING) + ROUNDING)
        if short.size:
            of, asks, have = self.dimensions[short[0]], wanted[short[0]], there[short[0]]
            if running is None or not running.any():
                raise InputError(f"{of}: the containers ask for {asks:g}, the nodes have {have:g}")
            held = float((running @ self.requests)[short[0]])
            raise InputError(
                f"{of}: the containers ask for {asks - held:g}, the nodes have {have:g}, of which what runs "
                f"takes {held:g}"
            )

    def check_each(self, placed: IntArray) -> None:
        """Refuse applications of which not one container fits on a node that is empty.

        Args:
            placed: above 0 for each application of which there are containers, int [apps].

        Raises:
            InputError: names the application and what is short.
        """
        asked = np.flatnonzero(placed > 0)
        makes = np.unique(self.capacity, axis=0)
        fits = np.stack([(self.requests[asked] <= make + ROUNDING).all(axis=1) for make in makes])
        for a in asked[~fits.any(axis=0)][:1]:
            excess = self.requests[a] > makes.max(axis=0) + ROUNDING
            of = self.dimensions[int(np.flatnonzero(excess)[0])] if excess.any() else "all resources together"
            much = f" ({self.requests[a][excess][0]:g})" if excess.any() else ""
            raise InputError(f"application {self.apps[a]}: no node has enough {of}{much} for one container")

    def over(self, space: ColocationSpace) -> "Statement":
        """Return the same over the applications and slots of a space.

        Raises:
            InputError: an application or more slots than the space has, or devices.
        """
        self.refuse_devices("placing by what co-locations are worth")
        unknown = [app for app in self.apps if app not in space.apps]
        if unknown:
            raise InputError(
                f"application {unknown[0]!r}: nothing is known of it; {meant(unknown[0], space.apps)}"
            )
        at = [space.apps.index(app) for app in self.apps]
        demand = np.zeros(len(space.apps), dtype=np.int64)
        requests = np.zeros((len(space.apps), len(self.dimensions)))
        demand[at], requests[at] = self.demand, self.requests
        numbers = np.array(at, dtype=np.int64)
        beside, existing = self.beside.copy(), self.existing.copy()
        beside[:, :2], existing[:, 1] = numbers[beside[:, :2]], numbers[existing[:, 1]]
        capacity, dimensions = self.capacity, self.dimensions
        if SLOTS not in dimensions:
            requests = np.column_stack([np.ones(len(space.apps)), requests])
            capacity = np.column_stack([np.full(len(self.nodes), float(space.slots)), capacity])
            dimensions = (SLOTS, *dimensions)
        most = capacity[:, dimensions.index(SLOTS)].max()
        if most > space.slots:
            raise InputError(
                f"a node has {most:g} slots, and co-locations are known of {space.slots} containers at most"
            )
        return replace(
            self,
            apps=space.apps,
            demand=demand,
            requests=requests,
            capacity=capacity,
            dimensions=dimensions,
            beside=beside,
            existing=existing,
        )

    def of_nodes(self, chosen: IntArray) -> "Statement":
        """Return the same on some of the nodes; what runs on the others is left out.

        Args:
            chosen: numbers of nodes, int [n].
        """
        place = np.full(len(self.nodes), -1)
        place[chosen] = np.arange(len(chosen))
        existing = self.existing[place[self.existing[:, 0]] >= 0]
        existing = np.column_stack([place[existing[:, 0]], existing[:, 1:]])
        return replace(
            self,
            nodes=tuple(self.nodes[i] for i in chosen),
            capacity=self.capacity[chosen],
            existing=existing.astype(np.int64),
            type_of=self.type_of[chosen],
            labels=tuple(self.labels[i] for i in chosen),
            domains={name: tuple(of[i] for i in chosen) for name, of in self.domains.items()},
        )

    @property
    def running(self) -> IntArray:
        """The containers that run already, int [nodes, apps]."""
        found = np.zeros((len(self.nodes), len(self.apps)), dtype=np.int64)
        np.add.at(found, (self.existing[:, 0], self.existing[:, 1]), self.existing[:, 2])
        return found

    def resource(self, name: str) -> IntArray:
        """Return the dimensions of a resource, int [times].

        Raises:
            InputError: an unknown resource; names those that there are.
        """
        found = np.flatnonzero(np.array(self.dimensions) == name)
        if not found.size:
            raise InputError(
                f"{name!r} is no resource of this problem; it has {', '.join(dict.fromkeys(self.dimensions))}"
            )
        return found

    def used(self, rows: IntArray, nodes: Sequence[int] | IntArray) -> FloatArray:
        """Return what the containers of `rows` take of some nodes, float64 [nodes, dimensions]."""
        place = np.full(len(self.nodes), -1)
        place[nodes] = np.arange(len(nodes))
        total = np.zeros((len(nodes), self.requests.shape[1]))
        mine = rows[place[rows[:, 0]] >= 0]
        np.add.at(total, place[mine[:, 0]], self.requests[mine[:, 1]] * mine[:, 2:])
        return total


def check_rows(statement: Statement, rows: IntArray, scheduler: str) -> None:
    """Check that a placement holds every container, within capacity and rules.

    Args:
        statement: the problem.
        rows: of (node, application, count), each node and application once, int [rows, 3].
        scheduler: whose placement it is, for the message.

    Raises:
        PlacementError: a container is lost, a node overfull, or a rule broken; names it.
    """
    placed = np.bincount(rows[:, 1], weights=rows[:, 2], minlength=len(statement.apps)).astype(np.int64)
    for a in np.flatnonzero(placed != statement.demand)[:1]:
        wanted = statement.demand[a]
        raise PlacementError(f"{scheduler}: placed {placed[a]} of {wanted} containers of {statement.apps[a]}")
    for first in range(0, len(statement.nodes), NODES_AT_ONCE):
        some = np.arange(first, min(first + NODES_AT_ONCE, len(statement.nodes)))
        over = np.argwhere(statement.used(rows, some) > statement.capacity[some] + 1e-6)
        if len(over):
            node, dimension = int(some[over[0][0]]), int(over[0][1])
            raise PlacementError(
                f"{scheduler}: node {statement.nodes[node]} has too little "
                f"{statement.dimensions[dimension]} for what it holds"
            )
    for rule, node, count in broken_rules(statement, rows)[:1]:
        app, other, most = statement.beside[rule]
        raise PlacementError(
            f"{scheduler}: node {statement.nodes[node]} holds {count} of {statement.apps[other]} beside "
            f"{statement.apps[app]}, where at most {most} may be"
        )


def broken_rules(statement: Statement, rows: IntArray) -> list[tuple[int, int, int]]:
    """Return (rule, node, count of the other application) where a rule is broken."""
    apps = len(statement.apps)
    keys = rows[:, 0] * apps + rows[:, 1]
    order = np.argsort(keys)
    keys, held = keys[order], rows[order, 2]
    rules = np.argsort(statement.beside[:, 0], kind="stable")
    of = statement.beside[rules, 0]
    first, last = (np.searchsorted(of, rows[:, 1], side) for side in ("left", "right"))
    many = last - first
    row = np.repeat(np.arange(len(rows)), many)
    rule = rules[np.repeat(first - np.cumsum(many) + many, many) + np.arange(many.sum())]
    wanted = rows[row, 0] * apps + statement.beside[rule, 1]
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    count = np.where(keys[at] == wanted, held[at], 0)
    broken = np.flatnonzero(count > statement.beside[rule, 2])
    return [(int(rule[i]), int(rows[row[i], 0]), int(count[i])) for i in broken]
