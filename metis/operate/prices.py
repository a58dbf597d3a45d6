"""Why a node changes or does not, and why a container stays: by the prices of the program of moves.

A container's price is what the place that it takes is worth to the rest of the cluster; a move's price is
what one move more would gain. A node becomes what is worth most beyond its containers' and moves' prices.
"""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np

from metis.errors import InputError
from metis.operate.rebalance import Rebalancing
from metis.problem.counts import FloatArray, IntArray, describe_colocation

ROUNDING = 1e-9  # share of what a node may be worth


@dataclass(frozen=True)
class _Choices:
    """What a node may end up with, as far as it was looked at; what it holds comes first.

    Attributes:
        rows: co-locations, int [n, apps].
        worth: of each, float64 [n].
        surplus: of each beyond its containers' and moves' prices, float64 [n].
        moved: containers that leave for it, int [n, apps].
        becomes: which of them the plan chose.
    """

    rows: IntArray
    worth: FloatArray
    surplus: FloatArray
    moved: IntArray
    becomes: int


def explain_node(found: Rebalancing, index: int, node: str) -> dict[str, Any]:
    """Why a node becomes what it does, or stays: JSON-able, with `why` in words.

    Raises:
        InputError: no such node; names the nearest.
    """
    if node not in found.nodes:
        near = get_close_matches(node, found.nodes, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {found.nodes[0]} to {found.nodes[-1]}"
        raise InputError(f"why={node}: there is no such node; {hint}")
    n = found.nodes.index(node)
    plan, choices = found.plans[index], _choices(found, index, n)
    becomes = choices.becomes
    others = choices.surplus.copy()
    others[becomes] = -np.inf
    second = int(np.argmax(others))
    price = plan.prices.container[plan.kind_of[n]]
    facts = {
        "node": node,
        "holds": _words(found, choices.rows[0]),
        "becomes": _words(found, choices.rows[becomes]),
        "worth_before": float(choices.worth[0]),
        "worth_after": float(choices.worth[becomes]),
        "moves": int(choices.moved[becomes].sum()),
        "price": plan.prices.move,
        "containers": float((choices.rows[becomes] - choices.rows[0]) @ price),
        "surplus": _difference(choices.surplus[becomes], choices.surplus[0], choices.worth),
        "second": _words(found, choices.rows[second]),
        "second_loses": _difference(choices.surplus[becomes], choices.surplus[second], choices.worth),
    }
    return {**facts, "why": _node_words(facts)}


def explain_container(found: Rebalancing, index: int, container: str) -> dict[str, Any]:
    """Why a container stays where it is, or that it moves: JSON-able, with `why` in words.

    Args:
        found: the plans.
        index: which of them.
        container: such as Redis-12: the twelfth container of Redis, counted node by node.

    Raises:
        InputError: no such application or container; names those there are.
    """
    a, number = _parsed(found, container)
    plan, cluster = found.plans[index], found.cluster
    upto = np.cumsum(cluster.existing[:, a])
    n = int(np.searchsorted(upto, number))
    rank = number - int(upto[n] - cluster.existing[n, a])  # 1 for the first on its node
    leave = max(0, int(cluster.existing[n, a] - plan.placement[n, a]))
    facts: dict[str, Any] = {
        "container": container,
        "node": found.nodes[n],
        "holds": _words(found, cluster.existing[n]),
        "moves": rank <= leave,
        "price": plan.prices.move,
    }
    if rank <= leave:
        why = f"{container} does move off {facts['node']}: of {leave} of its kind there that do, it is one"
        return {**facts, "why": why}
    choices = _choices(found, index, n)
    becomes = choices.becomes
    fewer = choices.rows[:, a] < plan.placement[n, a]
    best = int(np.argmax(np.where(fewer, choices.surplus, -np.inf)))
    if not fewer.any():
        why = (
            f"{container} stays: {cluster.space.apps[a]} may not move, or a rule keeps it on {facts['node']}"
        )
        return {**facts, "without": None, "loses": None, "why": why}
    loses = _difference(choices.surplus[becomes], choices.surplus[best], choices.worth)
    further = int((choices.moved[best] - choices.moved[becomes]).sum())
    without, worth = _words(found, choices.rows[best]), float(choices.worth[best])
    facts |= {"without": without, "worth_without": worth, "loses": loses}
    moves = f"{further} further move{'s' * (further != 1)}" if further > 0 else "no further move"
    result = f"loses {loses:.3g}" if loses and loses > 0 else "is as good, and not needed"
    why = (
        f"{container} stays on {facts['node']}, which ends up with {_words(found, plan.placement[n])}. With "
        f"one less the best it could hold is {facts['without']}: at the prices of the containers and {moves} "
        f"at {plan.prices.move:.3g} each that {result}"
    )
    return {**facts, "why": why}


def _choices(found: Rebalancing, index: int, n: int) -> _Choices:
    plan, held = found.plans[index], found.cluster.existing[n]
    rows, worth = found.choices(n)
    chosen = np.flatnonzero((rows == plan.placement[n]).all(axis=1))
    moved = np.maximum(held - rows, 0)
    each = np.where(np.isposinf(found.cost), 0.0, found.cost) + plan.prices.move
    surplus = worth - rows @ plan.prices.container[plan.kind_of[n]] - moved @ each
    return _Choices(rows, worth, surplus, moved, int(chosen[0]))


def _parsed(found: Rebalancing, container: str) -> tuple[int, int]:
    app, _, number = container.rpartition("-")
    apps = found.cluster.space.apps
    if app not in apps or not number.isdecimal():
        raise InputError(
            f"why_not={container}: give APPLICATION-NUMBER, such as {apps[0]}-1, of {list(apps)}"
        )
    a = apps.index(app)
    running = int(found.cluster.existing[:, a].sum())
    if not 1 <= int(number) <= running:
        raise InputError(
            f"why_not={container}: {running} containers of {app} run, counted from 1 node by node"
        )
    return a, int(number)


def _node_words(facts: dict[str, Any]) -> str:
    node = facts["node"]
    loses = facts["second_loses"]
    rest = f"; the second best, {facts['second']}, " + (
        f"would lose {loses:.3g}" if loses and loses > 0 else "would be as good"
    )
    if facts["holds"] == facts["becomes"]:
        return f"{node} keeps {facts['holds']}: no change is worth its moves{rest}"
    change = facts["worth_after"] - facts["worth_before"]
    takes = "takes from" if facts["containers"] >= 0 else "leaves to"
    return (
        f"{node} goes from {facts['holds']} to {facts['becomes']}: its worth changes by {change:+.3g}, by "
        f"its containers' prices it {takes} the others {abs(facts['containers']):.3g}, and its "
        f"{_moves(facts['moves'])} {facts['price']:.3g}{' each' * (facts['moves'] > 1)}: "
        f"{facts['surplus']:+.3g} against staying" + rest
    )


def _moves(count: int) -> str:
    return "one move costs" if count == 1 else f"{count} moves cost"


def _words(found: Rebalancing, counts: IntArray) -> str:
    return describe_colocation(counts, found.cluster.space.apps)


def _difference(more: float, less: float, worth: FloatArray) -> float | None:
    """How much more; 0 where that is but rounding of what nodes are worth."""
    difference = float(more - less)
    if not np.isfinite(difference):
        return None
    return difference if abs(difference) > ROUNDING * float(np.abs(worth).max(initial=0.0)) else 0.0
