"""Sub-schedulers: trained on random groups for a small sub-cluster, then frozen (Metis, SC 2020)."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Gt
from numpy.typing import NDArray

from metis.errors import InputError
from metis.learn.loop import Budget, Progress, train
from metis.learn.paper.policy import Start, run_episodes
from metis.learn.paper.reinforce import Rate, Reinforce, ReinforceSettings, Sampled, TreeProblem
from metis.learn.paper.tree import TreeShape, levels_for
from metis.learn.paper.weights import load_weights, save_weights
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.objectives import Objective
from metis.problem.rules import placing_order
from metis.problem.space import ColocationSpace
from metis.problem.tables import Tables
from metis.settings import Count, settings

DRAWS = 100
WEIGHT_NAMES = ("w1", "b1", "w2", "b2")


@settings("paper.learn")
class SubSchedulerLearning(ReinforceSettings):
    """How sub-schedulers learn: with more episodes an update than the 10 published, at half their rate."""

    episodes: Sampled = 64
    learning_rate: Rate = 5e-3


@settings("paper")
class SubSchedulerSettings:
    """Sub-clusters and the training of their schedulers.

    Attributes:
        nodes: nodes of a sub-cluster, a power of the fan-out.
        fan_out: children at every level of the tree.
        ranges: load ranges, with a model each; None for one per 10 containers (21 for 216 slots, the
            last to 216), 1 for one unified model.
        chained: whether a range begins with the weights learned for the range before, which learns
            high loads faster, instead of afresh as published.
        steps: updates per model.
        seconds: wall time per model at most; None for no limit.
        learn: how to learn.
    """

    nodes: Count = 27
    fan_out: Annotated[int, Ge(2)] = 3
    ranges: Count | None = None
    chained: bool = False
    steps: Count = 600
    seconds: Annotated[float, Gt(0)] | None = None
    learn: SubSchedulerLearning = SubSchedulerLearning()

    def __post_init__(self) -> None:
        if self.fan_out ** levels_for(self.nodes, self.fan_out) != self.nodes:
            raise InputError(
                f"paper.nodes {self.nodes}: a sub-cluster with paper.fan_out {self.fan_out} must have a "
                "power of it as nodes, such as 27 for 3"
            )


def load_ranges(capacity: int, ranges: int | None) -> list[tuple[int, int]]:
    """Return first and last number of containers of every load range; the last ends at `capacity`.

    Raises:
        InputError: more ranges than containers.
    """
    count = max(1, capacity // 10) if ranges is None else ranges
    if count > capacity:
        raise InputError(
            f"{count} load ranges: a sub-cluster holds {capacity} containers, so at most as many"
        )
    width = capacity // count
    return [(i * width + 1, capacity if i == count - 1 else (i + 1) * width) for i in range(count)]


@dataclass(frozen=True)
class SubSchedulers:
    """Frozen sub-schedulers, one per load range.

    Attributes:
        space: co-locations they were trained on.
        shape: the tree over a sub-cluster.
        weights: per weight array, one row per range, [ranges, ...].
    """

    space: ColocationSpace
    shape: TreeShape
    weights: tuple[NDArray[np.float32], ...]

    @classmethod
    def joined(
        cls,
        settings: SubSchedulerSettings,
        space: ColocationSpace,
        models: Sequence[Sequence[NDArray[np.float32]]],
    ) -> "SubSchedulers":
        """Return the sub-schedulers made of the weights of each range, in order."""
        weights = tuple(np.stack(rows) for rows in zip(*models, strict=True))
        return cls(space, sub_tree(settings, space), weights)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First and last container count of every model."""
        return load_ranges(self.shape.leaves * self.space.slots, len(self.weights[0]))

    def place(self, start: Start) -> IntArray:
        """Place every row's demand greedily, each by the model of its load; int [rows, leaves, apps].

        The load counts containers in place and is scaled to a whole sub-cluster where nodes are closed.
        A container that no node admits is left out.
        """
        wanted = start.demand.sum(axis=1)
        open_nodes = np.maximum(start.nodes.sum(axis=1), 1)
        load = (wanted + start.counts.sum(axis=(1, 2))) * self.shape.leaves / open_nodes
        lasts = np.array([last for _, last in self.ranges])
        model = np.minimum(np.searchsorted(lasts, load), len(lasts) - 1)
        loads = np.zeros(start.counts.shape, dtype=np.int64)
        for m in np.unique(model[wanted > 0]):
            rows = (model == m) & (wanted > 0)
            part = Start(
                start.demand[rows],
                start.counts[rows],
                start.ids[rows],
                start.nodes[rows],
                start.moves,
                start.order,
            )
            weights = tuple(w[m] for w in self.weights)
            loads[rows] = run_episodes(self.shape, weights, part, (0, 0), greedy=True).loads
        return loads

    def save(self, path: Path, objective: Objective, tables: Tables) -> None:
        """Write the weights, with what they were trained for."""
        arrays = dict(zip(WEIGHT_NAMES, self.weights, strict=True))
        tree = np.array([self.shape.fan_out, self.shape.levels])
        save_weights(path, arrays | {"tree": tree}, fingerprint(objective, tables))

    @staticmethod
    def load(path: Path, objective: Objective, tables: Tables) -> "SubSchedulers":
        """Read weights trained for this objective and these tables.

        Raises:
            InputError: they were trained for something else; names what differs.
        """
        stored = load_weights(path, fingerprint(objective, tables))
        fan_out, levels = (int(n) for n in stored["tree"])
        weights = tuple(stored[name] for name in WEIGHT_NAMES)
        shape = TreeShape(fan_out, levels, len(tables.space.apps), hidden=weights[1].shape[-1])
        return SubSchedulers(tables.space, shape, weights)


def fingerprint(objective: Objective, tables: Tables) -> dict[str, str]:
    """Describe what sub-schedulers depend on: applications, slots, objective, a digest of the worth."""
    space = tables.space
    group = np.ones(len(space.apps), dtype=np.int64)
    worth = objective.bind(group, Cluster(space, 1 + len(group)), tables)
    return {
        "learner": "paper sub-scheduler",
        "applications": ", ".join(space.apps),
        "slots": str(space.slots),
        "objective": objective.name,
        "worth": hashlib.sha256(worth.tobytes()).hexdigest()[:16],
    }


def train_sub_schedulers(
    objective: Objective,
    tables: Tables,
    settings: SubSchedulerSettings,
    seed: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
    checkpoints: Path | None = None,
    progress: Progress | None = None,
) -> tuple[SubSchedulers, list[list[dict[str, float]]]]:
    """Train the model of every load range; return them and their learning curves.

    Args:
        objective: what to maximise.
        tables: the simulator, written out.
        settings: sub-clusters and training.
        seed: of everything random.
        allowed: co-locations the rules admit, bool [size]; None for all.
        checkpoints: folder to resume from and to save to.
        progress: called after every update; gets `model` and `models` beside what `train` gives.
    """
    models = load_ranges(settings.nodes * tables.space.slots, settings.ranges)
    trained: list[list[NDArray[np.float32]]] = []
    curves = []
    for i in range(len(models)):
        weights, curve = train_model(
            objective,
            tables,
            settings,
            seed,
            i,
            allowed=allowed,
            weights=trained[-1] if settings.chained and trained else None,
            checkpoint=checkpoints / f"sub-scheduler-{i}.npz" if checkpoints else None,
            progress=_numbered(progress, i, len(models)),
        )
        trained.append(weights)
        curves.append(curve)
    return SubSchedulers.joined(settings, tables.space, trained), curves


def train_model(
    objective: Objective,
    tables: Tables,
    settings: SubSchedulerSettings,
    seed: int,
    model: int,
    *,
    allowed: NDArray[np.bool_] | None = None,
    weights: Sequence[NDArray[np.float32]] | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> tuple[list[NDArray[np.float32]], list[dict[str, float]]]:
    """Train the model of one load range; return its weights and learning curve.

    Unless given `weights` to begin with, a range does not depend on the others: they may be trained side
    by side, on as many machines as there are, and then `SubSchedulers.joined`.
    """
    learner = sub_scheduler_learner(objective, tables, settings, seed, model, allowed, weights)
    rules = "none" if allowed is None else hashlib.sha256(allowed.tobytes()).hexdigest()
    learner.prepare()
    curve = train(
        learner,
        Budget(settings.steps, settings.seconds),
        key=f"sub-scheduler {model} {settings} {seed} {rules} {fingerprint(objective, tables)}",
        checkpoint=checkpoint,
        progress=progress,
    )
    return learner.arrays(), curve


def sub_tree(settings: SubSchedulerSettings, space: ColocationSpace) -> TreeShape:
    """Return the tree over a sub-cluster."""
    levels = levels_for(settings.nodes, settings.fan_out)
    return TreeShape(settings.fan_out, levels, len(space.apps), hidden=settings.learn.hidden)


def sub_scheduler_learner(
    objective: Objective,
    tables: Tables,
    settings: SubSchedulerSettings,
    seed: int,
    model: int,
    allowed: NDArray[np.bool_] | None = None,
    weights: Sequence[NDArray[np.float32]] | None = None,
) -> Reinforce:
    """Make the learner of one load range: each step a random group for an empty sub-cluster."""
    space = tables.space
    first, last = load_ranges(settings.nodes * space.slots, settings.ranges)[model]
    cluster = Cluster(space, settings.nodes, allowed=allowed)  # type: ignore[arg-type]
    moves, order = admitted_moves(cluster), np.array(placing_order(space, cluster.allowed))
    nodes = np.ones(settings.nodes, dtype=np.int64)

    def draw(step: int) -> TreeProblem:
        group, worth = _draw_group(objective, cluster, tables, (first, last), (seed, model, step))
        return TreeProblem(
            demand=group,
            counts=cluster.existing,
            ids=np.zeros(settings.nodes, dtype=np.int64),
            nodes=nodes,
            moves=moves,
            order=order,
            judge=judge_nodes(space, cluster.existing, nodes, worth),
        )

    shape = sub_tree(settings, space)
    return Reinforce(
        shape, settings.learn, int(np.random.default_rng((seed, model)).integers(2**31)), draw, weights
    )


def _draw_group(
    objective: Objective, cluster: Cluster, tables: Tables, load: tuple[int, int], seed: Sequence[int]
) -> tuple[IntArray, FloatArray]:
    """Draw a group of a load range; return it and the worth of every co-location for it.

    A small group may hold nothing that the objective measures (latency): it is then drawn again.
    """
    rng, apps = np.random.default_rng(seed), len(cluster.space.apps)
    for _ in range(DRAWS):
        total = int(rng.integers(load[0], load[1] + 1))
        group = rng.multinomial(total, np.full(apps, 1 / apps)).astype(np.int64)
        with suppress(InputError):
            return group, objective.bind(group, cluster, tables)
    return group, objective.bind(group, cluster, tables)  # raises, and says why


def admitted_moves(cluster: Cluster) -> IntArray:
    """Return the id after one more container, [size, apps]; -1 where full or against a rule."""
    after = cluster.space.plus
    return np.asarray(np.where((after >= 0) & cluster.allowed[after], after, -1))


def judge_nodes(
    space: ColocationSpace, existing: IntArray, nodes: IntArray, worth: FloatArray
) -> Callable[[IntArray, IntArray], FloatArray]:
    """Return a `TreeProblem.judge` for leaves that are nodes.

    The value is the sum of worth, less the most worth per lost container.

    Args:
        space: the co-locations.
        existing: containers in place, int [..., apps].
        nodes: 1 where the leaf is an open node, 0 where it is closed, int [...].
        worth: of every co-location, float [size].
    """
    most = float(np.abs(worth).max())

    def judge(loads: IntArray, lost: IntArray) -> FloatArray:
        each = worth[space.index(loads + existing)] * nodes
        return np.asarray(each.reshape(len(loads), -1).sum(axis=1) - most * lost)

    return judge


def _numbered(progress: Progress | None, model: int, models: int) -> Progress | None:
    """Return `progress` with the number of the model in every event."""
    if progress is None:
        return None

    def report(row: Mapping[str, Any]) -> None:
        progress({**row, "model": model, "models": models})

    return report
