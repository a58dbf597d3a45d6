"""Measure only what pays: plan optimistically, measure what the plans use, learn, plan again.

metis explore group.size=200 groups.count=2 explore.budget=200
metis explore testbed=file testbed.path=FULL.npz groups.path=G.npz groups.rows=0:2 output=json
metis explore explore.until_gain=0.5% out=mine.npz     the profile, kept up to date; the same command goes on
metis explore newcomer=Search profile.onto=others.npz explore.budget=16     what one that joins needs

Without out= it is the stage explore of the chain: what is finished under the same settings is reused, and a
stopped exploration goes on. With out= measurements accumulate in that file, whatever the budget was before.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.command.request import Request, Verb
from flows.command.result import Column, Line, Result, Table, View
from flows.engine.work import TIMINGS, read_json
from flows.placing.exploring import explore_groups
from flows.placing.problem import check_problem
from flows.stages.chain import open_memo
from flows.stages.explore import exploration_document, explored_problem, testbed_for
from flows.stages.shared import hosts_ready
from metis.errors import InputError
from metis.wording import amount

HEADINGS = ("round", "measurements", "hours", "value", "at most", "of the true optimum", "seconds")


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    if settings.out and Path(settings.out).suffix != ".npz":
        raise InputError(f"out {settings.out!r}: a profile is read again by its ending; give a name in .npz")
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        check_problem(explored_problem(memo.settings))
        if not settings.out:
            folder = memo.obtain("explore").folder
            found = _of_folder(folder)
            return Result(
                {**found, "profile": str(folder / "profile.npz")}, _views(found, folder / "profile.npz")
            )
        inputs = {name: memo.obtain(name).folder for name in hosts_ready(settings)}
        path = Path(settings.out)
        with testbed_for(settings, inputs) as testbed:
            found = exploration_document(explore_groups(settings, testbed, path, progress))
    return Result({**found, "profile": str(path)}, _views(found, path))


def _of_folder(folder: Path) -> dict[str, Any]:
    """Return the same of the output of the stage, with the seconds of each round from beside it."""
    found: dict[str, Any] = read_json(folder / "exploration.json")
    seconds = [float(line) for line in (folder / TIMINGS).read_text().split()[1:]]
    rows = [{**row, "seconds": took} for row, took in zip(found["history"], seconds, strict=True)]
    return {**found, "history": rows, "seconds": sum(seconds)}


def _views(found: Mapping[str, Any], path: Path) -> Sequence[View]:
    rows = [_cells(row) for row in found["history"]]
    truly = f", {found['ratio']:.2%} of the true optimum" if found["ratio"] is not None else ""
    total = f"{amount(found['measurements'], 'measurement')}, {found['hours']:.1f} machine hours{truly}"
    return [
        Table("Rounds", [Column(heading, right=True) for heading in HEADINGS], rows),
        Line(f"{total}; ended: {found['ended']}"),
        *(Line(f"left out: {colocation}: {reason}") for colocation, reason in found["quarantined"].items()),
        Line(f"profile: {path}"),
    ]


def _cells(row: Mapping[str, Any]) -> list[str]:
    ratio = "unknown" if row["ratio"] is None else f"{row['ratio']:.2%}"
    numbers = [f"{row['hours']:.1f}", f"{row['value']:.4f}", f"{row['optimistic']:.4f}", ratio]
    return [str(row["round"]), str(row["measurements"]), *numbers, f"{row['seconds']:.1f}"]


VERB = Verb(
    run,
    settings=("out", "explore", "newcomer", "profile.onto"),
    stages=("explore",),
    site=True,
    implied=("demand=run",),
)
