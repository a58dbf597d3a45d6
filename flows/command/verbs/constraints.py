"""Find the interference constraints of a profile, as Medea and Paragon use them.

metis constraints profile=file profile.path=my.npz
metis constraints constraints.threshold=0.2 out=FOLDER     also write the two published tables there
"""

import shutil
from pathlib import Path
from typing import Any

from flows.command.request import Request, Verb
from flows.command.result import Line, Result, Table
from flows.engine.work import read_json
from flows.stages.chain import open_memo
from metis.errors import SurroundingsError

COLUMNS = ("application", "on its node", "weight", "rps beside 0, 1, ...")


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    with request.progress() as progress:
        folder = open_memo(settings, progress, request.command).obtain("constraints").folder
    rows = read_json(folder / "constraints.json")
    written = _write(folder, Path(settings.out)) if settings.out else []
    cells = [[_cell(row[column]) for column in COLUMNS] for row in rows]
    table = Table(f"{len(rows)} constraints", COLUMNS, cells)
    return Result(
        {"constraints": rows, "written": written}, [table, *(Line(f"written: {path}") for path in written)]
    )


def _write(folder: Path, out: Path) -> list[str]:
    try:
        out.mkdir(parents=True, exist_ok=True)
        tables = sorted(folder.glob("interference_*.csv"))
        return [str(shutil.copy(table, out / table.name)) for table in tables]
    except OSError as error:
        raise SurroundingsError(f"{out}: cannot be written ({error.strerror})") from None


def _cell(value: Any) -> str:
    return " ".join(f"{number:.2f}" for number in value) if isinstance(value, list) else str(value)


VERB = Verb(run, settings=("out",), stages=("constraints",), site=True)
