"""Policies over a tree, in TensorFlow: the rollout and the REINFORCE update, both pure functions.

One policy per level: one hidden layer of tanh units and a softmax over the children (paper, section
IV). Shapes are written with E episodes, T containers, L levels, K children, A applications, H hidden
units, P inner positions and N leaves.
"""

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.learn.paper.tree import TreeShape
from metis.problem.counts import IntArray

Tensor = Any
Weights = tuple[Tensor, ...]

FORBIDDEN = -1e9
# Adam (Kingma and Ba, 2015) by hand, as four lines of the traced update. With `tf.keras.optimizers.Adam`,
# whose formula is the same, results differ from the first rounding on: placements of divide-and-conquer
# parted after 65 to 71 of 100 updates (3 groups of 70 on 27 nodes, values 0.2 to 1.4 % apart), and an update
# took 1.2 to 1.8 times the CPU time with the optimizer run eagerly; traced, it would be so per learner.
ADAM_MEAN, ADAM_SQUARE, ADAM_FLOOR = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Start:
    """The start of episodes; the leading axis is one row per episode.

    Attributes:
        demand: containers to place, int [E, A].
        counts: containers in place at every leaf, int [E, N, A].
        ids: state of every leaf, a row of `moves`, int [E, N].
        nodes: open nodes at every leaf, int [E, N]; 0 where it is closed.
        moves: state after one more container, int [states, A]; -1 where the leaf does not admit it.
        order: the order in which applications are placed, int [A].
    """

    demand: IntArray
    counts: IntArray
    ids: IntArray
    nodes: IntArray
    moves: IntArray
    order: IntArray


@dataclass(frozen=True)
class Rollout:
    """The course of episodes.

    Attributes:
        leaves: the leaf each container went to, int [T, E]; -1 for none (no leaf admits it, or the
            episode is over).
        loads: containers placed at every leaf, int [E, N, A], without those in place before.
        lost: containers that no leaf admitted, int [E].
        record: tensors the update needs.
    """

    leaves: IntArray
    loads: IntArray
    lost: IntArray
    record: tuple[Tensor, ...]


def initial_weights(shape: TreeShape, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Draw Glorot-uniform weights and zero biases: [L, inputs, H], [L, H], [L, H, K], [L, K]."""

    def glorot(rows: int, columns: int) -> NDArray[np.float32]:
        limit = np.sqrt(6 / (rows + columns))
        return rng.uniform(-limit, limit, (shape.levels, rows, columns)).astype(np.float32)

    return [
        glorot(shape.inputs, shape.hidden),
        np.zeros((shape.levels, shape.hidden), dtype=np.float32),
        glorot(shape.hidden, shape.fan_out),
        np.zeros((shape.levels, shape.fan_out), dtype=np.float32),
    ]


def run_episodes(
    shape: TreeShape,
    weights: Weights,
    start: Start,
    seed: tuple[int, int],
    *,
    forced: IntArray | None = None,
    greedy: bool = False,
) -> Rollout:
    """Place every episode's demand, container by container, all episodes side by side.

    Args:
        shape: the tree.
        weights: as from `initial_weights`.
        start: where the episodes begin.
        seed: of the sampling.
        forced: leaves to follow instead of sampling, int [T, E]; -1 to sample. Any T.
        greedy: take the most probable child, and record nothing.
    """
    import tensorflow as tf

    episodes, longest = len(start.demand), int(start.demand.sum(axis=1).max(initial=1))
    follow = np.full((longest, episodes), -1, dtype=np.int32)
    if forced is not None:
        follow[: len(forced)] = forced[:longest]
    # a column for "no container left" and a row for "closed" keep the loop free of special cases
    moves = np.pad(start.moves, ((0, 1), (0, 1)), constant_values=-1)
    ids = np.where(start.nodes > 0, start.ids, len(moves) - 1)
    leaves, applications, *record = _rollout_function(shape, greedy)(
        list(weights),
        start.demand.astype(np.int32),
        start.counts.astype(np.float32),
        ids.astype(np.int32),
        start.nodes.astype(np.float32),
        moves.astype(np.int32).ravel(),
        start.order.astype(np.int32),
        follow,
        tf.constant(seed, dtype=tf.int32),
    )
    leaves, applications = leaves.numpy().astype(np.int64), applications.numpy()
    cells = np.arange(episodes) * shape.leaves * shape.apps + leaves * shape.apps + applications
    loads = np.bincount(cells[leaves >= 0], minlength=episodes * shape.leaves * shape.apps)
    loads = loads.reshape(episodes, shape.leaves, shape.apps)
    lost = start.demand.sum(axis=1) - loads.sum(axis=(1, 2))
    return Rollout(leaves, loads, lost, tuple(record))


@lru_cache(maxsize=64)
def _rollout_function(shape: TreeShape, greedy: bool) -> Any:
    """Return the traced rollout of a tree; one trace serves any number of episodes and containers."""
    import tensorflow as tf

    fan, levels, apps, leaves, spec = shape.fan_out, shape.levels, shape.apps, shape.leaves, tf.TensorSpec
    signature = [
        [
            spec([levels, shape.inputs, shape.hidden]),
            spec([levels, shape.hidden]),
            spec([levels, shape.hidden, fan]),
            spec([levels, fan]),
        ],
        spec([None, apps], tf.int32),
        spec([None, leaves, apps]),
        spec([None, leaves], tf.int32),
        spec([None, leaves]),
        spec([None], tf.int32),
        spec([apps], tf.int32),
        spec([None, None], tf.int32),
        spec([2], tf.int32),
    ]
    return tf.function(partial(_rollout, shape, greedy), input_signature=signature)


def _rollout(
    shape: TreeShape,
    greedy: bool,
    weights: Weights,
    demand: Tensor,
    counts: Tensor,
    ids: Tensor,
    nodes: Tensor,
    moves: Tensor,
    order: Tensor,
    forced: Tensor,
    seed: Tensor,
) -> tuple[Tensor, ...]:
    """Run the loop over containers; return leaves [T, E], applications [T, E] and the record."""
    import tensorflow as tf

    fan, levels, apps = shape.fan_out, shape.levels, shape.apps
    steps, episodes = tf.shape(forced)[0], tf.shape(demand)[0]
    applications = _application_sequence(demand, order, steps)
    hot = tf.one_hot(applications, apps)
    beside = [hot]
    if shape.sees_remaining:
        remaining = tf.cast(demand, tf.float32) - tf.cumsum(hot, axis=0)
        beside.append(remaining / tf.maximum(tf.reduce_sum(nodes, axis=1), 1.0)[:, None])
    beside = tf.concat(beside, axis=2)
    share = 1.0 / tf.maximum(_by_parent(shape, nodes, tf.reduce_sum), 1.0)
    noise = tf.zeros([steps, 1, levels, 1])
    if not greedy:  # the largest of log probability + Gumbel noise is a sample of the softmax
        uniform = tf.random.stateless_uniform([steps, episodes, levels, fan], seed, minval=1e-9)
        noise = -tf.math.log(-tf.math.log(uniform))

    def array(kind: Any, *tail: int) -> Any:
        return tf.TensorArray(kind, steps, element_shape=[None, *tail])

    kinds = [] if greedy else [(tf.float32, shape.inputs), (tf.float32, fan), (tf.int32,)]
    record = tuple(array(kind, levels, *tail) for kind, *tail in kinds)

    def place_next(t: Tensor, ids: Tensor, counts: Tensor, out: Any, record: Any) -> Any:
        after = tf.gather(moves, ids * (apps + 1) + applications[t][:, None])  # [E, N]
        admits = after >= 0
        shut = (1.0 - tf.cast(_by_parent(shape, admits, tf.reduce_any), tf.float32)) * FORBIDDEN
        seen = (counts, share, shut, hot[t], beside[t])
        leaf, path, decisions = _descend(shape, weights, seen, forced[t], noise[t])
        admitted = tf.reduce_any(admits, axis=1)
        leaf = tf.where(admitted, leaf, -1)
        ids = tf.where(tf.one_hot(leaf, shape.leaves, True, False), after, ids)
        # an episode that is over has no container to count: its application is out of range, its weight 0
        cells = tf.concat([path, tf.tile(tf.minimum(applications[t], apps - 1)[:, None], [levels, 1])], 1)
        added = tf.tile(tf.cast(admitted, tf.float32), [levels])
        counts = tf.tensor_scatter_nd_add(counts, cells, added)
        record = tuple(a.write(t, value) for a, value in zip(record, decisions, strict=False))
        return t + 1, ids, counts, out.write(t, leaf), record

    state = (0, ids, _by_parent(shape, counts, tf.reduce_sum), array(tf.int32), record)
    *_, out, record = tf.while_loop(lambda t, *_: t < steps, place_next, state)
    return (out.stack(), applications, *(a.stack() for a in record))


def _application_sequence(demand: Tensor, order: Tensor, steps: Tensor) -> Tensor:
    """Return the application of each container in placing order, [T, E]; A once all are placed."""
    import tensorflow as tf

    ends = tf.cumsum(tf.gather(demand, order, axis=1), axis=1)
    place = tf.reduce_sum(tf.cast(tf.range(steps)[:, None, None] >= ends, tf.int32), axis=2)
    return tf.gather(tf.concat([order, [order.shape[0]]], 0), place)


def _by_parent(shape: TreeShape, leaf_values: Tensor, combine: Any) -> Tensor:
    """Return values of the children of every inner position, [E, P, K, ...], from leaves [E, N, ...]."""
    import tensorflow as tf

    tail, below = leaf_values.shape[2:], leaf_values
    parts: list[Tensor] = []
    for level in reversed(range(shape.levels)):
        below = tf.reshape(below, [-1, shape.fan_out**level, shape.fan_out, *tail])
        parts.insert(0, below)
        below = combine(below, axis=2)
    return tf.concat(parts, axis=1)


def _descend(
    shape: TreeShape, weights: Weights, seen: tuple[Tensor, ...], forced: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Send one container of every episode from the root to a leaf.

    Args:
        shape: the tree.
        weights: as from `initial_weights`.
        seen: counts [E, P, K, A], 1 / open nodes and mask [E, P, K], the application one-hot [E, A],
            what stands beside the counts in a policy's input [E, inputs - K x A].
        forced: the leaf to go to, or -1, [E].
        noise: added to the scores, [E, L, K].

    Returns:
        The leaf [E]; episode, position and child of every decision, [L x E, 3], level by level; and the
        inputs [E, L, inputs], masks [E, L, K] and choices [E, L].
    """
    import tensorflow as tf

    counts, share, shut, hot, beside = seen
    w1, b1, w2, b2 = weights
    fan, levels = shape.fan_out, shape.levels
    here, first = tf.zeros_like(forced), 0
    inputs, masks, choices, path = [], [], [], []
    for level in range(levels):
        at = first + here
        tentative = (tf.gather(counts, at, batch_dims=1) + hot[:, None, :]) * tf.gather(
            share, at, batch_dims=1
        )[:, :, None]
        x = tf.concat([tf.reshape(tentative, [-1, fan * shape.apps]), beside], axis=1)
        mask = tf.gather(shut, at, batch_dims=1)
        logits = tf.tanh(x @ w1[level] + b1[level]) @ w2[level] + b2[level] + mask
        choice = tf.argmax(logits + noise[:, level], axis=1, output_type=tf.int32)
        choice = tf.where(forced >= 0, forced // fan ** (levels - 1 - level) % fan, choice)
        path.append(tf.stack([tf.range(tf.shape(here)[0]), at, choice], axis=1))
        inputs.append(x)
        masks.append(mask)
        choices.append(choice)
        here, first = here * fan + choice, first + fan**level
    return here, tf.concat(path, 0), (tf.stack(inputs, 1), tf.stack(masks, 1), tf.stack(choices, 1))


def improve(
    shape: TreeShape,
    weights: Weights,
    moments: Weights,
    count: int,
    rollout: Rollout,
    advantage: NDArray[np.float64],
    learning_rate: float,
    entropy_bonus: float,
) -> tuple[Weights, Weights, dict[str, float]]:
    """Make one REINFORCE update by Adam over the decisions of `rollout`.

    The loss is the mean over all decisions of -(advantage x log probability + bonus x entropy).

    Args:
        shape: the tree.
        weights: as from `initial_weights`.
        moments: Adam's two running means per weight, zero at first, all means first.
        count: updates made before.
        rollout: sampled or forced episodes, with their record.
        advantage: per episode, float [E].
        learning_rate: Adam's.
        entropy_bonus: weight of the entropy.

    Returns:
        New weights, new moments, and `loss` and `entropy` (nats per decision).
    """
    import tensorflow as tf

    new, moved, loss, entropy = _update_function(shape)(
        weights,
        moments,
        tf.constant(count + 1, tf.float32),
        *rollout.record,
        (rollout.leaves >= 0).astype(np.float32),
        advantage.astype(np.float32),
        tf.constant(learning_rate, tf.float32),
        tf.constant(entropy_bonus, tf.float32),
    )
    return new, moved, {"loss": float(loss), "entropy": float(entropy)}


@lru_cache(maxsize=64)
def _update_function(shape: TreeShape) -> Any:
    import tensorflow as tf

    def levels_loss(weights: Weights, record: tuple[Tensor, ...], live: Tensor, gain: Tensor) -> Any:
        w1, b1, w2, b2 = weights
        seen, masks, choices = record
        surrogate = entropy = 0.0
        for level in range(shape.levels):
            x = tf.reshape(seen[:, :, level], [-1, shape.inputs])
            mask = tf.reshape(masks[:, :, level], [-1, shape.fan_out])
            choice = tf.reshape(choices[:, :, level], [-1])
            logits = tf.tanh(x @ w1[level] + b1[level]) @ w2[level] + b2[level] + mask
            log_share = tf.nn.log_softmax(logits)
            taken = tf.reduce_sum(log_share * tf.one_hot(choice, shape.fan_out), axis=1)
            surrogate += tf.reduce_sum(live * gain * taken)
            entropy -= tf.reduce_sum(live[:, None] * tf.exp(log_share) * log_share)
        decisions = tf.maximum(tf.reduce_sum(live), 1.0) * shape.levels
        return surrogate / decisions, entropy / decisions

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def update(
        weights: Weights,
        moments: Weights,
        count: Tensor,
        seen: Tensor,
        masks: Tensor,
        choices: Tensor,
        live: Tensor,
        advantage: Tensor,
        learning_rate: Tensor,
        entropy_bonus: Tensor,
    ) -> tuple[Any, ...]:
        gain = tf.reshape(tf.ones_like(live) * advantage, [-1])
        with tf.GradientTape() as tape:
            tape.watch(weights)
            surrogate, entropy = levels_loss(weights, (seen, masks, choices), tf.reshape(live, [-1]), gain)
            loss = -(surrogate + entropy_bonus * entropy)
        gradients = tape.gradient(loss, weights)
        half = len(weights)
        means = [ADAM_MEAN * m + (1 - ADAM_MEAN) * g for m, g in zip(moments[:half], gradients, strict=True)]
        squares = [
            ADAM_SQUARE * v + (1 - ADAM_SQUARE) * g * g
            for v, g in zip(moments[half:], gradients, strict=True)
        ]
        rate = learning_rate * tf.sqrt(1 - ADAM_SQUARE**count) / (1 - ADAM_MEAN**count)
        new = tuple(
            w - rate * m / (tf.sqrt(v) + ADAM_FLOOR) for w, m, v in zip(weights, means, squares, strict=True)
        )
        return new, (*means, *squares), loss, entropy

    return update
