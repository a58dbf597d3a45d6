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
from metis.wording import amount

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
    app = cluster.space.apps[a]
    if rank <= leave:
        held = int(cluster.existing[n, a])
        which = f"the only {app}" if held == 1 else f"{leave} of the {held} {app}, which are alike,"
        return {**facts, "why": f"{container} moves: the plan takes {which} off {facts['node']}"}
    choices = _choices(found, index, n)
    becomes = choices.becomes
    fewer = choices.rows[:, a] < plan.placement[n, a]
    best = int(np.argmax(np.where(fewer, choices.surplus, -np.inf)))
    if not fewer.any():
        reason = f"a rule keeps it there, or no way to do without it was found at {facts['node']}"
        if np.isposinf(found.cost[a]):
            reason = f"rebalance.stay lets no container of {app} move"
        why = f"{container} stays on {facts['node']}: {reason}"
        return {**facts, "without": None, "loses": None, "why": why}
    facts |= {
        "without": _words(found, choices.rows[best]),
        "worth_without": float(choices.worth[best]),
        "loses": _difference(choices.surplus[becomes], choices.surplus[best], choices.worth),
    }
    further = int((choices.moved[best] - choices.moved[becomes]).sum())
    return {**facts, "why": _stays_words(facts, _words(found, plan.placement[n]), further)}


def _stays_words(facts: dict[str, Any], becomes: str, further: int) -> str:
    """Say what the best would be without a container, and what that would cost the plan."""
    counted = "what its containers would be worth on other nodes"
    if further:
        more = "more" if further > 0 else "fewer"
        counted += f" and {amount(abs(further), f'{more} move')} at {facts['price']:.3g} each"
    loses = facts["loses"]
    result = f"lower by {loses:.3g}" if loses and loses > 0 else "the same, so that nothing is gained by it"
    return (
        f"{facts['container']} stays on {facts['node']}, which ends up with {becomes}. Without it, "
        f"{facts['node']} would best hold {facts['without']}: counting {counted}, the value of the plan "
        f"would be {result}"
    )


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
            f"why_not={container}: give APPLICATION-NUMBER, such as {apps[0]}-1, of {', '.join(apps)}"
        )
    a = apps.index(app)
    running = int(found.cluster.existing[:, a].sum())
    if not 1 <= int(number) <= running:
        those = f"give {app}-1 to {app}-{running}, counted node by node" if running > 1 else f"give {app}-1"
        right = those if running else f"give one of an application that runs, such as {_first(found)}"
        raise InputError(
            f"why_not={container}: {amount(running, 'container')} of {app} run{'s' * (running == 1)}; {right}"
        )
    return a, int(number)


def _first(found: Rebalancing) -> str:
    """Return the name of a container that runs."""
    running = found.cluster.existing.sum(axis=0)
    return f"{found.cluster.space.apps[int(running.argmax())]}-1"


def _node_words(facts: dict[str, Any]) -> str:
    node = facts["node"]
    loses = facts["second_loses"]
    rest = f"; the second best, {facts['second']}, would " + (
        f"lower the value of the plan by {loses:.3g}" if loses and loses > 0 else "be as good"
    )
    if facts["holds"] == facts["becomes"]:
        return f"{node} keeps {facts['holds']}: no change is worth its moves{rest}"
    change = facts["worth_after"] - facts["worth_before"]
    what = "what it receives" if facts["containers"] >= 0 else "what leaves it"
    return (
        f"{node} goes from {facts['holds']} to {facts['becomes']}: its own worth changes by {change:+.3g}; "
        f"{what} would be worth {abs(facts['containers']):.3g} on other nodes; {_moves(facts)}. In all, "
        f"{facts['surplus']:+.3g} against staying as it is{rest}"
    )


def _moves(facts: dict[str, Any]) -> str:
    if not facts["moves"]:
        return "no container of its own has to move"
    if facts["moves"] == 1:
        return f"one move costs {facts['price']:.3g}"
    return f"{facts['moves']} moves cost {facts['price']:.3g} each"


def _words(found: Rebalancing, counts: IntArray) -> str:
    return describe_colocation(counts, found.cluster.space.apps)


def _difference(more: float, less: float, worth: FloatArray) -> float | None:
    """How much more; 0 where that is but rounding of what nodes are worth."""
    difference = float(more - less)
    if not np.isfinite(difference):
        return None
    return difference if abs(difference) > ROUNDING * float(np.abs(worth).max(initial=0.0)) else 0.0
