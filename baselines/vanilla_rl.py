"""Vanilla RL: one softmax over all nodes, no tree (a baseline of Metis, SC 2020)."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

from baselines.contract import Entry, Materials
from metis.learn.paper.high_level import GroupSettings, NodeLearner
from metis.learn.paper.reinforce import Bonus, Rate, ReinforceSettings, Replayed, Sampled
from metis.problem.cluster import Cluster
from metis.problem.scheduler import PlaceFunction
from metis.settings import settings


@settings("vanilla_rl.learn")
class VanillaRlLearning(ReinforceSettings):
    """How vanilla RL learns: with more episodes an update than the 10 new and 10 replayed published."""

    episodes: Sampled = 30
    learning_rate: Rate = 1e-3
    entropy: Bonus = 0.01
    replayed: Replayed = 30


@settings("vanilla_rl")
class VanillaRlSettings(GroupSettings):
    """The learning for one group; the fan-out is not used, it is the number of nodes."""

    learn: VanillaRlLearning = VanillaRlLearning()


@dataclass(frozen=True)
class VanillaRl(NodeLearner):
    """Vanilla RL, a `PlaceFunction` for `TimedScheduler`.

    It is divide-and-conquer with a fan-out of the cluster's nodes: the same policy, rollout and update.
    """

    name: ClassVar[str] = "vanilla_rl"
    settings: GroupSettings = field(default_factory=VanillaRlSettings)

    def settings_for(self, cluster: Cluster) -> GroupSettings:
        """Return the settings for a tree of one level, with a child per node."""
        return replace(self.settings, fan_out=max(2, cluster.nodes))


def _build(materials: Materials) -> PlaceFunction:
    return VanillaRl(
        settings=materials.settings("vanilla_rl", VanillaRlSettings), progress=materials.progress
    )


SCHEDULER = Entry(_build, ("vanilla_rl", "learn"), learns=True)
