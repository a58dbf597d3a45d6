"""Training what is missing: the weights of a learner for one simulator, objective and set of rules."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flows.build import make_cluster, make_objective
from flows.keys import digest, source_digest
from flows.settings import Settings
from flows.work import Progress
from metis.errors import InputError
from metis.objectives import FreeNodes, Tables
from metis.problem import Cluster

LEARNERS = {"value": "metis.learning.value.scheduler", "paper": "metis.learning.subscheduler"}
Curve = list[dict[str, float]]


def learner_settings(settings: Settings, learner: str) -> dict[str, Any]:
    """All that the weights of a learner depend on, the simulator's tables aside."""
    parts = settings.model_dump(mode="json")
    # the value learner honours rules when it places, the paper's when it learns
    rules = {"rules": parts["rules"]} if learner == "paper" else {}
    return {"objective": parts["objective"], "settings": parts[learner], **rules}


def train_weights(
    settings: Settings, learner: str, tables: Tables, folder: Path, progress: Progress
) -> tuple[Any, Curve]:
    """Train the weights of `learner`, going on from the checkpoints in `folder`; and its learning curve.

    Args:
        settings: of the run.
        learner: `value` or `paper`.
        tables: the simulator's.
        folder: where checkpoints are kept.
        progress: called after every step.
    """

    def tell(row: Mapping[str, Any]) -> None:
        model = f" {row['model'] + 1}/{row['models']}" if "models" in row else ""
        progress(f"training {learner}{model}", int(row["step"]), int(row["steps"]))

    return (_train_value if learner == "value" else _train_paper)(settings, tables, folder, tell)


def cached_weights(
    settings: Settings, tables: Tables, simulator: str, folder: Path, progress: Progress
) -> Callable[[str], Any]:
    """Weights by learner, trained at first use and kept in `folder` for the next command.

    Args:
        settings: of the command.
        tables: the simulator's.
        simulator: its key.
        folder: of the cache.
        progress: called while training.
    """

    def weights(learner: str) -> Any:
        code = source_digest(LEARNERS[learner])
        key = digest([simulator, learner_settings(settings, learner), code])
        path = folder / f"{learner}-{key}.npz"
        if path.is_file():
            try:
                return load_weights(settings, learner, tables, path)
            except InputError:
                path.unlink(missing_ok=True)  # a damaged cache costs a training, never the command
        trained, _ = train_weights(settings, learner, tables, folder / "checkpoints" / key, progress)
        save_weights(settings, trained, tables, path)
        return trained

    return weights


def load_weights(settings: Settings, learner: str, tables: Tables, path: Path) -> Any:
    """Read weights; those of another space, objective, slot count or worth are refused by name."""
    objective = make_objective(settings)
    if learner == "paper":
        from metis.learning.subscheduler import SubSchedulers

        return SubSchedulers.load(path, objective, tables)
    from metis.learning.value.weights import ValueWeights

    weights = ValueWeights.load(path)
    weights.check(tables.space, objective.name)
    return weights


def save_weights(settings: Settings, weights: Any, tables: Tables, path: Path) -> None:
    """Write weights with the fingerprint of what they were trained for."""
    from metis.learning.subscheduler import SubSchedulers

    if isinstance(weights, SubSchedulers):
        weights.save(path, make_objective(settings), tables)
    else:
        weights.save(path)


def value_task(settings: Settings, tables: Tables) -> Any:
    """What the value learner learns: the objective's worth per container, and the vacancy bonuses to come."""
    from metis.learning.value.task import ValueTask

    objective = make_objective(settings)
    everyone = np.ones(len(tables.space.apps), dtype=np.int64)
    worth = objective.bind(everyone, Cluster(tables.space, len(everyone)), tables)
    vacancy = 0.0
    if isinstance(objective, FreeNodes):
        # a group of n containers on N nodes is worth beta / N per vacant node against 1 / n per container
        vacancy = objective.beta * tables.space.slots / len(everyone)
        worth[0] = 0.0
    return ValueTask.of(tables.space, objective.name, worth, vacancy)


def _train_value(
    settings: Settings, tables: Tables, folder: Path, tell: Callable[[Mapping[str, Any]], None]
) -> tuple[Any, Curve]:
    from metis.learning.value.training import train_value

    return train_value(value_task(settings, tables), settings.value.made(), folder, tell)


def _train_paper(
    settings: Settings, tables: Tables, folder: Path, tell: Callable[[Mapping[str, Any]], None]
) -> tuple[Any, Curve]:
    from metis.learning.subscheduler import train_sub_schedulers

    cluster = make_cluster(settings.model_copy(update={"existing": None}), tables.space)
    trained, curves = train_sub_schedulers(
        make_objective(settings),
        tables,
        settings.paper.made(),
        settings.seed,
        allowed=cluster.allowed,
        checkpoints=folder,
        progress=tell,
    )
    flat = [row | {"model": float(i)} for i, curve in enumerate(curves) for row in curve]
    return trained, flat
