"""Settings of the training of learned prices."""

from dataclasses import asdict
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from metis.errors import InputError
from metis.settings import Count, Seed, Share, settings

PositiveShare = Annotated[float, Gt(0), Le(1)]
Positive = Annotated[float, Gt(0)]


@settings("prices")
class PricesSettings:
    """How the network that predicts prices is trained.

    Attributes:
        hidden: units of each layer (tanh).
        layers: rounds in which applications exchange messages.
        problems: sub-problems whose relaxation the column solver solves, one in every training step.
        updates: gradient updates in every training step.
        minibatch: remembered sub-problems in an update.
        apps: applications of a sub-problem at most; a part of the problem's is drawn.
        nodes: of a sub-problem: prices depend on containers per node alone.
        min_load: least share of the slots that a sub-problem takes.
        full_share: share of the sub-problems that take all slots.
        typed_share: share of the sub-problems whose nodes are of several types, with resources.
        min_mix, max_mix: concentration of the Dirichlet that mixes the applications, drawn log-uniformly
            between the two: small is skewed, large is even.
        width: of the search for columns.
        kept: columns of each sub-problem that are remembered.
        smoothing: softness of the highest reduced worth in the loss, in stand-alone containers.
        learning_rate: of Adam at the first step; it falls along a cosine to a hundredth.
        seed: of weights, sub-problems and minibatches.
    """

    hidden: Count = 32
    layers: Count = 2
    problems: Annotated[int, Ge(2)] = 48
    updates: Count = 20
    minibatch: Count = 8
    apps: Annotated[int, Ge(2)] = 30
    nodes: Count = 40
    min_load: PositiveShare = 0.3
    full_share: Share = 0.3
    typed_share: Share = 0.5
    min_mix: Positive = 1.0
    max_mix: Positive = 30.0
    width: Count = 256
    kept: Count = 1500
    smoothing: Positive = 0.02
    learning_rate: Annotated[float, Gt(0), Lt(1)] = 3e-3
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.min_mix > self.max_mix:
            raise InputError(f"prices.min_mix {self.min_mix:g}: give at most max_mix, {self.max_mix:g}")

    @property
    def key(self) -> str:
        """All settings in one line: what a checkpoint must agree with."""
        return repr(asdict(self))
