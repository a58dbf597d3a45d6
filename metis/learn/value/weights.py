"""Trained weights with the fingerprint of what they were trained for."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metis.errors import InputError
from metis.learn.paper.weights import load_weights, save_weights
from metis.learn.value.dealing import Dealer
from metis.learn.value.network import Float32Array, ValueNetwork
from metis.learn.value.problem import ValueProblem
from metis.problem.space import ColocationSpace


@dataclass(frozen=True)
class ValueWeights:
    """Trained weights of the value learner: all that placing needs.

    Attributes:
        network: V and prices.
        problem: the space, objective and worth table it was trained for.
        sub_nodes: nodes of the largest sub-cluster it was trained on.
        dealer: the learned high level; None when none was trained.
    """

    network: ValueNetwork
    problem: ValueProblem
    sub_nodes: int
    dealer: Dealer | None = None

    def save(self, path: Path) -> None:
        """Write an `.npz`, whole or not at all."""
        problem = self.problem
        arrays: dict[str, Any] = {f"weights{i}": w for i, w in enumerate(self.network.weights)}
        arrays |= {f"biases{i}": b for i, b in enumerate(self.network.biases)}
        arrays |= {f"dealer{i}": p for i, p in enumerate(self.dealer.layers if self.dealer else ())}
        arrays |= {"apps": np.array(problem.space.apps), "slots": np.array(problem.space.slots)}
        arrays |= {
            "table": problem.table,
            "vacancy": np.array(problem.vacancy),
            "sub_nodes": np.array(self.sub_nodes),
        }
        save_weights(path, arrays, fingerprint(problem.space, problem.objective) | {"worth": problem.digest})

    @classmethod
    def load(cls, path: Path, space: ColocationSpace, objective: str) -> "ValueWeights":
        """Read what `save` wrote, for this space and objective (its name).

        Raises:
            InputError: not such a file, or trained for another space, slot count or objective; names the
                file and what differs.
        """
        arrays = load_weights(path, fingerprint(space, objective))
        try:
            problem = ValueProblem(space, objective, arrays["table"], float(arrays["vacancy"]))
            network = ValueNetwork(_numbered(arrays, "weights"), _numbered(arrays, "biases"), space.slots)
            sub_nodes = int(arrays["sub_nodes"])
        except KeyError as error:
            raise InputError(f"{path}: not a file of value weights, {error} is missing") from None
        load_weights(path, {"worth": problem.digest})
        dealer = _numbered(arrays, "dealer")
        return cls(network, problem, sub_nodes, Dealer(dealer) if dealer else None)

    def check(self, space: ColocationSpace) -> None:
        """Refuse another space.

        Raises:
            InputError: names what differs.
        """
        mine = self.problem.space
        if mine.slots != space.slots:
            raise InputError(
                f"these weights are for nodes of {mine.slots} slots, the cluster has {space.slots}"
            )
        if mine.apps != space.apps:
            raise InputError(
                f"these weights are for {', '.join(mine.apps)}, the cluster has {', '.join(space.apps)}"
            )


def fingerprint(space: ColocationSpace, objective: str) -> dict[str, str]:
    """Describe what weights must agree with to be used at all."""
    return {
        "learner": "value",
        "applications": ", ".join(space.apps),
        "slots": str(space.slots),
        "objective": objective,
    }


def _numbered(arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[Float32Array, ...]:
    count = sum(key.startswith(name) for key in arrays)
    return tuple(arrays[f"{name}{i}"].astype(np.float32) for i in range(count))
