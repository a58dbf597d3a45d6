"""The network: applications as a set that exchange messages; reordered, they have the same prices, reordered.

One function of arrays, so that TensorFlow differentiates it and numpy predicts by it: placing needs no
TensorFlow, whose import takes 5 s.
"""

from typing import Any

import numpy as np

from metis.learn.prices.features import EDGE, NODE, OF_TYPES, TYPICAL, Float32Array

Weights = list[Float32Array]
PER_LAYER = 9  # weights of a round of messages
ABSENT = 1e4  # taken from what padding would say


def drawn_weights(hidden: int, layers: int, rng: np.random.Generator) -> Weights:
    """Return weights to begin with, by which a price is the mean gain in company."""

    def matrix(rows: int, scale: float = 1.0) -> Float32Array:
        drawn: Float32Array = (rng.standard_normal((rows, hidden)) * scale / np.sqrt(rows)).astype(np.float32)
        return drawn

    nothing = np.zeros(hidden, dtype=np.float32)
    of_types = np.zeros((OF_TYPES, hidden), dtype=np.float32)
    weights = [np.concatenate([matrix(NODE - OF_TYPES), of_types]), nothing.copy()]
    for _ in range(layers):
        weights += [matrix(hidden), matrix(hidden), matrix(EDGE), nothing.copy()]
        weights += [matrix(hidden, 0.5) for _ in range(4)] + [nothing.copy()]
    last = (rng.standard_normal((hidden, 1)) * 0.01).astype(np.float32)
    return [*weights, last, np.zeros(1, dtype=np.float32)]


def forward(xp: Any, weights: Any, node: Any, edge: Any, share: Any, partners: Any) -> Any:
    """Return the price of each application in stand-alone containers, [problems, n].

    Args:
        xp: `numpy`, or `tensorflow.experimental.numpy`.
        weights: as `drawn_weights` returns them.
        node: features of the applications, [problems, n, NODE].
        edge: features of pairs, [problems, n, partners, EDGE].
        share: of the containers, 0 for padding, [problems, n].
        partners: positions of the partners among the applications, int [partners].
    """
    first, bias, *rest = weights
    known = xp.tanh(xp.matmul(node, first) + bias)
    beside = xp.take(share, partners, axis=1)[:, None, :, None]
    absent = xp.where(beside > 0, np.float32(0), np.float32(-ABSENT))
    for start in range(0, len(rest) - 2, PER_LAYER):
        to, frm, pair, shift, own, mean, most, every, after = rest[start : start + PER_LAYER]
        spoken = xp.take(xp.matmul(known, frm), partners, axis=1)[:, None]
        message = xp.tanh(xp.matmul(known, to)[:, :, None] + spoken + xp.matmul(edge, pair) + shift)
        heard = xp.matmul(xp.sum(message * beside, axis=2), mean)
        heard = heard + xp.matmul(xp.amax(message + absent, axis=2), most)
        together = xp.sum(known * share[:, :, None], axis=1)[:, None]
        known = known + xp.tanh(xp.matmul(known, own) + heard + xp.matmul(together, every) + after)
    return node[:, :, TYPICAL] + (xp.matmul(known, rest[-2]) + rest[-1])[:, :, 0]
