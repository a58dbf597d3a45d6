"""Stage constraints: the interference constraints that Medea and Paragon live on."""

import shutil
from pathlib import Path

from baselines.constraints import constraints_of
from flows.work import Work
from metis.simulate.simulator import FittedSimulator

APPLIST = "interference_applist.csv"


def run(work: Work) -> None:
    """Write the two published tables, and all constraints as `constraints.json`."""
    tables = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz").tables
    chosen = work.settings.constraints.made()
    found = constraints_of(tables, chosen)
    if chosen.path:
        shutil.copyfile(Path(chosen.path), work.folder / APPLIST)  # read above, so known to be sound
    else:
        found.write(work.folder)
    work.write_json("constraints.json", found.rows())
    work.recording.metrics({"constraints": len(found)})
