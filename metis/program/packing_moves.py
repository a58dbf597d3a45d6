"""Moves of containers between nodes, compiled: thousands of nodes, many dimensions, rules.

Everything here is compiled by numba: a profile of the same search over arrays spends its time between calls.
Compiled code is kept beside this file, or in the user's cache where that cannot be written.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numba
import numpy as np

from metis.problem.counts import FloatArray, IntArray

ROUNDING = 1e-10  # of sums; less than any checker grants
UNLIMITED = 1 << 40

Function = TypeVar("Function", bound=Callable[..., object])


class Given(NamedTuple):
    """What does not change.

    Attributes:
        of: application of each container, int [containers].
        requests: float64 [apps, dimensions]; the dimensions whose load costs come first.
        capacity: float64 [nodes, dimensions].
        times: how many dimensions cost.
        threshold: see `LoadCost`.
        slope: see `LoadCost`.
        first: where the rules of each application begin, int [apps + 1].
        other: the other application of each rule, int [rules].
        most: how many of it may be there, int [rules].
    """

    of: IntArray
    requests: FloatArray
    capacity: FloatArray
    times: int
    threshold: float
    slope: float
    first: IntArray
    other: IntArray
    most: IntArray


class State(NamedTuple):
    """What a move changes, in place.

    Attributes:
        node: of each container, int [containers]; -1 where it is not placed.
        used: float64 [nodes, dimensions].
        cost: of each node, float64 [nodes].
        kinds: how many applications each node holds, int [nodes].
        held: which, int [nodes, most], `kinds` of them.
        counts: how many containers of each, int [nodes, most].
    """

    node: IntArray
    used: FloatArray
    cost: FloatArray
    kinds: IntArray
    held: IntArray
    counts: IntArray


def compiled(function: Function) -> Function:
    """Return a function as compiled code with the same arguments."""
    return cast(Function, numba.njit(cache=True, fastmath={"reassoc", "contract"})(function))


@compiled
def load_cost(given: Given, used: FloatArray, node: int, add: int, remove: int) -> float:
    """Return the cost of a node with one container of `add` more and one of `remove` less; -1 for none."""
    total = 0.0
    for t in range(given.times):
        load = used[t]
        if add >= 0:
            load += given.requests[add, t]
        if remove >= 0:
            load -= given.requests[remove, t]
        x = max(load / given.capacity[node, t] - given.threshold, 0.0)
        # exp(x) - 1 to a millionth for x up to 1; the caller counts the final cost exactly
        total += x * (
            1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7 * (1 + x / 8))))))
        )
    return 1.0 + given.slope * total / given.times


@compiled
def fits(given: Given, used: FloatArray, node: int, add: int, remove: int) -> bool:
    """Whether a node has room for a container of `add` after one of `remove` has left; -1 for none."""
    room = True
    for r in range(used.shape[0]):
        left = given.capacity[node, r] - used[r] - given.requests[add, r]
        if remove >= 0:
            left += given.requests[remove, r]
        room &= left >= -ROUNDING
    return room


@compiled
def most_of(given: Given, app: int, other: int) -> int:
    """Return how many of `other` may be where `app` is."""
    low, high = given.first[app], given.first[app + 1]
    while low < high:
        middle = (low + high) // 2
        if given.other[middle] < other:
            low = middle + 1
        else:
            high = middle
    if low < given.first[app + 1] and given.other[low] == other:
        return int(given.most[low])
    return UNLIMITED


@compiled
def admitted(given: Given, state: State, node: int, add: int, remove: int) -> bool:
    """Whether the rules admit one container of `add` more on a node after one of `remove` has left."""
    have = 0
    for i in range(state.kinds[node]):
        if state.held[node, i] == add:
            have = state.counts[node, i]
    if remove == add:
        have -= 1
    if have + 1 > most_of(given, add, add):
        return False
    for i in range(state.kinds[node]):
        there, count = state.held[node, i], state.counts[node, i]
        if there == remove:
            count -= 1
        if count <= 0 or there == add:
            continue
        if have + 1 > most_of(given, there, add) or (have == 0 and count > most_of(given, add, there)):
            return False
    return True


@compiled
def enter(given: Given, state: State, container: int, node: int) -> None:
    """Put a container on a node."""
    app = given.of[container]
    state.node[container] = node
    for r in range(state.used.shape[1]):
        state.used[node, r] += given.requests[app, r]
    for i in range(state.kinds[node]):
        if state.held[node, i] == app:
            state.counts[node, i] += 1
            return
    last = state.kinds[node]
    state.held[node, last] = app
    state.counts[node, last] = 1
    state.kinds[node] = last + 1


@compiled
def leave(given: Given, state: State, container: int) -> None:
    """Take a container off its node."""
    app, node = given.of[container], state.node[container]
    state.node[container] = -1
    for r in range(state.used.shape[1]):
        state.used[node, r] -= given.requests[app, r]
    for i in range(state.kinds[node]):
        if state.held[node, i] == app:
            state.counts[node, i] -= 1
            if state.counts[node, i] == 0:
                last = state.kinds[node] - 1
                state.held[node, i] = state.held[node, last]
                state.counts[node, i] = state.counts[node, last]
                state.kinds[node] = last
            return


@compiled
def recount(given: Given, state: State, node: int) -> float:
    """Set the cost of a node; return by how much it rose."""
    before = state.cost[node]
    state.cost[node] = load_cost(given, state.used[node], node, -1, -1) if state.kinds[node] else 0.0
    return float(state.cost[node] - before)


@compiled
def deal(
    given: Given,
    state: State,
    order: IntArray,
    nodes: IntArray,
    tries: tuple[int, int],
    rng: np.random.Generator,
) -> int:
    """Place containers in order, each on the cheapest of some nodes tried; return how many fit nowhere.

    Args:
        given: what does not change.
        state: changed in place.
        order: containers, int [some].
        nodes: to use, those wanted most first, int [nodes]; the others are scanned where the tries fail.
        tries: (nodes among the first to try at random, how many are wanted).
        rng: numpy's generator.
    """
    count, wanted = tries
    lost = 0
    for container in order:
        app = given.of[container]
        best, least = -1, np.inf
        for _ in range(count):
            node = nodes[rng.integers(0, wanted)]
            if not fits(given, state.used[node], node, app, -1):
                continue
            rise = load_cost(given, state.used[node], node, app, -1) - max(state.cost[node], 1.0)
            if rise < least and admitted(given, state, node, app, -1):
                best, least = node, rise
        if best < 0:
            for node in nodes:
                if fits(given, state.used[node], node, app, -1) and admitted(given, state, node, app, -1):
                    best = node
                    break
        if best < 0:
            lost += 1
            continue
        enter(given, state, container, best)
        recount(given, state, best)
    return lost


@compiled
def anneal(
    given: Given,
    state: State,
    movable: IntArray,
    steps: int,
    heat: tuple[float, float],
    swaps: float,
    rng: np.random.Generator,
) -> float:
    """Try moves and swaps of containers; take those that cost less, and dearer ones by chance.

    Args:
        given: what does not change.
        state: changed in place.
        movable: containers that may move, int [some].
        steps: moves to try.
        heat: temperature of the first and of the last step.
        swaps: share of the tries that swap two containers.
        rng: numpy's generator.

    Returns:
        By how much the cost rose.
    """
    risen = 0.0
    cooling = (heat[1] / heat[0]) ** (1.0 / steps)
    temperature = heat[0]
    for _ in range(steps):
        temperature *= cooling
        one = movable[rng.integers(0, len(movable))]
        other = movable[rng.integers(0, len(movable))]
        app, here, there = given.of[one], state.node[one], state.node[other]
        if here == there or here < 0 or there < 0:
            continue
        back = given.of[other] if rng.random() < swaps else -1
        if back == app or not fits(given, state.used[there], there, app, back):
            continue
        if back >= 0 and not fits(given, state.used[here], here, back, app):
            continue
        alone = back < 0 and state.kinds[here] == 1 and state.counts[here, 0] == 1
        left = 0.0 if alone else load_cost(given, state.used[here], here, back, app)
        reached = load_cost(given, state.used[there], there, app, back)
        rise = left + reached - state.cost[here] - state.cost[there]
        if rise > 0 and rng.random() >= np.exp(-rise / temperature):
            continue
        if not admitted(given, state, there, app, back):
            continue
        if back >= 0 and not admitted(given, state, here, back, app):
            continue
        leave(given, state, one)
        if back >= 0:
            leave(given, state, other)
            enter(given, state, other, here)
        enter(given, state, one, there)
        state.cost[here], state.cost[there] = left, reached
        risen += rise
    return risen
