"""The value network: prices of the containers still to come and the rent of a node.

V(r, m), the worth of the best placement of counts r on m nodes, is m times a function of r / m when m
is large. The network therefore sees a node's share of what remains, and its outputs are per node:
V(r, m) = prices . r + rent m. The prices are what one container more is worth, which is what a choice of
co-location needs; one forward pass gives both.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metis.problem.counts import IntArray

Float32Array = NDArray[np.float32]


@dataclass(frozen=True)
class ValueNetwork:
    """A multilayer perceptron in numpy: it runs without TensorFlow.

    Attributes:
        weights: of each layer, float32 [inputs, outputs]; tanh between layers, the last linear.
        biases: of each layer, float32 [outputs].
        slots: of a node.
    """

    weights: tuple[Float32Array, ...]
    biases: tuple[Float32Array, ...]
    slots: int

    def prices(self, rest: IntArray, nodes: IntArray, vacancy: Float32Array) -> Float32Array:
        """Return the price per application, and the rent of a node in the last column, float32 [n, apps + 1].

        Args:
            rest: containers still to place, and those in place on the nodes still to fill, [n, apps].
            nodes: nodes still to fill, at least 1, [n].
            vacancy: worth of a node left empty, [n].
        """
        hidden = features(rest, nodes, vacancy, self.slots)
        for weights, biases in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = hidden @ weights
            hidden += biases
            np.tanh(hidden, out=hidden)
        return np.asarray(hidden @ self.weights[-1] + self.biases[-1])

    def value(self, rest: IntArray, nodes: IntArray, vacancy: Float32Array) -> Float32Array:
        """Return V(rest, nodes), float32 [n]; 0 where no node is left. Arguments as for `prices`."""
        outputs = self.prices(rest, np.maximum(nodes, 1), vacancy)
        worth = np.einsum("na,na->n", outputs[:, :-1], rest.astype(np.float32)) + outputs[:, -1] * nodes
        return np.asarray(np.where(nodes > 0, worth, 0.0), dtype=np.float32)


def features(rest: IntArray, nodes: IntArray, vacancy: Float32Array, slots: int) -> Float32Array:
    """Return the features that the network sees, float32 [n, 3 apps + 4].

    A node's share of every application and its logarithm show the mix at any scale; exp(-rest) separates
    the last few containers from many; then load, 1 / nodes, the vacancy's worth and its square root.
    """
    counts = rest.astype(np.float32)
    one = (1.0 / nodes.astype(np.float32))[:, None]
    share = counts * one
    bonus = vacancy.astype(np.float32)[:, None]
    columns = [
        share * np.float32(8.0 / slots),
        np.log(share + np.float32(0.02)),
        np.exp(-counts),
        share.sum(axis=1, keepdims=True) * np.float32(1.0 / slots),
        one,
        bonus / (1 + np.abs(bonus)),
        np.log1p(np.maximum(bonus, 0)),
    ]
    return np.concatenate(columns, axis=1)


def width(apps: int) -> int:
    """Return the number of features for `apps` applications."""
    return 3 * apps + 4


def glorot(sizes: tuple[int, ...], rng: np.random.Generator) -> list[tuple[Float32Array, Float32Array]]:
    """Draw initial weights and biases of layers of these sizes; the last one begins near 0."""
    layers = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        limit = np.sqrt(6.0 / (inputs + outputs)) * (0.1 if i == len(sizes) - 2 else 1.0)
        weights = rng.uniform(-limit, limit, (inputs, outputs)).astype(np.float32)
        layers.append((weights, np.zeros(outputs, dtype=np.float32)))
    return layers
