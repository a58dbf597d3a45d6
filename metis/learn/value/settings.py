"""Every number of the value learner that a user may change."""

from dataclasses import asdict, dataclass

from metis.errors import InputError


@dataclass(frozen=True)
class ValueSettings:
    """Settings of the value learner and, below the line, of how its weights are used.

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
        value_strength: of the value loss beside the bound.
        learning_rate: of Adam at the first step; it falls along a cosine to a hundredth.
        steps: training steps, over which noise and learning rate fall.
        seed: of weights, episodes and minibatches.
    """

    hidden: tuple[int, ...] = (64, 64)
    episodes: int = 96
    candidates: int = 16
    min_nodes: int = 2
    max_nodes: int = 27
    wide_nodes: int = 1000
    min_load: float = 0.01
    max_load: float = 1.0
    full_share: float = 0.1
    min_mix: float = 0.3
    max_mix: float = 30.0
    noise: float = 0.03
    last_noise: float = 0.003
    replay: int = 60_000
    updates: int = 24
    minibatch: int = 512
    priced: int = 256
    value_strength: float = 10.0
    learning_rate: float = 4e-3
    steps: int = 150
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be trained with.

        Raises:
            InputError: names the setting, its value and what would be right.
        """
        whole = ("episodes", "candidates", "min_nodes", "replay", "updates", "minibatch", "priced", "steps")
        for name in whole:
            if getattr(self, name) < 1:
                raise InputError(f"value.{name} {getattr(self, name)}: give at least 1")
        if not self.hidden or min(self.hidden) < 1:
            raise InputError(f"value.hidden {list(self.hidden)}: give at least one layer of at least 1 unit")
        if not 2 <= self.min_nodes <= self.max_nodes <= self.wide_nodes:
            raise InputError(
                f"value.min_nodes {self.min_nodes}, max_nodes {self.max_nodes}, wide_nodes "
                f"{self.wide_nodes}: must rise in this order, from 2"
            )
        if not 0 < self.min_load <= self.max_load <= 1:
            raise InputError(f"value.min_load {self.min_load}, max_load {self.max_load}: 0 < min <= max <= 1")
        if not 0 < self.min_mix <= self.max_mix:
            raise InputError(f"value.min_mix {self.min_mix}, max_mix {self.max_mix}: 0 < min <= max")
        if not 0 <= self.full_share <= 1 or min(self.noise, self.last_noise) < 0:
            raise InputError("value.full_share must lie in 0..1, value.noise and last_noise be 0 or more")
        if not 0 < self.learning_rate < 1:
            raise InputError(f"value.learning_rate {self.learning_rate:g}: give between 0 and 1")

    @property
    def key(self) -> str:
        """All settings in one line: what a checkpoint must agree with."""
        return repr(asdict(self))
