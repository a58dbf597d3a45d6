"""Find the interference constraints of a profile, as Medea and Paragon use them.

metis constraints profile=file profile.path=my.npz
metis constraints constraints.threshold=0.2 out=FOLDER     also write the two published tables there
"""

from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from baselines.constraints import constraints_of
from flows.compose import compose_plain
from flows.console import stdout
from flows.materials import fitted_simulator
from flows.output import only_json
from flows.settings import validated


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        tables = fitted_simulator(settings).tables
        found = constraints_of(tables, settings.constraints.made())
        written = [str(path) for path in found.write(Path(settings.out))] if settings.out else []
        if settings.output == "json":
            answer({"constraints": found.rows(), "written": written})
            return 0
        rows = found.rows()
        table = Table(title=f"{len(found)} constraints", title_justify="left", title_style="bold")
        for heading in rows[0] if rows else ():
            table.add_column(str(heading))
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        stdout.print(table)
        for path in written:
            stdout.print(f"written: {path}", markup=False, soft_wrap=True)
    return 0


def _cell(value: object) -> str:
    return " ".join(f"{number:.2f}" for number in value) if isinstance(value, list) else str(value)
