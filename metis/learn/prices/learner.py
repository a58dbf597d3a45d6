"""The learner of prices: the bound that predicted prices give, made as low as it will go.

Of any prices `p`, demand . p + nodes x max over columns s of (worth(s) - p . s) bounds every placement, and
the best prices are those of the lowest bound. So the network learns without a target for each price, of which
there are often many as good: its loss is the bound that its prices give on sub-problems, over the columns
that the column solver found for them, in excess of the relaxation's value.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.learn.paper.device import open_tensorflow
from metis.learn.prices.examples import KINDS, Example, solved_example
from metis.learn.prices.features import EDGE, NODE
from metis.learn.prices.network import drawn_weights, forward
from metis.learn.prices.settings import PricesSettings
from metis.learn.prices.weights import PriceWeights, predicted
from metis.learn.value.fitting import Adam
from metis.problem.objectives import Objective
from metis.problem.oracle import Oracle
from metis.problem.tables import Tables

ALONE = 8  # steps before predicted prices are used to solve sub-problems
FIELDS = ("node", "edge", "share", "added", "worth", "of", "nodes", "demand", "best")
PADDING = -1e6  # worth of a column that is none


class PricesLearner:
    """Solves a sub-problem in every step, then updates the network on those remembered.

    Args:
        known: the simulator, by tables or an oracle.
        objective: what a placement is worth.
        settings: of the training.
    """

    def __init__(self, known: Tables | Oracle, objective: Objective, settings: PricesSettings) -> None:
        self.settings = settings
        self._known, self._objective = known, objective
        self._apps = min(len(known.space.apps), settings.apps)
        self._layers = drawn_weights(settings.hidden, settings.layers, np.random.default_rng(settings.seed))
        self._adam = Adam.start(self._layers)
        self._steps = 0
        self._memory: list[dict[str, NDArray[Any]]] = []

    def step(self) -> dict[str, float]:
        """See `Learner.step`."""
        rng = np.random.default_rng([self.settings.seed, self._steps])
        predict = self.weights().prices if self._steps >= ALONE else None
        example = solved_example(self._known, self._objective, self.settings, rng, predict)
        found = {"excess": example.excess(predicted(self._layers, example.seen))}
        self._memory.append(self._padded(example))
        done = self._steps / self.settings.problems
        rate = self.settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * done)))
        losses = [self._update(rng, rate) for _ in range(self.settings.updates)]
        self._steps += 1
        return {"loss": float(np.mean(losses)), "episodes": 1.0, **found}

    def weights(self) -> PriceWeights:
        """Return what was learned so far."""
        return PriceWeights(self._layers, self._objective.name)

    def state(self) -> dict[str, NDArray[Any]]:
        """See `Learner.state`; randomness follows from the seed and the step."""
        layers = {f"layer{i}": layer for i, layer in enumerate(self._layers)}
        memory = {f"memory_{name}": np.stack([one[name] for one in self._memory]) for name in FIELDS}
        return layers | memory | {"steps": np.array(self._steps)} | self._adam.state()

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """See `Learner.restore`."""
        self._layers = [np.asarray(state[f"layer{i}"]) for i in range(len(self._layers))]
        self._adam = self._adam.restored(state)
        self._steps = int(state["steps"])
        self._memory = [{name: state[f"memory_{name}"][i] for name in FIELDS} for i in range(self._steps)]

    def _padded(self, example: Example) -> dict[str, NDArray[Any]]:
        """Return the arrays of an example, of the same shape for all."""
        n, columns, most = len(example.seen.apps), len(example.worth), self.settings.kept
        apps = self._apps
        seen = example.seen
        edge = np.zeros((apps, apps, EDGE), dtype=np.float32)
        edge[:n, seen.partners] = seen.edge
        return {
            "node": _fill((apps, NODE), seen.node),
            "edge": edge,
            "share": _fill((apps,), seen.share),
            "added": _fill((most, apps), example.added),
            "worth": np.append(example.worth, np.full(most - columns, np.float32(PADDING))),
            "of": _fill((most, KINDS), np.eye(KINDS, dtype=np.int8)[example.kind]),
            "nodes": _fill((KINDS,), example.nodes),
            "demand": _fill((apps,), example.demand),
            "best": np.array(example.best, dtype=np.float32),
        }

    def _update(self, rng: np.random.Generator, rate: float) -> float:
        chosen = rng.integers(len(self._memory), size=self.settings.minibatch)
        batch = [np.stack([self._memory[i][name] for i in chosen]) for name in FIELDS]
        batch[3], batch[5] = batch[3].astype(np.float32), batch[5].astype(np.float32)
        loss, *gradients = _gradients()(self._layers, batch, np.float32(self.settings.smoothing))
        self._layers, self._adam = self._adam.update(self._layers, [g.numpy() for g in gradients], rate)
        return float(loss)


def _fill(shape: tuple[int, ...], values: NDArray[Any]) -> NDArray[Any]:
    filled = np.zeros(shape, dtype=values.dtype)
    filled[tuple(slice(0, size) for size in values.shape)] = values
    return filled


@cache
def _gradients() -> Callable[..., Sequence[Any]]:
    """Return the function that gives loss and gradients, compiled by TensorFlow."""
    open_tensorflow("cpu")
    import tensorflow as tf

    def gradients(layers: Any, batch: Any, smoothing: Any) -> Any:
        node, edge, share, added, worth, of, nodes, demand, best = batch
        with tf.GradientTape() as tape:
            tape.watch(layers)
            every = tf.range(tf.shape(share)[1])
            prices = forward(tf.experimental.numpy, layers, node, edge, share, every)
            reduced = worth - tf.einsum("bca,ba->bc", added, prices)
            of_kind = reduced[:, :, None] + (1 - of) * PADDING  # [problems, columns, kinds]
            highest = smoothing * tf.reduce_logsumexp(of_kind / smoothing, axis=1)
            bound = tf.reduce_sum(prices * demand, axis=1) + tf.reduce_sum(highest * nodes, axis=1)
            loss = tf.reduce_mean(bound / best - 1)
        return [loss, *tape.gradient(loss, layers)]

    compiled: Callable[..., Sequence[Any]] = tf.function(gradients, autograph=False, reduce_retracing=True)
    return compiled
