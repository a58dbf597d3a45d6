"""Settings of a simulator's fit."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from metis.errors import InputError
from metis.settings import Seed, settings


@settings("simulator")
class SimulatorSettings:
    """Which simulator is fitted, and how.

    Attributes:
        kind: `table` (exact where measured, and everything must be), `forest` (the paper's random
            forest, one per application), `boosted` (gradient boosting on log RPS, one per application),
            `ensemble` (Gaussian processes: for few rows, well chosen), `testbed` (no fit: the truth, where
            the testbed knows it, to judge schedulers alone).
        overwrite: put measured rows over predicted ones.
        trees: boosting rounds, or trees of the forest.
        depth: depth of the forest's trees.
        leaves: leaves of a boosted tree.
        learning_rate: of boosting.
        noise: of the ensemble: deviation of the logarithm of a measured row; null: as runs of one co-location
            differ in the profile, 0 where none was repeated.
        caution: of the ensemble: spreads of its belief by which schedulers see every co-location worse than
            expected, so that they prefer what is known; 0: they choose by the mean; null: 0.25 of what an
            exploration believes, 0 of a fit to a profile, where it did not help (`benchmarks/caution.py`).
        held_out: share of the rows kept back once to report R2 and MSE; 0 to skip it.
        seed: of the fit and of the rows held out.
    """

    kind: Literal["table", "forest", "boosted", "ensemble", "testbed"] = "ensemble"
    overwrite: bool = True
    trees: Annotated[int, Ge(1), Le(10_000)] = 300
    depth: Annotated[int, Ge(1), Le(100)] = 20
    leaves: Annotated[int, Ge(2), Le(1000)] = 15
    learning_rate: Annotated[float, Gt(0), Le(1)] = 0.08
    noise: Annotated[float, Ge(0), Le(1)] | None = None
    caution: Annotated[float, Ge(0), Le(10)] | None = None
    held_out: Annotated[float, Ge(0), Lt(1)] = 0.2
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.caution and self.kind != "ensemble":
            raise InputError(
                f"simulator.caution={self.caution:g}: a simulator of kind {self.kind} does not know its "
                "errors; use simulator=ensemble"
            )
