"""Trained weights with the fingerprint of what they were trained for."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metis.errors import InputError
from metis.files import load_arrays, save_arrays
from metis.learning.value.network import ValueNetwork
from metis.learning.value.task import ValueTask
from metis.space import ColocationSpace


@dataclass(frozen=True)
class ValueWeights:
    """What a trained learner leaves behind: all that placing needs.

    Attributes:
        network: V and prices.
        task: the space, objective and worth table it was trained for.
        sub_nodes: nodes of the largest sub-cluster it was trained on.
        policy: the high level's layers, weights and biases by turns; empty when none was trained.
    """

    network: ValueNetwork
    task: ValueTask
    sub_nodes: int
    policy: tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...] = ()

    def save(self, path: Path) -> None:
        """Write an `.npz`, whole or not at all."""
        task = self.task
        layers = {f"weights{i}": w for i, w in enumerate(self.network.weights)}
        layers |= {f"biases{i}": b for i, b in enumerate(self.network.biases)}
        layers |= {f"policy{i}": p for i, p in enumerate(self.policy)}
        save_arrays(
            path,
            layers
            | {
                "apps": np.array(task.space.apps),
                "slots": np.array(task.space.slots),
                "objective": np.array(task.objective),
                "table": task.table,
                "vacancy": np.array(task.vacancy),
                "sub_nodes": np.array(self.sub_nodes),
                "digest": np.array(task.digest),
            },
        )

    @classmethod
    def load(cls, path: Path) -> "ValueWeights":
        """Read what `save` wrote.

        Raises:
            InputError: not such a file, or its parts do not belong together; names the file.
        """
        arrays = load_arrays(path)
        try:
            space = ColocationSpace(tuple(map(str, arrays["apps"])), int(arrays["slots"]))
            task = ValueTask(space, str(arrays["objective"]), arrays["table"], float(arrays["vacancy"]))
            network = ValueNetwork(_numbered(arrays, "weights"), _numbered(arrays, "biases"), space.slots)
            sub_nodes, digest = int(arrays["sub_nodes"]), str(arrays["digest"])
        except KeyError as error:
            raise InputError(f"{path}: no value weights in it, {error} is missing") from None
        outputs = network.biases[-1].shape if network.biases else ()
        if task.table.shape != (space.size,) or outputs != (len(space.apps) + 1,) or digest != task.digest:
            raise InputError(f"{path}: the weights and the worth table in it do not belong together")
        return cls(network, task, sub_nodes, _numbered(arrays, "policy"))

    def check(self, space: ColocationSpace, objective: str | None = None) -> None:
        """Refuse to serve another space or objective.

        Raises:
            InputError: names what differs.
        """
        mine = self.task.space
        if mine.slots != space.slots:
            raise InputError(f"these weights know nodes of {mine.slots} slots, the cluster has {space.slots}")
        if mine.apps != space.apps:
            raise InputError(f"these weights know {list(mine.apps)}, the cluster has {list(space.apps)}")
        if objective is not None and objective != self.task.objective:
            raise InputError(
                f"these weights were trained for objective {self.task.objective}, not {objective}: train on it"
            )


def _numbered(
    arrays: dict[str, np.ndarray], name: str
) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float32]], ...]:
    count = sum(key.startswith(name) for key in arrays)
    return tuple(arrays[f"{name}{i}"].astype(np.float32) for i in range(count))
