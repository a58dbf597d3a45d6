"""Vanilla RL: one softmax over all nodes, no tree (a baseline of Metis, SC 2020)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from metis.learn.loop import Progress
from metis.learn.paper.high_level import GroupSettings, place_over_nodes
from metis.learn.paper.reinforce import ReinforceSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray

PUBLISHED_VANILLA = ReinforceSettings(learning_rate=1e-3, entropy=0.01, replayed=10)


@dataclass(frozen=True)
class VanillaRl:
    """Vanilla RL, a `PlaceFunction` for `TimedScheduler`.

    It is divide-and-conquer with a fan-out of the cluster's nodes: the same policy, rollout and update.

    Attributes:
        settings: the learning for each group; its fan-out is set to the number of nodes.
        progress: called after every update.
        checkpoint: file to resume an interrupted group from.
    """

    settings: GroupSettings = field(default_factory=lambda: GroupSettings(learn=PUBLISHED_VANILLA))
    progress: Progress | None = None
    checkpoint: Path | None = None

    def __call__(
        self, group: IntArray, cluster: Cluster, worth: FloatArray
    ) -> tuple[IntArray, Mapping[str, Any]]:
        """Learn to place `group`; return the best episode's placement and the learning curve.

        Raises:
            PlacementError: a rule leaves no node for a container.
        """
        settings = replace(self.settings, fan_out=max(2, cluster.nodes))
        return place_over_nodes(
            group,
            cluster,
            worth,
            settings,
            name="vanilla_rl",
            progress=self.progress,
            checkpoint=self.checkpoint,
        )
