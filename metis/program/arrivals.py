"""Containers placed as they arrive: each gets a node at once, and none is moved.

By default a container goes where least room is lost: the sum over the applications seen so far, by how often
they arrived, of how many of their containers fewer the node can host. So a container that needs much CPU for
its GPU goes to nodes that have much, shares lie on one device, and whole devices are kept for those that need
them. Nothing is known of what is to come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError, PlacementError
from metis.problem.arrivals import Arrivals, ArrivalsSettings
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import Rules
from metis.problem.statement import Statement
from metis.program.room import (
    BEST_FIT,
    FRAGMENTATION,
    ROOM,
    Free,
    Shapes,
    best_node,
    fragmented,
    nothing_scored,
    shapes_of,
    take,
)

POLICIES = {"best_fit": BEST_FIT, "room": ROOM, "fragmentation": FRAGMENTATION}
RELEARN = 500  # arrivals between two looks at how often each application arrives; fewer at first
MOST_SCORES = 50_000_000  # applications x nodes, of which a table is kept
REPORT_EVERY = 500  # arrivals


@dataclass(frozen=True)
class Placed:
    """Where arrivals went.

    Attributes:
        node: of each, -1 where none had room when it arrived, int [containers].
        devices: of its node that each holds.
        running: containers that run at the end.
        free: of the devices, or without any of the first resource, at the end.
        unusable: share of all devices that is free at the end and of no use to a container like those that
            arrived, in the mean over those that ask for devices; None without devices.
        seconds: wall time of all.
        milliseconds: wall time of each, float64 [containers].
    """

    node: IntArray
    devices: list[tuple[int, ...]]
    running: int
    free: float
    unusable: float | None
    seconds: float
    milliseconds: FloatArray

    @property
    def placed(self) -> int:
        """Containers that found a node."""
        return int((self.node >= 0).sum())


def place_arrivals(
    statement: Statement,
    arrivals: Arrivals,
    settings: ArrivalsSettings,
    report: Callable[[int, int], None] = lambda placed, unplaced: None,
) -> Placed:
    """Place containers in order of arrival; one that finds no room is left out, and not tried again.

    Args:
        statement: nodes, applications, and what runs already.
        arrivals: in order.
        settings: the policy, and whether containers stay.
        report: is called now and then with the numbers of those placed, and of those that found no room.

    Raises:
        InputError: a rule that is not kept here, too many applications and nodes, a policy for devices where
            there are none, or devices of which part is in use already.
    """
    refuse_other_rules(statement.rules)
    nodes, apps = len(statement.nodes), len(statement.apps)
    if nodes * apps > MOST_SCORES:
        raise InputError(
            f"{apps:,} applications on {nodes:,} nodes: at most {MOST_SCORES:,} pairs are placed on arrival"
        )
    if settings.policy == "fragmentation" and not statement.devices:
        raise InputError(
            "arrivals.policy=fragmentation: there are no devices to fragment; name them in rules.yaml"
        )
    start = perf_counter()
    shapes, free = _shapes(statement), _free(statement)
    policy, scored = POLICIES[settings.policy], nothing_scored(apps, free)
    best_node(shapes, np.zeros(apps), 0, free, scored, BEST_FIT)  # compiled where it was not yet
    scored.seen[:] = -1
    seen = np.zeros(apps)
    share, relearn = seen, 0
    chosen = np.full(len(arrivals.app), -1, dtype=np.int64)
    held: list[tuple[int, ...]] = [()] * len(arrivals.app)
    spent = np.zeros(len(arrivals.app))
    leaving: list[tuple[float, int]] = []
    placed = 0
    for i, app in enumerate(arrivals.app.tolist()):
        began = perf_counter()
        while leaving and leaving[0][0] <= arrivals.arrives[i]:
            gone = heappop(leaving)[1]
            _release(shapes, int(arrivals.app[gone]), free, int(chosen[gone]), held[gone])
            scored.version[chosen[gone]] += 1
        seen[app] += 1
        if i >= relearn and policy != BEST_FIT:
            share = seen / seen.sum()
            relearn = min(2 * i + 1, i + RELEARN)
            scored.seen[:], scored.bad_seen[:] = -1, -1
        node = best_node(shapes, share, app, free, scored, policy)
        if node >= 0:
            placed += 1
            chosen[i] = node
            held[i] = _hold(shapes, app, int(scored.device[app, node]), free, node)
            scored.version[node] += 1
            if not settings.staying and arrivals.leaves[i] < np.inf:
                heappush(leaving, (float(arrivals.leaves[i]), i))
        spent[i] = 1e3 * (perf_counter() - began)
        if (i + 1) % REPORT_EVERY == 0:
            report(placed, i + 1 - placed)
    check_arrivals(statement, arrivals, chosen, held, settings.staying)
    return Placed(
        chosen,
        held,
        placed + int(statement.existing[:, 2].sum()) - _left(arrivals, chosen, settings.staying),
        float(free.devices.sum() if statement.devices else free.of[:, 0].sum()),
        _unusable(statement, shapes, seen, free),
        perf_counter() - start,
        spent,
    )


def refuse_other_rules(rules: Rules) -> None:
    """Refuse rules that placing on arrival does not keep.

    Raises:
        InputError: names the rule.
    """
    for name in ("never_together", "at_most", "only_beside", "most_beside", "spread", "soft"):
        if getattr(rules, name):
            raise InputError(
                f"rules.{name}: placing in order of arrival keeps eligible; leave out arrivals.csv, or this"
            )


def check_arrivals(
    statement: Statement,
    arrivals: Arrivals,
    node: IntArray,
    devices: list[tuple[int, ...]],
    staying: bool,
) -> None:
    """Check, independently of how they were placed, that nodes and devices are never over their capacity.

    Raises:
        PlacementError: names the node.
    """
    at = statement.resource(statement.devices)[0] if statement.devices else -1
    used = statement.used(statement.existing, np.arange(len(statement.nodes)))
    on = np.zeros((len(statement.nodes), _most_devices(statement)))
    events = [(arrivals.arrives[i], 1, i) for i in np.flatnonzero(node >= 0).tolist()]
    if not staying:
        events += [(max(arrivals.leaves[i], t), 0, i) for t, _, i in events if arrivals.leaves[i] < np.inf]
    for _, arrives, i in sorted(events):
        where, asked = int(node[i]), statement.requests[arrivals.app[i]]
        sign = 1.0 if arrives else -1.0
        used[where] += sign * asked
        if at >= 0:
            each = min(asked[at], 1.0)
            on[where, list(devices[i])] += sign * each
            if abs(each * len(devices[i]) - asked[at]) > 1e-6:
                raise PlacementError(
                    f"arrival {i + 1}: holds {len(devices[i])} devices, asks for {asked[at]:g}"
                )
            there = np.arange(on.shape[1]) < statement.capacity[where, at]
            if (on[where] > there + 1e-6).any():
                raise PlacementError(f"node {statement.nodes[where]}: a device holds more than it is")
        if (used[where] > statement.capacity[where] + 1e-6 * (1 + statement.capacity[where])).any():
            raise PlacementError(f"node {statement.nodes[where]}: holds more than it has room for")


def _most_devices(statement: Statement) -> int:
    if not statement.devices:
        return 0
    return int(statement.capacity[:, statement.resource(statement.devices)[0]].max())


def _shapes(statement: Statement) -> Shapes:
    at = statement.resource(statement.devices) if statement.devices else np.zeros(0, dtype=np.int64)
    others = np.setdiff1d(np.arange(len(statement.dimensions)), at)
    devices = statement.requests[:, at].sum(axis=1)
    scale = np.maximum(statement.capacity.max(axis=0), 1e-12)
    most = scale[at[0]] if len(at) else 1.0
    return shapes_of(
        statement.requests[:, others], devices, _eligible(statement), np.append(scale[others], most)
    )


def _eligible(statement: Statement) -> NDArray[np.bool_]:
    """Whether a node may hold an application, bool [apps, nodes]."""
    found = np.ones((len(statement.apps), len(statement.nodes)), dtype=bool)
    for app, names in statement.rules.eligible.items():
        wanted = set(names)
        found[statement.apps.index(app)] = [
            bool(wanted & {name, statement.types[kind], *labels})
            for name, kind, labels in zip(statement.nodes, statement.type_of, statement.labels, strict=True)
        ]
    return found


def _free(statement: Statement) -> Free:
    """What nodes have free beside what runs already."""
    left = statement.capacity - statement.used(statement.existing, np.arange(len(statement.nodes)))
    if not statement.devices:
        return Free(np.ascontiguousarray(left), np.zeros((len(statement.nodes), 0)))
    at = statement.resource(statement.devices)[0]
    if statement.requests[statement.existing[:, 1], at].any():
        raise InputError(
            f"existing.csv: containers hold {statement.devices}, and it does not say which; only containers "
            "without any may run already"
        )
    have = statement.capacity[:, at]
    devices = (np.arange(_most_devices(statement)) < have[:, None]).astype(np.float64)
    return Free(np.ascontiguousarray(np.delete(left, at, axis=1)), devices)


def _hold(shapes: Shapes, app: int, device: int, free: Free, node: int) -> tuple[int, ...]:
    """Take a container's room on a node; return the devices that it holds."""
    before = free.devices[node].copy()
    take(shapes, app, device, free.of[node], free.devices[node])
    return tuple(np.flatnonzero(before != free.devices[node]).tolist())


def _release(shapes: Shapes, app: int, free: Free, node: int, devices: tuple[int, ...]) -> None:
    free.of[node] += shapes.requests[app]
    free.devices[node, list(devices)] += min(shapes.devices[app], 1.0)


def _left(arrivals: Arrivals, node: IntArray, staying: bool) -> int:
    """How many that were placed have left when the last arrives."""
    if staying or not len(arrivals.app):
        return 0
    return int(((node >= 0) & (arrivals.leaves <= arrivals.arrives[-1])).sum())


def _unusable(statement: Statement, shapes: Shapes, seen: FloatArray, free: Free) -> float | None:
    asking = np.where(shapes.devices > 0, seen, 0.0)
    if not statement.devices or not asking.any():
        return None
    there = statement.capacity[:, statement.resource(statement.devices)[0]].sum()
    return float(fragmented(shapes, asking / asking.sum(), free) / there)
