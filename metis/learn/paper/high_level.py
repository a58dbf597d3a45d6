"""The scheduler of the paper: REINFORCE for each group, over frozen sub-schedulers or over bare nodes.

`PaperScheduler` is the high level (Metis, SC 2020): per container it picks a sub-cluster, whose
frozen sub-scheduler then places what it got. `place_over_nodes` is the same learner on a tree whose
leaves are nodes, which divide-and-conquer (the full tree) and vanilla RL (one level) share.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from metis.errors import InputError, PlacementError
from metis.learn.loop import Budget, Progress, train
from metis.learn.paper.policy import Start
from metis.learn.paper.reinforce import ReinforceOnGroup, ReinforceSettings, Task
from metis.learn.paper.sub_scheduler import SubSchedulers, admitted_moves, judge_nodes
from metis.learn.paper.tree import TreeShape, levels_for, split_evenly, spread
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import placing_order

CURVE_POINTS = 500
PUBLISHED_HIGH_LEVEL = ReinforceSettings(
    learning_rate=1.5e-2, entropy=0.1, replayed=10, demonstrations=30, episodes=10
)


@dataclass(frozen=True)
class GroupSettings:
    """The learning for one group.

    Attributes:
        fan_out: children at every level of the tree over the leaves.
        steps: updates at most.
        seconds: wall time at most; None for no limit, and then the placement depends on the seed alone.
        seed: of everything random.
        learn: how to learn; by default as published for the high level.
    """

    fan_out: int = 3
    steps: int = 2000
    seconds: float | None = 60.0
    seed: int = 0
    learn: ReinforceSettings = PUBLISHED_HIGH_LEVEL

    def __post_init__(self) -> None:
        if self.fan_out < 2:
            raise InputError(f"fan-out {self.fan_out}: give at least 2")
        Budget(self.steps, self.seconds)


@dataclass(frozen=True)
class SubClusters:
    """A cluster cut into sub-clusters of equal size (to 1), each spread over a sub-scheduler's tree.

    Attributes:
        nodes: open nodes of every sub-cluster, int [parts].
        start: one row per sub-cluster, without any demand.
        where: sub-cluster and leaf of every node, int [nodes, 2].
    """

    nodes: IntArray
    start: Start
    where: IntArray


def cut(cluster: Cluster, tree: TreeShape) -> SubClusters:
    """Cut `cluster` into as few sub-clusters of `tree.leaves` nodes as hold it."""
    parts = -(-cluster.nodes // tree.leaves)
    nodes = split_evenly(cluster.nodes, parts)
    leaves = [spread(int(n), tree.fan_out, tree.levels) for n in nodes]
    where = np.column_stack([np.repeat(np.arange(parts), nodes), np.concatenate(leaves)])
    at = (where[:, 0], where[:, 1])
    counts = np.zeros((parts, tree.leaves, tree.apps), dtype=np.int64)
    counts[at] = cluster.existing
    opened = np.zeros((parts, tree.leaves), dtype=np.int64)
    opened[at] = 1
    start = Start(
        demand=np.zeros((parts, tree.apps), dtype=np.int64),
        counts=counts,
        ids=cluster.space.index(counts),
        nodes=opened,
        moves=admitted_moves(cluster),
        order=np.array(placing_order(cluster.space, cluster.allowed)),
    )
    return SubClusters(nodes, start, where)


@dataclass(frozen=True)
class PaperScheduler:
    """The high level over frozen sub-schedulers: a `PlaceFunction` for `TimedScheduler`.

    Attributes:
        sub_schedulers: trained for the objective in use.
        settings: the learning for each group.
        progress: called after every update.
        checkpoint: file to resume an interrupted group from.
    """

    sub_schedulers: SubSchedulers
    settings: GroupSettings = field(default_factory=GroupSettings)
    progress: Progress | None = None
    checkpoint: Path | None = None

    def __call__(
        self, group: IntArray, cluster: Cluster, worth: FloatArray
    ) -> tuple[IntArray, Mapping[str, Any]]:
        """Learn to place `group`; return the best episode's placement and the learning curve.

        Raises:
            InputError: the sub-schedulers are of another space.
            PlacementError: a rule leaves no node for a container.
        """
        if self.sub_schedulers.space != cluster.space:
            raise InputError(
                f"these sub-schedulers were trained for {self.sub_schedulers.space}, "
                f"not for {cluster.space}: train anew"
            )
        parts = cut(cluster, self.sub_schedulers.shape)
        settings = self.settings
        if len(parts.nodes) == 1:  # one sub-cluster leaves nothing to choose
            settings = replace(settings, steps=1)
        key = _key("high level", settings, group, cluster, worth)
        task = self._task(group, cluster, worth, parts)
        loads, curve = _learn(task, settings, key, self.progress, self.checkpoint)
        placed = self.sub_schedulers.place(replace(parts.start, demand=loads))
        placement = placed[parts.where[:, 0], parts.where[:, 1]]
        return _place_the_lost(placement, group, cluster, worth), _trace(curve)

    def _task(self, group: IntArray, cluster: Cluster, worth: FloatArray, parts: SubClusters) -> Task:
        """The group as a task over sub-clusters; a sub-cluster's state is how full it is."""
        units, slots, apps = len(parts.nodes), cluster.space.slots, len(group)
        capacity = int(parts.nodes.max()) * slots
        filled = np.append(np.arange(1, capacity + 1), -1)
        judge_placed = judge_nodes(cluster.space, parts.start.counts, parts.start.nodes, worth)

        def judge(loads: IntArray, lost: IntArray) -> FloatArray:
            start = _repeated(parts.start, len(loads), loads.reshape(-1, apps))
            placed = self.sub_schedulers.place(start)
            unplaced = (start.demand - placed.sum(axis=1)).reshape(len(loads), -1).sum(axis=1)
            return judge_placed(placed.reshape(len(loads), units, -1, apps), lost + unplaced)

        return Task(
            demand=group,
            counts=parts.start.counts.sum(axis=1),
            ids=parts.start.counts.sum(axis=(1, 2)) + capacity - parts.nodes * slots,
            nodes=parts.nodes,
            moves=np.repeat(filled[:, None], apps, axis=1),
            order=parts.start.order,
            judge=judge,
        )


def place_over_nodes(
    group: IntArray,
    cluster: Cluster,
    worth: FloatArray,
    settings: GroupSettings,
    *,
    name: str,
    progress: Progress | None = None,
    checkpoint: Path | None = None,
) -> tuple[IntArray, Mapping[str, Any]]:
    """Learn to place `group` with a tree whose leaves are the nodes; the best episode and the curve.

    Args:
        group: int [apps].
        cluster: where to place it.
        worth: of every co-location, float [size].
        settings: the learning; the fan-out decides the depth of the tree.
        name: of the scheduler, for its checkpoint.
        progress: called after every update.
        checkpoint: file to resume from.

    Raises:
        PlacementError: a rule leaves no node for a container.
    """
    nodes = np.ones(cluster.nodes, dtype=np.int64)
    task = Task(
        demand=group,
        counts=cluster.existing,
        ids=cluster.space.index(cluster.existing),
        nodes=nodes,
        moves=admitted_moves(cluster),
        order=np.array(placing_order(cluster.space, cluster.allowed)),
        judge=judge_nodes(cluster.space, cluster.existing, nodes, worth),
    )
    key = _key(name, settings, group, cluster, worth)
    placement, curve = _learn(task, settings, key, progress, checkpoint)
    return _place_the_lost(placement, group, cluster, worth), _trace(curve)


def _learn(
    units: Task, settings: GroupSettings, key: str, progress: Progress | None, checkpoint: Path | None
) -> tuple[IntArray, list[dict[str, float]]]:
    """Train for one task given per unit (node or sub-cluster); the best loads [units, apps], the curve."""
    count = len(units.nodes)
    levels = levels_for(count, settings.fan_out)
    apps, hidden = len(units.demand), settings.learn.hidden
    shape = TreeShape(settings.fan_out, levels, apps, sees_remaining=False, hidden=hidden)
    leaf = spread(count, settings.fan_out, levels)

    def on_leaves(values: IntArray) -> IntArray:
        padded = np.zeros((shape.leaves, *values.shape[1:]), dtype=np.int64)
        padded[leaf] = values
        return padded

    task = replace(
        units,
        counts=on_leaves(units.counts),
        ids=on_leaves(units.ids),
        nodes=on_leaves(units.nodes),
        judge=lambda loads, lost: units.judge(loads[:, leaf], lost),
    )
    learner = ReinforceOnGroup(shape, settings.learn, settings.seed, task)
    budget = Budget(settings.steps, settings.seconds)
    curve = train(learner, budget, key=key, checkpoint=checkpoint, progress=progress)
    return learner.best_loads()[leaf], curve


def _repeated(start: Start, times: int, demand: IntArray) -> Start:
    """`start` so many times over, with the demand of every row."""

    def again(values: IntArray) -> IntArray:
        return np.tile(values, (times, *[1] * (values.ndim - 1)))

    return replace(
        start, demand=demand, counts=again(start.counts), ids=again(start.ids), nodes=again(start.nodes)
    )


def _place_the_lost(placement: IntArray, group: IntArray, cluster: Cluster, worth: FloatArray) -> IntArray:
    """Place what no node admitted when its turn came (rules only), each where it adds most.

    Raises:
        PlacementError: no node admits the container; names its application.
    """
    space, placement = cluster.space, placement.copy()
    moves = admitted_moves(cluster)
    lost = group - placement.sum(axis=0)
    for a in placing_order(space, cluster.allowed):
        for _ in range(lost[a]):
            ids = space.index(placement + cluster.existing)
            after = moves[ids, a]
            if (after < 0).all():
                raise PlacementError(f"no node is left that may take another container of {space.apps[a]}")
            placement[np.where(after >= 0, worth[after] - worth[ids], -np.inf).argmax(), a] += 1
    return placement


def _key(name: str, settings: GroupSettings, group: IntArray, cluster: Cluster, worth: FloatArray) -> str:
    digest = hashlib.sha256(worth.tobytes() + cluster.existing.tobytes() + cluster.allowed.tobytes())
    return f"{name} {settings} {group.tolist()} {digest.hexdigest()}"


def _trace(curve: list[dict[str, float]]) -> dict[str, Any]:
    """The learning curve, thinned to at most `CURVE_POINTS` rows, the last one kept."""
    rows = np.unique(np.linspace(0, len(curve) - 1, CURVE_POINTS).astype(int))
    columns = ("episodes", "seconds", "cpu_seconds", "best", "value", "entropy")
    return {"curve": [{name: curve[i][name] for name in columns} for i in rows]}
