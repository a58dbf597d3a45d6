"""The simulator in the output of its stage, and its tables."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flows.configuration.settings import Settings
    from metis.problem.oracle import Oracle
    from metis.problem.tables import Tables
    from metis.simulate.model_oracle import ModelOracle
    from metis.simulate.simulator import FittedSimulator

FILE = "simulator.npz"
# in its place where co-locations are too many to tabulate: the truth, or what was fitted
ORACLE, LOWRANK = "oracle.npz", "lowrank.npz"
MODELS = {  # what was fitted, and the class that it is read as
    LOWRANK: "metis.simulate.lowrank_oracle:LowRankOracle",
    "processes.npz": "metis.simulate.process_oracle:ProcessOracle",
    "trees.npz": "metis.simulate.tree_oracle:TreeOracle",
}


def fitted_in(folder: Path) -> "FittedSimulator":
    """Return the simulator in the output of stage simulator."""
    from metis.simulate.simulator import FittedSimulator

    return FittedSimulator.load(folder / FILE)


def model_file(oracle: "ModelOracle") -> str:
    """Return the name of the file that a fitted oracle is written to."""
    own = f"{type(oracle).__module__}:{type(oracle).__name__}"
    return next(name for name, at in MODELS.items() if at == own)


def known_in(folder: Path) -> "FittedSimulator | Oracle":
    """Return the simulator in the output of its stage; an oracle where co-locations are too many."""
    if (folder / ORACLE).is_file():
        from metis.measure.synthetic import SyntheticOracle

        return SyntheticOracle.load(folder / ORACLE)
    for name, at in MODELS.items():
        if (folder / name).is_file():
            module, _, kind = at.partition(":")
            model: Oracle = getattr(import_module(module), kind).load(folder / name)
            return model
    return fitted_in(folder)


def tables_of(known: "FittedSimulator | Oracle") -> "Tables | Oracle":
    """Return the tables of a simulator, or the oracle as it is."""
    from metis.simulate.simulator import FittedSimulator

    return known.tables if isinstance(known, FittedSimulator) else known


def notes_on(known: "FittedSimulator | Oracle", settings: "Settings") -> list[str]:
    """Return what a person should know of placing by a simulator under some settings, a sentence each."""
    from flows.configuration.objects import rows_taken
    from metis.problem.oracle import types_of

    tables = tables_of(known)
    types, taken = types_of(tables), rows_taken(settings, tables.space.apps)
    found = [taken] if taken else []
    if types and not settings.stated:
        found.append(
            f"the profile distinguishes types of nodes ({', '.join(types)}), the settings do not: each node "
            "counts as one of a type that was not measured; give cluster.types"
        )
    return found


def tables_in(folder: Path) -> "Tables":
    """Return the tables of the simulator in the output of stage simulator.

    Raises:
        InputError: co-locations are too many to tabulate.
    """
    if any((folder / name).is_file() for name in (ORACLE, *MODELS)):
        tables_of(known_in(folder)).space.require_tables()
    return fitted_in(folder).tables
