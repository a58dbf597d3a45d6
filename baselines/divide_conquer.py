"""Divide-and-conquer (DC): the tree down to single nodes, learned anew for each group (Metis, SC 2020)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metis.learn.loop import Progress
from metis.learn.paper.high_level import GroupSettings, place_over_nodes
from metis.learn.paper.reinforce import ReinforceSettings
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray

PUBLISHED_DC = ReinforceSettings(learning_rate=1e-2, entropy=0.01, replayed=10)


@dataclass(frozen=True)
class DivideConquer:
    """DC, a `PlaceFunction` for `TimedScheduler`.

    Attributes:
        settings: the learning for each group; its fan-out K decides the depth (81 nodes: 4 levels of 3,
            2 of 9, 1 of 81).
        progress: called after every update.
        checkpoint: file to resume an interrupted group from.
    """

    settings: GroupSettings = field(default_factory=lambda: GroupSettings(learn=PUBLISHED_DC))
    progress: Progress | None = None
    checkpoint: Path | None = None

    def __call__(
        self, group: IntArray, cluster: Cluster, worth: FloatArray
    ) -> tuple[IntArray, Mapping[str, Any]]:
        """Learn to place `group`; return the best episode's placement and the learning curve.

        Raises:
            PlacementError: a rule leaves no node for a container.
        """
        return place_over_nodes(
            group,
            cluster,
            worth,
            self.settings,
            name="divide_conquer",
            progress=self.progress,
            checkpoint=self.checkpoint,
        )
