"""Fitting the network: loss, its gradient and Adam, as pure functions of arrays.

The gradient and Adam are written by hand because TensorFlow costs too much here: its import takes 5 s, and
one update of this network (a few thousand weights, minibatches of some hundred states) took 15 ms, where a
whole step of 24 updates and their episodes takes 0.2 CPU-seconds in numpy. So `metis place` needs no
TensorFlow, and a training that was interrupted goes on to the same bits.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.learn.value.network import Float32Array

Layers = list[Float32Array]  # weights and biases by turns


@dataclass(frozen=True)
class Minibatch:
    """The minibatch of one update: `seen` states with their returns, then `priced` ones with a best choice.

    Attributes:
        inputs: features of the seen and then of the priced states, [seen + priced, features].
        share: containers to place per node left, in the same order, [seen + priced, apps].
        returns: worth per node that followed the seen states, [seen].
        weight: of each seen state in the loss, [seen].
        best: co-location of highest worth less price, [priced, apps].
        worth: its worth, [priced].
        wide: 1 where V shall follow the bound, since no episode is that large, [priced].
    """

    inputs: Float32Array
    share: Float32Array
    returns: Float32Array
    weight: Float32Array
    best: Float32Array
    worth: Float32Array
    wide: Float32Array


def losses(outputs: Float32Array, batch: Minibatch, strength: float) -> tuple[float, float, Float32Array]:
    """Return value loss, mean bound, and the gradient of strength x value loss + bound by `outputs`.

    The bound per node is prices . share + (worth - prices . best): of any prices it is at least the
    worth of the linear relaxation, and its gradient by the prices is share - best.
    """
    seen = len(batch.returns)
    priced = len(batch.worth)
    value = np.einsum("na,na->n", outputs[:, :-1], batch.share) + outputs[:, -1]
    excess = batch.share[seen:] - batch.best
    bound = np.einsum("na,na->n", outputs[seen:, :-1], excess) + batch.worth
    error = np.concatenate([value[:seen] - batch.returns, (value[seen:] - bound)])
    weight = np.concatenate([batch.weight / seen, batch.wide / priced])
    slope = (2 * strength * weight * error)[:, None]
    gradient = np.concatenate([slope * batch.share, slope], axis=1)
    gradient[seen:, :-1] += excess / priced
    return float((weight * error * error).sum()), float(bound.mean()), gradient.astype(np.float32)


def forward(layers: Layers, inputs: Float32Array) -> list[Float32Array]:
    """Return inputs, every hidden layer's activations, and the outputs."""
    activations = [inputs]
    for i in range(0, len(layers), 2):
        raw = activations[-1] @ layers[i] + layers[i + 1]
        activations.append(np.tanh(raw) if i + 2 < len(layers) else raw)
    return activations


def backward(layers: Layers, activations: list[Float32Array], gradient: Float32Array) -> Layers:
    """Return the gradient by every weight and bias, given the one by the outputs."""
    gradients: Layers = []
    for i in range(len(layers) - 2, -1, -2):
        below = activations[i // 2]
        gradients = [below.T @ gradient, gradient.sum(axis=0), *gradients]
        if i:
            gradient = (gradient @ layers[i].T) * (1 - below * below)
    return gradients


@dataclass(frozen=True)
class Adam:
    """Adam's moments after `count` updates (Kingma and Ba, 2015).

    By hand, in numpy: TensorFlow's takes 5 s to import (see the module's text). The second moment decays by
    0.99 instead of the usual 0.999.
    """

    first: Layers
    second: Layers
    count: int = 0

    @classmethod
    def start(cls, layers: Layers) -> "Adam":
        """Return the moments before any update."""
        return cls([np.zeros_like(p) for p in layers], [np.zeros_like(p) for p in layers])

    def update(self, layers: Layers, gradients: Layers, rate: float) -> tuple[Layers, "Adam"]:
        """Return the layers after one more update, and the moments after it."""
        count = self.count + 1
        first = [
            np.float32(0.9) * m + np.float32(0.1) * g for m, g in zip(self.first, gradients, strict=True)
        ]
        second = [
            np.float32(0.99) * v + np.float32(0.01) * g * g
            for v, g in zip(self.second, gradients, strict=True)
        ]
        scale = np.float32(rate * np.sqrt(1 - 0.99**count) / (1 - 0.9**count))
        new = [
            (p - scale * m / (np.sqrt(v) + np.float32(1e-7))).astype(np.float32)
            for p, m, v in zip(layers, first, second, strict=True)
        ]
        return new, Adam(first, second, count)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return plain arrays to save."""
        arrays = {f"first{i}": m for i, m in enumerate(self.first)}
        arrays |= {f"second{i}": v for i, v in enumerate(self.second)}
        return arrays | {"count": np.array(self.count)}

    def restored(self, state: Mapping[str, NDArray[Any]]) -> "Adam":
        """Return the moments that `state` held."""
        each = range(len(self.first))
        return Adam(
            [np.asarray(state[f"first{i}"]) for i in each],
            [np.asarray(state[f"second{i}"]) for i in each],
            int(state["count"]),
        )
