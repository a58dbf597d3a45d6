"""The simulator in the output of its stage, and its tables."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metis.problem.tables import Tables
    from metis.simulate.simulator import FittedSimulator

FILE = "simulator.npz"


def fitted_in(folder: Path) -> "FittedSimulator":
    """Return the simulator in the output of stage simulator."""
    from metis.simulate.simulator import FittedSimulator

    return FittedSimulator.load(folder / FILE)


def tables_in(folder: Path) -> "Tables":
    """Return the tables of the simulator in the output of stage simulator."""
    return fitted_in(folder).tables
