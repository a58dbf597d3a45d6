"""Stage constraints: the interference constraints that Medea and Paragon are built on."""

import shutil
from pathlib import Path

from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.work import Work
from flows.placing.tables import tables_in
from flows.stages.shared import asks_for

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


def has_constraints(settings: Settings) -> bool:
    """Whether they are found: not where co-locations are too many to tabulate."""
    return not settings.wide or asks_for(settings, "constraints")


STAGE = Stage(
    name="constraints",
    about="Find the interference constraints that Medea and Paragon place by.",
    run=run,
    settings=("constraints",),
    inputs=("simulator",),
    modules=("baselines.constraints", "baselines.pairwise"),
    present=has_constraints,
)
