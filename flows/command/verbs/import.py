"""Read a published problem and write it as a folder that `metis place problem=FOLDER` reads.

metis import tianchi DIR out=problem     Alibaba's containers of 2018: 9,338 applications, 6,000 machines
metis import openb DIR out=problem       its GPU trace of 2023: 8,152 pods arrive at 1,523 nodes
metis import gavel FILE out=problem      training jobs measured alone and in pairs on three types of GPU

Writes nodes.csv, apps.csv and rules.yaml. Of tianchi all containers are to be placed anew; what runs at first
is in initial.csv, which nothing reads by itself. Of openb arrivals.csv says when each pod arrives and leaves.
Of gavel measured.csv has the measurements: `profile=file profile.path=problem/measured.csv` places by them.
"""

from pathlib import Path

from flows.command.request import Request, Verb
from flows.command.result import Facts, Result
from metis.errors import InputError
from metis.inputs.names import meant

SOURCES = ("tianchi", "openb", "gavel")
INITIAL, MEASURED = "initial.csv", "measured.csv"


def run(request: Request) -> Result:
    """See the module's text."""
    if len(request.words) != 2:
        raise InputError(
            "import: name the source and its folder or file, as in `metis import tianchi DIR out=problem`"
        )
    source, folder = request.words
    if source not in SOURCES:
        raise InputError(f"import {source}: is no source; {meant(source, SOURCES)}")
    target = Path(request.settings.out or "problem")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: exists and is not empty; name another out=")
    written = {"tianchi": _tianchi, "openb": _openb, "gavel": _gavel}[source]
    counted = written(Path(folder), target)
    facts = Facts(f"{folder} → {target}", {name: f"{count:,}" for name, count in counted.items()})
    return Result({**counted, "path": str(target)}, [facts])


def _tianchi(source: Path, target: Path) -> dict[str, int]:
    """Write the problem, and return what is counted in it."""
    from metis.problem.folders import write_problem, write_rows
    from metis.problem.tianchi import read_tianchi

    statement, at_first = read_tianchi(source)
    write_problem(target, statement)
    write_rows(target / INITIAL, statement, at_first)
    return {
        "applications": len(statement.apps),
        "containers": int(statement.demand.sum()),
        "nodes": len(statement.nodes),
        "rules": len(statement.beside),
        "running at first": int(at_first[:, 2].sum()),
    }


def _openb(source: Path, target: Path) -> dict[str, int]:
    """Write the problem, and return what is counted in it."""
    from metis.problem.arrivals import write_arrivals
    from metis.problem.folders import write_problem
    from metis.problem.openb import read_openb

    statement, arrivals = read_openb(source)
    write_problem(target, statement)
    write_arrivals(target, statement, arrivals)
    return {
        "applications": len(statement.apps),
        "containers": len(arrivals.app),
        "nodes": len(statement.nodes),
        "node types": len(statement.types),
        "rules": len(statement.rules.eligible),
    }


def _gavel(source: Path, target: Path) -> dict[str, int]:
    """Write the problem and the measurements, and return what is counted in them."""
    from metis.measure.gavel import gavel_problem, read_gavel
    from metis.problem.folders import write_problem, write_sheet

    measured = read_gavel(source)
    statement = gavel_problem(measured)
    write_problem(target, statement)
    write_sheet(target / MEASURED, measured.header, measured.rows)
    return {
        "applications": len(statement.apps),
        "containers": int(statement.demand.sum()),
        "nodes": len(statement.nodes),
        "node types": len(statement.types),
        "measurements": len(set(measured.texts("run"))),
    }


VERB = Verb(run, settings=("out",), words=2)
