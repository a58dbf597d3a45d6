"""Settings of a simulator's fit."""

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from metis.errors import InputError
from metis.settings import Seed, settings

DOUBTING = ("ensemble", "lowrank")  # kinds that know their errors


@settings("simulator")
class SimulatorSettings:
    """Which simulator is fitted, and how.

    Attributes:
        kind: `table` (exact where measured, and everything must be), `forest` (the paper's random
            forest, one per application), `boosted` (gradient boosting on log RPS, one per application),
            `ensemble` (Gaussian processes: for few rows, well chosen), `lowrank` (pressure on a few shared
            resources, and pairs that help or hurt: for many applications), `testbed` (no fit: the truth,
            where the testbed knows it, to judge schedulers alone).
        overwrite: put measured rows over predicted ones. Of many applications, where runs of one co-location
            differ, `lowrank` and `ensemble` shrink them towards the prediction.
        trees: boosting rounds, or trees of the forest.
        depth: depth of the forest's trees.
        leaves: leaves of a boosted tree.
        learning_rate: of boosting.
        noise: of `ensemble` and `lowrank`: deviation of the logarithm of a measured row; null: as runs of one
            co-location differ in the profile, 0 where none was repeated.
        caution: of the same: spreads of the belief by which schedulers see every co-location worse than
            expected, so that they prefer what is known; 0: they choose by the mean; null: 0.25 of what an
            exploration believes, 0 of a fit to a profile, where it did not help (`benchmarks/caution.py`).
        resources: of `lowrank`: that applications share.
        members: of `lowrank`: fits to rows drawn at random, whose differences are the spread.
        type_doubt: of a profile with node types: deviation of the logarithm by which one type may differ from
            others. What was not measured on a type is predicted with what was on others, worse by so much,
            and where the simulator knows its errors they are as much wider there; 0: as if measured.
        type_transfer: of a profile with node types: whether a type of which little was measured is expected
            to deviate from others as it does where it was measured (a Gaussian process over pace and
            shares), instead of doing what others do; for a type that is new, with fewer than 400 measured.
        held_out: share of the rows kept back once to report R2 and MSE; 0 to skip it.
        seed: of the fit and of the rows held out.
    """

    kind: Literal["table", "forest", "boosted", "ensemble", "lowrank", "testbed"] = "ensemble"
    overwrite: bool = True
    trees: Annotated[int, Ge(1), Le(10_000)] = 300
    depth: Annotated[int, Ge(1), Le(100)] = 20
    leaves: Annotated[int, Ge(2), Le(1000)] = 15
    learning_rate: Annotated[float, Gt(0), Le(1)] = 0.08
    noise: Annotated[float, Ge(0), Le(1)] | None = None
    caution: Annotated[float, Ge(0), Le(10)] | None = None
    resources: Annotated[int, Ge(1), Le(100)] = 6
    members: Annotated[int, Ge(1), Le(100)] = 6
    type_doubt: Annotated[float, Ge(0), Le(2)] = 0.1
    type_transfer: bool = False
    held_out: Annotated[float, Ge(0), Lt(1)] = 0.2
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.caution and self.kind not in DOUBTING:
            raise InputError(
                f"simulator.caution={self.caution:g}: a simulator of kind {self.kind} does not know its "
                f"errors; use simulator={' or '.join(DOUBTING)}"
            )
