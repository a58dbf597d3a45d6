"""Problem folders for `metis place problem=FOLDER`: by load, or by what co-locations are worth."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.command.problem_arrivals import placed_arrivals
from flows.command.request import Request
from flows.command.result import Facts, Line, Result, View
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.work import Progress
from metis.errors import InputError
from metis.problem.arrivals import ARRIVALS, has_arrivals
from metis.problem.folders import read_problem, write_rows
from metis.problem.statement import SLOTS, Statement
from metis.program.packing import Packed, pack
from metis.wording import amount

SECONDS = 60.0  # where none are given
WORTH = ("testbed", "profile", "simulator", "scheduler", "objective", "columns", "apps", "experiment")
OF_PACKING = ("seconds", "load_cost", "arrivals")
STATED = ("group", "groups", "rules", "cluster", "existing")
READS = ("problem", "seconds", "load_cost", "out", "output", "seed", "tracking")


def by_worth(overrides: Sequence[str]) -> bool:
    """Whether overrides say what co-locations are worth; else nodes cost by their load."""
    return any(_section(word) in WORTH for word in overrides)


def stated_in_folder(request: Request, *besides: str) -> Settings:
    """Return the settings of a request with nodes, slots and rules as its problem folder states them.

    Args:
        request: whose settings name the folder.
        besides: sections that may be given with it.

    Raises:
        InputError: an override that the folder leaves no effect, or the folder is not as described.
    """
    settings = request.settings
    for word in request.overrides:
        key = word.partition("=")[0].lstrip("+~")
        if _section(word) in OF_PACKING:
            raise InputError(f"{key}: has no effect {_leaving_packing(request.overrides)}")
        if (_section(word) in STATED and _section(word) not in besides) or key == "apps.requests":
            raise InputError(f"{key}: has no effect with problem=; the folder says it")
    folder = Path(settings.problem or "")
    if has_arrivals(folder):
        raise InputError(
            f"{folder}: has {ARRIVALS}: `metis place problem=` alone places containers as they arrive"
        )
    statement = read_problem(folder)
    slots = settings.cluster.slots
    if SLOTS in statement.dimensions:
        slots = int(statement.capacity[:, statement.dimensions.index(SLOTS)].max())
    cluster = replace(settings.cluster, nodes=len(statement.nodes), slots=slots)
    return replace(settings, cluster=cluster, rules=statement.rules)


def _leaving_packing(overrides: Sequence[str]) -> str:
    """Return the words by which a folder is not packed by load."""
    keys = [word.partition("=")[0].lstrip("+~") for word in overrides if _section(word) in WORTH]
    return (
        f"with {' and '.join(f'{key}=' for key in keys)}: that places by what co-locations are worth, "
        "and does not pack by load"
    )


def _section(word: str) -> str:
    return word.partition("=")[0].lstrip("+~").partition(".")[0]


def placed_problem(request: Request) -> Result:
    """Place the containers of a problem folder; see `metis place --help`.

    Raises:
        InputError: an override that has no effect on a problem folder, or the folder is not as described.
    """
    settings = request.settings
    if settings.out and Path(settings.out).suffix.lower() != ".csv":
        raise InputError(
            f"out={settings.out}: rows of node, app and count are written as CSV; end it in .csv"
        )
    folder = Path(settings.problem or "")
    statement = read_problem(folder)
    if has_arrivals(folder):
        return placed_arrivals(request, statement)
    _refuse_others(request.overrides)
    statement.resource(settings.load_cost.resource)
    seconds = settings.seconds or SECONDS
    say(
        f"  {amount(len(statement.apps), 'application')}, {amount(statement.demand.sum(), 'container')}, "
        f"{amount(len(statement.nodes), 'node')}, {amount(len(statement.beside), 'rule')} on neighbours"
    )
    with request.progress() as progress:
        packed = pack(statement, settings.load_cost, seconds, settings.seed, _reporting(progress, seconds))
    document, views = _document(statement, packed), _views(packed, len(statement.nodes))
    if settings.out:
        write_rows(Path(settings.out), statement, packed.rows)
        document["out"] = settings.out
        views.append(Line(f"written: {settings.out}"))
    else:
        views.append(Line("out=plan.csv writes the placement, output=json prints it", "dim"))
    return Result(document, views)


def _refuse_others(overrides: Sequence[str]) -> None:
    for word in overrides:
        key = word.partition("=")[0].lstrip("+~")
        if _section(word) == "arrivals":
            raise InputError(f"{key}: has no effect without {ARRIVALS} in the problem's folder")
        if _section(word) not in READS:
            raise InputError(
                f"{key}: has no effect with problem=; it reads {', '.join(READS[:3])} and out, and with a "
                "profile or testbed what place reads of them"
            )


def _reporting(progress: Progress, seconds: float) -> Any:
    def report(cost: float, bound: float, left: float) -> None:
        progress("placing", int(seconds - left), int(seconds), f" s, {cost / bound - 1:.2%} above the bound")

    return report


def _document(statement: Statement, packed: Packed) -> dict[str, Any]:
    held: dict[str, dict[str, int]] = {}
    for node, app, count in packed.rows.tolist():
        held.setdefault(statement.nodes[node], {})[statement.apps[app]] = count
    return {
        "cost": packed.cost,
        "bound": packed.bound,
        "bound_kind": "proven",
        "gap": packed.cost / packed.bound - 1,
        "nodes_used": packed.nodes,
        "seconds": packed.seconds,
        "cpu_seconds": packed.cpu_seconds,
        "placement": held,
    }


def _views(packed: Packed, nodes: int) -> list[View]:
    facts = {
        "cost": f"{packed.cost:,.2f}, at least {packed.bound:,.2f} (proven)",
        "above the bound": f"{packed.cost / packed.bound - 1:.2%}",
        "nodes in use": f"{packed.nodes:,} of {nodes:,}",
        "seconds": f"{packed.seconds:.1f}, {packed.cpu_seconds:.1f} of CPU",
    }
    return [Facts("Placement by packing", facts)]
