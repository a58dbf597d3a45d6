"""How a simulator is fitted."""

from dataclasses import dataclass
from typing import Literal

from metis.errors import InputError


@dataclass(frozen=True)
class SimulatorSettings:
    """How a simulator is fitted.

    Attributes:
        kind: `table` (exact where measured, and everything must be), `forest` (the paper's random
            forest, one per application), `boosted` (gradient boosting on log RPS, one per application),
            `ensemble` (Gaussian processes: for few rows, well chosen).
        overwrite: put measured rows over predicted ones.
        trees: trees of the forest, or boosting rounds.
        depth: depth of the forest's trees.
        leaves: leaves of a boosted tree.
        learning_rate: of boosting.
        held_out: share of the rows kept back once to report R2 and MSE; 0 to skip it.
        seed: of the fit and of the rows held out.
    """

    kind: Literal["table", "forest", "boosted", "ensemble"] = "boosted"
    overwrite: bool = True
    trees: int = 100
    depth: int = 20
    leaves: int = 15
    learning_rate: float = 0.08
    held_out: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.trees <= 10_000 or not 1 <= self.depth <= 100 or not 2 <= self.leaves <= 1000:
            raise InputError(
                f"simulator.trees {self.trees}, depth {self.depth}, leaves {self.leaves}: "
                "give 1 to 10,000 trees, a depth of 1 to 100, 2 to 1,000 leaves"
            )
        if not 0 < self.learning_rate <= 1 or not 0 <= self.held_out < 1 or self.seed < 0:
            raise InputError(
                f"simulator.learning_rate {self.learning_rate:g}, held_out {self.held_out:g}, "
                f"seed {self.seed}: give above 0 to 1, 0 to less than 1, 0 or more"
            )
