"""Rebalancing: what runs, improved by few moves, each number of them with its bound and a safe order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.inputs.names import meant
from metis.operate.settings import STARTUP, RebalanceSettings
from metis.operate.waves import Order, WaveOrder, as_named_waves
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray, describe_colocation
from metis.problem.evaluation import Evaluation, evaluate
from metis.problem.limits import limits_of, most_on_one
from metis.problem.oracle import Oracle
from metis.problem.placement_files import as_named
from metis.problem.statement import Statement
from metis.problem.tables import Tables
from metis.problem.worth import Worth
from metis.program.moves import MovePlan, MoveProgram, Report
from metis.wording import amount

ROUNDING = 1e-9  # share of a value that is no gain


@dataclass(frozen=True)
class Knee:
    """The number of moves proposed of a frontier, and why."""

    index: int
    why: str


@dataclass(frozen=True)
class Rebalancing:
    """What runs, and the plans to improve it.

    Attributes:
        cluster: with what runs.
        nodes: their names.
        worth: of co-locations, a table [size] or an oracle.
        known: predicted quantities.
        cost: of moving one container by application, float64 [apps]; infinite for one that may not move.
        plans: by ascending number of moves.
        orders: of their moves.
        choices: what a node may end up with, co-locations [n, apps] and their worth [n], by its number; what
            it holds comes first.
    """

    cluster: Cluster
    nodes: tuple[str, ...]
    worth: FloatArray | Worth
    known: Tables | Oracle
    cost: FloatArray
    plans: Sequence[MovePlan]
    orders: Sequence[Order]
    choices: Callable[[int], tuple[IntArray, FloatArray]]

    def judged(self, placement: IntArray) -> Evaluation:
        """Judge what all nodes hold, int [nodes, apps]."""
        return evaluate(placement, replace(self.cluster, existing=placement * 0), self.known, self.worth)

    @property
    def before(self) -> dict[str, Any]:
        """What runs, judged: `value`, `rps`, what nodes hold that a rule forbids, and limits exceeded."""
        existing = self.cluster.existing
        judged = self.judged(existing)
        held = {self.nodes[n]: self._words(existing[n]) for n in self._broken(existing)}
        found = {"value": judged.value, "rps": judged.rps, "breaks": held}
        if self.cluster.stated is not None:
            found["exceeds"] = _exceeded(self.cluster.stated, existing)
        return found

    def document(self, index: int) -> dict[str, Any]:
        """One plan, JSON-able: figures, the placement in the end, and its waves."""
        plan, order, cluster = self.plans[index], self.orders[index], self.cluster
        judged = self.judged(plan.placement)
        apps = cluster.space.apps
        mended = set(self._broken(cluster.existing)) - set(self._broken(plan.placement))
        return {
            "moves": plan.moves,
            "limit": plan.budget,
            "value": plan.value,
            "rps": judged.rps,
            "bound": plan.bound,
            "bound_kind": plan.bound_kind,
            "gap": plan.gap,
            **({} if plan.ended else {"ended": False}),
            "price": plan.prices.move,
            "cost": plan.cost,
            "seconds": plan.seconds,
            "cpu_seconds": plan.cpu_seconds,
            **as_named(plan.placement, apps, self.nodes),
            "mends": [self.nodes[n] for n in sorted(mended)],
            "waves": as_named_waves(order, apps, self.nodes),
            "detours": order.detours,
            "takes": order.seconds,
            "starts": list(order.starts),
            "down": {app: int(n) for app, n in zip(apps, order.down, strict=True) if n},
            "without_order": {
                self.nodes[n]: self._words(order.left[n]) for n in np.flatnonzero(order.left.any(axis=1))
            },
        }

    def _broken(self, placement: IntArray) -> list[int]:
        kept, stated = self.cluster.admits(placement), self.cluster.stated
        if stated is not None:
            kept &= (placement <= most_on_one(stated, placement.sum(axis=0))).all(axis=1)
        return [int(n) for n in np.flatnonzero(~kept)]

    def _words(self, counts: IntArray) -> str:
        return describe_colocation(counts, self.cluster.space.apps)

    def knee(self) -> Knee:
        """The plan of a frontier beyond which a move gains less than they all gain on average."""
        plans = self.plans
        gains = np.array([plan.value - plan.cost for plan in plans]) - self.before["value"]
        made = np.array([plan.moves for plan in plans], dtype=np.float64)
        if len(plans) == 1 or made[-1] == made[0] or gains[-1] <= gains[0]:
            return Knee(0, "more moves gain nothing")
        mean = gains[-1] / made[-1]
        index = int(np.argmax(gains - mean * made))
        share, after = gains[index] / gains[-1], min(index + 1, len(plans) - 1)
        next_ones = made[after] - made[index]  # the price of a move is that of the next alone
        each = (gains[after] - gains[index]) / max(next_ones, 1)
        why = (
            f"{plans[index].moves} moves bring {share:.0%} of what {plans[-1].moves} bring; up to there a "
            f"move gains more than their mean of {mean:.3g}, beyond it less (the next {next_ones:.0f}: "
            f"{each:.3g} each)"
        )
        return Knee(index, why)


def shown_points(frontier: Sequence[Mapping[str, Any]], least: int = 0) -> tuple[int, str]:
    """Return how many points of a frontier are worth showing, and a sentence on the others, if any.

    Args:
        frontier: documents of plans, by ascending number of moves.
        least: place of a point that is shown in any case.
    """
    gains = [point["value"] - point["cost"] for point in frontier]
    rising = [i for i in range(1, len(gains)) if gains[i] > gains[i - 1] + ROUNDING * abs(gains[i - 1])]
    last = max([least, *rising])
    if last == len(frontier) - 1:
        return len(frontier), ""
    most, enough = frontier[-1]["limit"], frontier[last]["limit"]
    return last + 1, f"{amount(most, 'move')} gain{'s' * (most == 1)} no more than {enough}"


def _exceeded(stated: Statement, placement: IntArray) -> list[str]:
    """Hard limits on several nodes that are exceeded, in words."""
    used = [(one, one.used(placement)) for one in limits_of(stated, placement.sum(axis=0)) if one.hard]
    return [f"{one.words}, and there are {count}" for one, count in used if count > one.most]


def rebalance(
    known: Tables | Oracle,
    worth: FloatArray | Worth,
    cluster: Cluster,
    nodes: tuple[str, ...],
    moves: int | Sequence[int] | None,
    settings: RebalanceSettings,
    *,
    move_cost: float | Mapping[str, float] = 0.0,
    arriving: IntArray | None = None,
    report: Report | None = None,
) -> Rebalancing:
    """Plan the moves that improve what runs, and their order.

    Args:
        known: predicted quantities, with `rps`.
        worth: of co-locations, a table [size] or an oracle.
        cluster: nodes with what runs there, and the rules.
        nodes: their names.
        moves: one number of them, several, or None for a frontier.
        settings: of moves and waves.
        move_cost: what a move must gain at least: for all, or by application (0 for others).
        arriving: containers to place besides, int [apps].
        report: receives how many of the plans are done.

    Raises:
        InputError: an unknown application, or what arrives does not fit; says with how many moves it does.
    """
    cost = move_costs(move_cost, settings.stay, cluster.space.apps)
    program = MoveProgram(
        worth, cluster, arriving=arriving, cost=cost, gap=settings.gap, time_limit=settings.time_limit
    )
    several = None if moves is None else [moves] if isinstance(moves, int) else moves
    plans = program.frontier(several, report)
    rules = WaveOrder(cluster)
    startup = _by_app("rebalance.startup", settings.startup, cluster.space.apps, STARTUP)
    orders = [
        rules.order(cluster.existing, plan.placement, settings.unavailable, startup.tolist())
        for plan in plans
    ]
    return Rebalancing(cluster, nodes, worth, known, cost, plans, orders, program.choices)


def move_costs(
    move_cost: float | Mapping[str, float], stay: Sequence[str], apps: tuple[str, ...]
) -> FloatArray:
    """Return what a move must gain by application, float64 [apps]; infinite for one that may not move.

    Raises:
        InputError: an unknown application, or a negative cost.
    """
    cost = _by_app("move_cost", move_cost, apps, 0.0)
    for app in stay:
        if app not in apps:
            raise InputError(f"rebalance.stay names the unknown application {app!r}: {meant(app, apps)}")
        cost[apps.index(app)] = np.inf
    return cost


def _by_app(key: str, given: float | Mapping[str, float], apps: tuple[str, ...], other: float) -> FloatArray:
    """A number for every application, float64 [apps]."""
    if not isinstance(given, Mapping):
        return np.full(len(apps), float(given))
    for app, number in given.items():
        if app not in apps:
            raise InputError(f"{key} names the unknown application {app!r}: {meant(app, apps)}")
        if not number >= 0:
            raise InputError(f"{key}.{app} {number:g}: give 0 or more")
    return np.array([float(given.get(app, other)) for app in apps])


def gain(found: Rebalancing, index: int) -> float:
    """What a plan gains, as a share of the value of what runs; 0 where that is worth nothing."""
    before = found.judged(found.cluster.existing).value
    return found.plans[index].value / before - 1 if before > 0 else 0.0
