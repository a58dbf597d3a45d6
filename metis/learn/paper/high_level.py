"""The scheduler of the paper: REINFORCE for each group, over frozen sub-schedulers or over bare nodes.

`PaperScheduler` is the high level (Metis, SC 2020): per container it picks a sub-cluster, whose
frozen sub-scheduler then places what it got. `NodeLearner` is the same learner on a tree whose leaves are
nodes, which divide-and-conquer (the full tree) and vanilla RL (one level) share.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt

from metis.errors import InputError, PlacementError
from metis.learn.loop import Budget, Progress, train
from metis.learn.paper.policy import Start
from metis.learn.paper.reinforce import (
    Bonus,
    Rate,
    ReinforceOnGroup,
    ReinforceSettings,
    Replayed,
    Sampled,
    TreeProblem,
)
from metis.learn.paper.sub_scheduler import SubSchedulers, admitted_moves, judge_nodes
from metis.learn.paper.tree import TreeShape, levels_for, split_evenly, spread
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.rules import placing_order
from metis.settings import Count, Seed, settings

CURVE_POINTS = 500
DEFAULT_STEPS = 100  # 3,000 episodes of 30 an update, 1,000 of the high level's 10 (877 published)

Curve = list[dict[str, float]]


@settings("learner")
class GroupSettings:
    """The learning for one group, for the schedulers that learn each group anew.

    Attributes:
        fan_out: children at every level of the tree over the leaves.
        steps: updates at most; null for 100 where no time is given, else for no limit. An update is
            `learn.episodes` new episodes. With steps alone the placement depends on the seed alone.
        seconds: wall time at most, start-up and tracing left out.
        cpu_seconds: CPU time at most, likewise: what learners are compared by on a busy machine.
        seed: of everything random.
        learn: how to learn.
    """

    fan_out: Annotated[int, Ge(2)] = 3
    steps: Count | None = None
    seconds: Annotated[float, Gt(0)] | None = None
    cpu_seconds: Annotated[float, Gt(0)] | None = None
    seed: Seed = 0
    learn: ReinforceSettings = ReinforceSettings()

    @property
    def budget(self) -> Budget:
        """When the learning for a group ends."""
        timed = self.seconds is not None or self.cpu_seconds is not None
        steps = self.steps if timed or self.steps else DEFAULT_STEPS
        return Budget(steps, self.seconds, self.cpu_seconds)


@settings("highlevel.learn")
class HighLevelLearning(ReinforceSettings):
    """How the high level learns: as published."""

    episodes: Sampled = 10
    learning_rate: Rate = 1.5e-2
    entropy: Bonus = 0.1
    replayed: Replayed = 10
    demonstrations: Replayed = 30


@settings("highlevel")
class HighLevelSettings(GroupSettings):
    """The learning of the paper's high level for one group."""

    learn: HighLevelLearning = HighLevelLearning()


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


@dataclass(frozen=True, kw_only=True)
class GroupLearner:
    """Base of the schedulers that learn each group anew.

    Attributes:
        progress: called after every update.
        checkpoint: file to resume an interrupted group from.
    """

    progress: Progress | None = None
    checkpoint: Path | None = None

    def learn(self, units: TreeProblem, settings: GroupSettings, key: str) -> tuple[IntArray, Curve]:
        """Train for one problem given per unit (node or sub-cluster).

        Args:
            units: the problem.
            settings: the learning.
            key: of the checkpoint.

        Returns:
            The loads of the best episode, int [units, apps], and the learning curve.
        """
        count = len(units.nodes)
        levels = levels_for(count, settings.fan_out)
        apps, hidden = len(units.demand), settings.learn.hidden
        shape = TreeShape(settings.fan_out, levels, apps, sees_remaining=False, hidden=hidden)
        leaf = spread(count, settings.fan_out, levels)

        def on_leaves(values: IntArray) -> IntArray:
            padded = np.zeros((shape.leaves, *values.shape[1:]), dtype=np.int64)
            padded[leaf] = values
            return padded

        problem = replace(
            units,
            counts=on_leaves(units.counts),
            ids=on_leaves(units.ids),
            nodes=on_leaves(units.nodes),
            judge=lambda loads, lost: units.judge(loads[:, leaf], lost),
        )
        learner = ReinforceOnGroup(shape, settings.learn, settings.seed, problem)
        learner.prepare()
        curve = train(learner, settings.budget, key=key, checkpoint=self.checkpoint, progress=self.progress)
        return learner.best_loads()[leaf], curve


@dataclass(frozen=True)
class NodeLearner(GroupLearner):
    """Learns to place each group with a tree whose leaves are the nodes: a `PlaceFunction`.

    Attributes:
        name: of the scheduler, for its checkpoint.
        settings: the learning for each group; the fan-out decides the depth of the tree.
    """

    name: ClassVar[str]
    settings: GroupSettings

    def settings_for(self, cluster: Cluster) -> GroupSettings:
        """Return the settings for the tree over the nodes of `cluster`."""
        del cluster
        return self.settings

    def __call__(
        self, group: IntArray, cluster: Cluster, worth: FloatArray
    ) -> tuple[IntArray, Mapping[str, Any]]:
        """Learn to place `group`; return the best episode's placement and the learning curve.

        Raises:
            PlacementError: a rule leaves no node for a container.
        """
        nodes = np.ones(cluster.nodes, dtype=np.int64)
        problem = TreeProblem(
            demand=group,
            counts=cluster.existing,
            ids=cluster.space.index(cluster.existing),
            nodes=nodes,
            moves=admitted_moves(cluster),
            order=np.array(placing_order(cluster.space, cluster.allowed)),
            judge=judge_nodes(cluster.space, cluster.existing, nodes, worth),
        )
        settings = self.settings_for(cluster)
        placement, curve = self.learn(problem, settings, _key(self.name, settings, group, cluster, worth))
        return _place_leftovers(placement, group, cluster, worth), _trace(curve)


@dataclass(frozen=True)
class PaperScheduler(GroupLearner):
    """The high level over frozen sub-schedulers: a `PlaceFunction` for `TimedScheduler`.

    Attributes:
        sub_schedulers: trained for the objective in use.
        settings: the learning for each group.
    """

    sub_schedulers: SubSchedulers
    settings: GroupSettings = field(default_factory=HighLevelSettings)

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
        loads, curve = self.learn(self._problem(group, cluster, worth, parts), settings, key)
        placed = self.sub_schedulers.place(replace(parts.start, demand=loads))
        placement = _place_leftovers(placed[parts.where[:, 0], parts.where[:, 1]], group, cluster, worth)
        if len(parts.nodes) == 1:
            return placement, {"curve": _trace(curve)["curve"]}
        return placement, _trace(curve)

    def _problem(
        self, group: IntArray, cluster: Cluster, worth: FloatArray, parts: SubClusters
    ) -> TreeProblem:
        """Return the group as a problem over sub-clusters; the state of each is how full it is."""
        units, slots, apps = len(parts.nodes), cluster.space.slots, len(group)
        capacity = int(parts.nodes.max()) * slots
        filled = np.append(np.arange(1, capacity + 1), -1)
        judge_placed = judge_nodes(cluster.space, parts.start.counts, parts.start.nodes, worth)

        def judge(loads: IntArray, lost: IntArray) -> FloatArray:
            start = _repeated(parts.start, len(loads), loads.reshape(-1, apps))
            placed = self.sub_schedulers.place(start)
            unplaced = (start.demand - placed.sum(axis=1)).reshape(len(loads), -1).sum(axis=1)
            return judge_placed(placed.reshape(len(loads), units, -1, apps), lost + unplaced)

        return TreeProblem(
            demand=group,
            counts=parts.start.counts.sum(axis=1),
            ids=parts.start.counts.sum(axis=(1, 2)) + capacity - parts.nodes * slots,
            nodes=parts.nodes,
            moves=np.repeat(filled[:, None], apps, axis=1),
            order=parts.start.order,
            judge=judge,
        )


def _repeated(start: Start, times: int, demand: IntArray) -> Start:
    """Repeat `start` so many times, with the demand of every row."""

    def again(values: IntArray) -> IntArray:
        return np.tile(values, (times, *[1] * (values.ndim - 1)))

    return replace(
        start, demand=demand, counts=again(start.counts), ids=again(start.ids), nodes=again(start.nodes)
    )


def _place_leftovers(placement: IntArray, group: IntArray, cluster: Cluster, worth: FloatArray) -> IntArray:
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


def _trace(curve: Curve) -> dict[str, Any]:
    """Return the learning curve, thinned to at most `CURVE_POINTS` rows, the last one kept."""
    rows = np.unique(np.linspace(0, len(curve) - 1, CURVE_POINTS).astype(int))
    columns = ("episodes", "seconds", "cpu_seconds", "best", "value", "entropy")
    thinned = [{name: curve[i][name] for name in columns} for i in rows]
    return {"curve": thinned, "updates": len(curve), "episodes": int(curve[-1]["episodes"])}
