"""Divide-and-conquer (DC): the tree down to single nodes, learned anew for each group (Metis, SC 2020)."""

from dataclasses import dataclass, field
from typing import ClassVar

from baselines.contract import Entry, Materials
from metis.learn.paper.high_level import GroupSettings, NodeLearner
from metis.learn.paper.reinforce import Bonus, Rate, ReinforceSettings, Replayed, Sampled
from metis.problem.scheduler import PlaceFunction
from metis.settings import settings


@settings("divide_conquer.learn")
class DivideConquerLearning(ReinforceSettings):
    """How DC learns: with more episodes an update than published (10 new, 10 replayed, bonus 0.01)."""

    episodes: Sampled = 30
    learning_rate: Rate = 1e-2
    entropy: Bonus = 0.003
    replayed: Replayed = 30


@settings("divide_conquer")
class DivideConquerSettings(GroupSettings):
    """The learning for one group; the fan-out decides the depth (81 nodes: 4 levels of 3, 2 of 9)."""

    learn: DivideConquerLearning = DivideConquerLearning()


@dataclass(frozen=True)
class DivideConquer(NodeLearner):
    """DC, a `PlaceFunction` for `TimedScheduler`."""

    name: ClassVar[str] = "divide_conquer"
    settings: GroupSettings = field(default_factory=DivideConquerSettings)


def _build(materials: Materials) -> PlaceFunction:
    return DivideConquer(
        settings=materials.settings("divide_conquer", DivideConquerSettings), progress=materials.progress
    )


SCHEDULER = Entry(_build, ("divide_conquer", "learn"), learns=True)
