"""Stage constraints: the interference constraints that Medea and Paragon are built on."""

import shutil
from pathlib import Path

from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.placing.tables import tables_in

APPLIST = "interference_applist.csv"


def run(work: Work) -> None:
    """Write the two published tables, and all constraints as `constraints.json`."""
    from baselines.constraints import constraints_of

    tables = tables_in(work.inputs["simulator"])
    chosen = work.settings.constraints
    found = constraints_of(tables, chosen)
    if chosen.path:
        shutil.copyfile(Path(chosen.path), work.folder / APPLIST)  # read above, so known to be sound
    else:
        found.write(work.folder)
    work.write_json("constraints.json", found.rows())
    work.recording.metrics({"constraints": len(found)})


STAGE = Stage(
    name="constraints",
    about="Find the interference constraints that Medea and Paragon place by.",
    run=run,
    settings=("constraints",),
    inputs=("simulator",),
    modules=("baselines.constraints", "baselines.pairwise"),
)
