"""The high level: deal a group's containers to sub-clusters, evenly or by a learned 3-way policy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metis.learn.value.fitting import Layers, forward
from metis.learn.value.network import Float32Array
from metis.problem.counts import IntArray

FANOUT = 3
EVEN = np.float32(8.0)


def deal(group: IntArray, free: IntArray) -> IntArray:
    """Deal `group` [apps] in proportion to the free slots `free` [parts]; int [parts, apps].

    Container by container, application by application, to the parts in a fixed even rotation, so that a
    part's share of every application, and of all, is its quota up to one or two.
    """
    turn = [(np.arange(slots) + 0.5) / slots for slots in free]
    order = np.argsort(np.concatenate(turn), kind="stable")
    part = np.repeat(np.arange(len(free)), free)[order][: int(group.sum())]
    shares = np.zeros((len(free), len(group)), dtype=np.int64)
    np.add.at(shares, (part, np.repeat(np.arange(len(group)), group)), 1)
    return shares


@dataclass(frozen=True)
class Dealer:
    """A policy that deals one container after another to one of three children.

    It sees, per child, by how many containers of each application the child is ahead of its quota, and
    which application is to be dealt; one hidden layer of tanh units scores the child (Metis, SC 2020).
    The score adds to one that deals even_score, so that training begins there.

    Attributes:
        layers: weights and biases by turns.
    """

    layers: tuple[Float32Array, ...]

    def deal(self, group: IntArray, free: IntArray) -> IntArray:
        """Return shares of `group` [apps] for parts with `free` slots [parts], along a tree of fan-out 3."""
        level = [(group, np.arange(len(free)))]
        done: list[tuple[IntArray, IntArray]] = []
        while level:
            split = [np.array_split(parts, min(FANOUT, len(parts))) for _, parts in level]
            room = np.zeros((len(level), FANOUT), dtype=np.int64)
            for i, children in enumerate(split):
                room[i, : len(children)] = [free[child].sum() for child in children]
            counts, _, _ = play_deals(list(self.layers), np.stack([g for g, _ in level]), room, None)
            onward = [
                (counts[i, c], child) for i, children in enumerate(split) for c, child in enumerate(children)
            ]
            done += [(share, parts) for share, parts in onward if len(parts) == 1]
            level = [(share, parts) for share, parts in onward if len(parts) > 1]
        shares = np.zeros((len(free), len(group)), dtype=np.int64)
        for share, parts in done:
            shares[parts[0]] = share
        return shares


def play_deals(
    layers: Layers, groups: IntArray, free: IntArray, rng: np.random.Generator | None
) -> tuple[IntArray, Float32Array, NDArray[np.int64]]:
    """Deal every group to its three children, side by side.

    State: containers each child has, and the application dealt next. Action: the child, of those with a
    free slot. End: all are dealt.

    Args:
        layers: of the policy.
        groups: [n, apps].
        free: slots of each child, 0 for none, [n, 3].
        rng: draws the actions; None for the most probable.

    Returns:
        Counts of each child, [n, 3, apps]; what the policy saw, [steps, n, 3, features]; the children
        chosen, [steps, n], -1 once a group was all dealt.
    """
    n, apps = groups.shape
    ends = np.cumsum(groups, axis=1)
    steps = int(ends[:, -1].max())
    quota = (free / np.maximum(free.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    counts = np.zeros((n, FANOUT, apps), dtype=np.float32)
    filled = np.zeros((n, FANOUT), dtype=np.int64)
    given = np.zeros((n, apps), dtype=np.float32)
    row = np.arange(n)
    remember = rng is not None
    seen = np.zeros((steps if remember else 0, n, FANOUT, 2 * apps + 2), dtype=np.float32)
    chosen = np.full((steps if remember else 0, n), -1, dtype=np.int64)
    for step in range(steps):
        active = step < ends[:, -1]
        app = np.minimum((ends <= step).sum(axis=1), apps - 1)
        inputs = observe(counts, given, quota, app)
        logits = forward(layers, inputs.reshape(n * FANOUT, -1))[-1].reshape(n, FANOUT) + even_score(inputs)
        logits[filled >= free] = -np.inf
        if rng is not None:
            logits += rng.gumbel(size=logits.shape).astype(np.float32)
        child = logits.argmax(axis=1)
        one = active.astype(np.float32)
        counts[row, child, app] += one
        given[row, app] += one
        filled[row, child] += active
        if remember:
            seen[step] = inputs
            chosen[step] = np.where(active, child, -1)
    return counts.astype(np.int64), seen, chosen


def even_score(inputs: Float32Array) -> Float32Array:
    """Return the score before training, [...]: higher for a child that is behind its quota."""
    apps = (inputs.shape[-1] - 2) // 2
    return np.asarray(-EVEN * (2 * inputs[..., apps + 1] + inputs[..., apps]))


def observe(counts: Float32Array, given: Float32Array, quota: Float32Array, app: IntArray) -> Float32Array:
    """Return the policy's input, [n, 3, 2 apps + 2]: a child's lead over its quota, and the application."""
    n, children, apps = counts.shape
    lead = (counts - quota[:, :, None] * given[:, None, :]) / 4
    inputs = np.zeros((n, children, 2 * apps + 2), dtype=np.float32)
    inputs[:, :, :apps] = lead
    inputs[:, :, apps] = lead.sum(axis=2)
    row = np.arange(n)
    inputs[:, :, apps + 1] = lead[row, :, app]
    inputs[row, :, apps + 2 + app] = 1
    return inputs
