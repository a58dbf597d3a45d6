"""Trained weights of learned prices, with the fingerprint of what they were trained for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.learn.paper.weights import load_weights, save_weights
from metis.learn.prices.features import Features, features_of
from metis.learn.prices.network import Weights, forward
from metis.problem.counts import FloatArray
from metis.problem.kinds import Problem


@dataclass(frozen=True)
class PriceWeights:
    """A network that predicts prices; it serves applications and sizes that it was not trained on.

    Attributes:
        layers: its weights.
        objective: name of the objective whose worth it learned.
    """

    layers: Weights
    objective: str

    def prices(self, problem: Problem) -> FloatArray:
        """Return the predicted price of a container, float64 [apps]; 0 of what has nothing to place."""
        seen = features_of(problem)
        found = np.zeros(len(problem.demand))
        found[seen.apps] = predicted(self.layers, seen) * seen.unit
        return found

    def save(self, path: Path) -> None:
        """Write an `.npz`, whole or not at all."""
        arrays = {f"layer{i}": layer for i, layer in enumerate(self.layers)}
        save_weights(path, arrays, fingerprint(self.objective))

    @classmethod
    def load(cls, path: Path, objective: str) -> "PriceWeights":
        """Read what `save` wrote, for this objective (its name).

        Raises:
            InputError: not such a file, or trained for another objective; names the file and what differs.
        """
        arrays = load_weights(path, fingerprint(objective))
        layers = [arrays[name] for name in (f"layer{i}" for i in range(len(arrays))) if name in arrays]
        if not layers:
            raise InputError(f"{path}: not a file of weights that predict prices")
        return cls(layers, objective)


def fingerprint(objective: str) -> dict[str, str]:
    """Describe what weights must agree with to be used at all."""
    return {"learner": "prices", "objective": objective}


def predicted(layers: Weights, seen: Features) -> FloatArray:
    """Return the prices that the network predicts, in stand-alone containers, float64 [n]."""
    batch = (seen.node[None], seen.edge[None], seen.share[None], seen.partners)
    return np.asarray(forward(np, layers, *batch)[0], dtype=np.float64)
