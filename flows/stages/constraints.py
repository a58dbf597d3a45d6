"""Stage constraints: the interference constraints that Medea and Paragon live on."""

import shutil
from pathlib import Path

from baselines.registry import Materials, constraints_of
from flows.engine.work import Work
from metis.simulate.simulator import FittedSimulator

APPLIST = "interference_applist.csv"


def run(work: Work) -> None:
    """Write the two published tables, and all constraints as `constraints.json`."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    chosen = work.settings.constraints
    options = {"constraints": chosen.model_dump(mode="json")}
    found = constraints_of(Materials(tables, options))
    if chosen.path:
        shutil.copyfile(Path(chosen.path), work.folder / APPLIST)  # read above, so known to be sound
    else:
        found.write(work.folder)
    work.write_json("constraints.json", found.rows())
    work.recording.metrics({"constraints": len(found)})
