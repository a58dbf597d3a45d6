"""Settings of the value learner: its training, its learned high level, and how it places."""

from dataclasses import asdict
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from metis.errors import InputError
from metis.settings import Count, Seed, Share, settings

PositiveShare = Annotated[float, Gt(0), Le(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]
Rate = Annotated[float, Gt(0), Lt(1)]


@settings("value")
class ValueSettings:
    """How the value learner is trained.

    Attributes:
        hidden: units of each hidden layer (tanh).
        episodes: sub-clusters filled per training step.
        candidates: co-locations rescored exactly per node while training.
        min_nodes, max_nodes: sizes of the sub-clusters trained on.
        wide_nodes: largest cluster whose prices are trained (no episode is played there).
        min_load, max_load: share of the slots that a training group takes.
        full_share: share of the training groups that take `max_load` of the slots.
        min_mix, max_mix: concentration of the Dirichlet that mixes the applications, drawn
            log-uniformly between the two: small is skewed, large is even.
        noise: Gumbel noise on a candidate's score at the first step, in stand-alone containers; it
            falls linearly to `last_noise`.
        last_noise: the noise at the last step.
        replay: states remembered.
        updates: gradient updates per training step.
        minibatch: remembered states per update.
        priced: states per update whose prices are trained, half of them remembered.
        value_strength: weight of the value loss beside the bound.
        learning_rate: of Adam at the first step; it falls along a cosine to a hundredth.
        steps: training steps, over which noise and learning rate fall.
        seed: of weights, episodes and minibatches.
    """

    hidden: tuple[Count, ...] = (64, 64)
    episodes: Count = 96
    candidates: Count = 16
    min_nodes: Annotated[int, Ge(2)] = 2
    max_nodes: Count = 27
    wide_nodes: Count = 1000
    min_load: PositiveShare = 0.01
    max_load: PositiveShare = 1.0
    full_share: Share = 0.1
    min_mix: Positive = 0.3
    max_mix: Positive = 30.0
    noise: NotNegative = 0.03
    last_noise: NotNegative = 0.003
    replay: Count = 60_000
    updates: Count = 24
    minibatch: Count = 512
    priced: Count = 256
    value_strength: NotNegative = 10.0
    learning_rate: Rate = 4e-3
    steps: Count = 150
    seed: Seed = 0

    def __post_init__(self) -> None:
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(f"value.hidden {list(self.hidden)}: give at least one layer of at least 1 unit")
        if not self.min_nodes <= self.max_nodes <= self.wide_nodes:
            raise InputError(
                f"value.min_nodes {self.min_nodes}, max_nodes {self.max_nodes}, wide_nodes "
                f"{self.wide_nodes}: must rise in this order"
            )
        if self.min_load > self.max_load:
            raise InputError(f"value.min_load {self.min_load:g}: give at most max_load, {self.max_load:g}")
        if self.min_mix > self.max_mix:
            raise InputError(f"value.min_mix {self.min_mix:g}: give at most max_mix, {self.max_mix:g}")

    @property
    def key(self) -> str:
        """All settings in one line: what a checkpoint must agree with."""
        return repr(asdict(self))


@settings("dealer")
class DealerSettings:
    """How the learned high level, which deals a group to sub-clusters, is trained.

    Attributes:
        hidden: tanh units.
        episodes: groups dealt per step.
        min_load, max_load: share of the slots that a training group takes.
        learning_rate: of Adam.
        steps: training steps.
        seed: of weights and episodes.
    """

    hidden: Count = 64
    episodes: Count = 24
    min_load: PositiveShare = 0.05
    max_load: PositiveShare = 0.6
    learning_rate: Rate = 1e-2
    steps: Count = 60
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.min_load > self.max_load:
            raise InputError(f"dealer.min_load {self.min_load:g}: give at most max_load, {self.max_load:g}")

    @property
    def key(self) -> str:
        """All settings in one line: what a checkpoint must agree with."""
        return repr(asdict(self))


@settings("decode")
class DecodeSettings:
    """How the value learner places a group.

    Attributes:
        beam: partial placements kept.
        candidates: co-locations of each partial placement that are rescored per step.
        fine: nodes filled one by one in the end; those before are filled in bulk.
        sharpen: whether the network's prices are sharpened on the group (see `metis.learn.value.pricing`).
            Without, the bulk is filled by steps of 1 / fine of the nodes left, and V alone judges what
            remains.
    """

    beam: Count = 16
    candidates: Count = 32
    fine: Count = 27
    sharpen: bool = True
