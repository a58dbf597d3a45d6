"""Read a published problem and write it as a folder that `metis place problem=FOLDER` reads.

metis import tianchi DIR out=problem     Alibaba's containers of 2018: 9,338 applications, 6,000 machines

Writes nodes.csv, apps.csv and rules.yaml, all containers to be placed anew, and what runs at first as
initial.csv, which nothing reads by itself.
"""

from pathlib import Path

from flows.command.request import Request, Verb
from flows.command.result import Facts, Result
from metis.errors import InputError
from metis.inputs.names import meant

SOURCES = ("tianchi",)
INITIAL = "initial.csv"


def run(request: Request) -> Result:
    """See the module's text."""
    from metis.problem.folders import write_problem, write_rows
    from metis.problem.tianchi import read_tianchi

    if len(request.words) != 2:
        raise InputError(
            "import: name the source and its folder, as in `metis import tianchi DIR out=problem`"
        )
    source, folder = request.words
    if source not in SOURCES:
        raise InputError(f"import {source}: is no source; {meant(source, SOURCES)}")
    target = Path(request.settings.out or "problem")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: exists and is not empty; name another out=")
    statement, at_first = read_tianchi(Path(folder))
    write_problem(target, statement)
    write_rows(target / INITIAL, statement, at_first)
    counted = {
        "applications": len(statement.apps),
        "containers": int(statement.demand.sum()),
        "nodes": len(statement.nodes),
        "rules": len(statement.beside),
        "running at first": int(at_first[:, 2].sum()),
    }
    facts = Facts(f"{folder} → {target}", {name: f"{count:,}" for name, count in counted.items()})
    return Result({**counted, "path": str(target)}, [facts])


VERB = Verb(run, settings=("out",), words=2)
