"""Episodes: many sub-clusters filled side by side, node after node, and the returns of the states met."""

from dataclasses import dataclass

import numpy as np

from metis.learn.value.choices import Choices
from metis.learn.value.network import Float32Array, ValueNetwork
from metis.learn.value.problem import Starts
from metis.problem.counts import FloatArray, IntArray
from metis.problem.space import ColocationSpace


@dataclass(frozen=True)
class States:
    """States met in episodes and their returns.

    Attributes:
        rest: containers still to place, [n, apps].
        nodes: nodes still to fill, [n].
        vacancy: bonus of an empty node, float32 [n].
        returns: worth of the nodes filled from here on, float32 [n].
    """

    rest: IntArray
    nodes: IntArray
    vacancy: Float32Array
    returns: Float32Array


def worth_to_come(
    network: ValueNetwork,
    space: ColocationSpace,
    table: FloatArray,
    rest: IntArray,
    nodes: IntArray,
    vacancy: Float32Array,
) -> FloatArray:
    """Return the worth to come from `rest` [n, apps] on `nodes` [n], [n]: exact on the last node, else V."""
    worth = network.value(rest, nodes, vacancy).astype(np.float64)
    last = np.flatnonzero(nodes == 1)
    if last.size:
        worth[last] = worth_of_last_node(space, table, rest[last], vacancy[last])
    return worth


def worth_of_last_node(
    space: ColocationSpace, table: FloatArray, rest: IntArray, vacancy: Float32Array
) -> FloatArray:
    """Return the worth of one node that takes all of `rest` [n, apps]."""
    return np.asarray(table[space.index(rest)] + np.where(rest.any(axis=1), 0.0, vacancy))


def play(
    network: ValueNetwork,
    choices: Choices,
    space: ColocationSpace,
    table: FloatArray,
    starts: Starts,
    keep: int,
    noise: float,
    rng: np.random.Generator,
) -> States:
    """Fill every sub-cluster of `starts`; return the states on more than one node and their returns.

    State: counts still to place, nodes left. Action: the co-location of the next node, of those that
    leave no more than fits the nodes left. Reward: its worth. End: one node is left, which takes the
    rest, or nothing is left to place. The `keep` choices of best worth less price are rescored by
    worth + V(rest), with Gumbel noise of scale `noise`.
    """
    rest, nodes, vacancy = starts.rest.copy(), starts.nodes.copy(), starts.vacancy
    alive = np.arange(len(rest))
    steps: list[tuple[IntArray, IntArray, IntArray, FloatArray]] = []
    tail = np.zeros(len(rest))
    while alive.size:
        ended = (nodes[alive] == 1) | ~rest[alive].any(axis=1)
        done = alive[ended]
        if done.size:
            empty = np.where(rest[done].any(axis=1), 0, nodes[done] - 1)
            tail[done] = worth_of_last_node(space, table, rest[done], vacancy[done]) + empty * vacancy[done]
            alive = alive[~ended]
            if not alive.size:
                break
        here, left, bonus = rest[alive], nodes[alive], vacancy[alive]
        prices = network.prices(here, left, bonus)[:, :-1]
        picks, valid = choices.best(prices, bonus, (here, here, left, 1), keep)
        row, column = np.nonzero(valid)
        picked = picks[row, column]
        following = here[row] - choices.counts[picked]
        gains = table[choices.ids[picked]] + np.where(choices.ids[picked] == 0, bonus[row], 0)
        to_come = worth_to_come(network, space, table, following, left[row] - 1, bonus[row])
        scores = np.full(picks.shape, -np.inf)
        scores[row, column] = gains + to_come + noise * rng.gumbel(size=len(row))
        flat = np.zeros(picks.shape, dtype=np.int64)
        flat[row, column] = np.arange(len(row))
        best = flat[np.arange(len(alive)), scores.argmax(axis=1)]
        steps.append((alive, here, left, gains[best]))
        rest[alive] = following[best]
        nodes[alive] -= 1
    return _returns(steps, tail, vacancy)


def _returns(
    steps: list[tuple[IntArray, IntArray, IntArray, FloatArray]], tail: FloatArray, vacancy: Float32Array
) -> States:
    returns, to_come = [], tail.copy()
    for alive, _, _, gains in reversed(steps):
        to_come[alive] += gains
        returns.append(to_come[alive].astype(np.float32))
    who = np.concatenate([step[0] for step in steps])
    return States(
        np.concatenate([step[1] for step in steps]),
        np.concatenate([step[2] for step in steps]),
        vacancy[who],
        np.concatenate(returns[::-1]),
    )
