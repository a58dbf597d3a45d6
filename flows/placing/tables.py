"""The simulator in the output of its stage, and its tables."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metis.problem.oracle import Oracle
    from metis.problem.tables import Tables
    from metis.simulate.simulator import FittedSimulator

FILE = "simulator.npz"
# in its place where co-locations are too many to tabulate: the truth, or what was fitted
ORACLE, LOWRANK = "oracle.npz", "lowrank.npz"


def fitted_in(folder: Path) -> "FittedSimulator":
    """Return the simulator in the output of stage simulator."""
    from metis.simulate.simulator import FittedSimulator

    return FittedSimulator.load(folder / FILE)


def known_in(folder: Path) -> "FittedSimulator | Oracle":
    """Return the simulator in the output of its stage; an oracle where co-locations are too many."""
    if (folder / ORACLE).is_file():
        from metis.measure.synthetic import SyntheticOracle

        return SyntheticOracle.load(folder / ORACLE)
    if (folder / LOWRANK).is_file():
        from metis.simulate.lowrank_oracle import LowRankOracle

        return LowRankOracle.load(folder / LOWRANK)
    return fitted_in(folder)


def tables_of(known: "FittedSimulator | Oracle") -> "Tables | Oracle":
    """Return the tables of a simulator, or the oracle as it is."""
    from metis.simulate.simulator import FittedSimulator

    return known.tables if isinstance(known, FittedSimulator) else known


def tables_in(folder: Path) -> "Tables":
    """Return the tables of the simulator in the output of stage simulator.

    Raises:
        InputError: co-locations are too many to tabulate.
    """
    if (folder / ORACLE).is_file() or (folder / LOWRANK).is_file():
        tables_of(known_in(folder)).space.require_tables()
    return fitted_in(folder).tables
