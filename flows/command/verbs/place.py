"""Place one group.

metis place group.counts=[27,32,12,37,30,34,28] cluster.nodes=81 scheduler=optimum
metis place 'group.counts={Redis:10,MMS:20}' cluster.nodes=9 out=plan.json    explain, deploy, export read it
metis place group.size=60 existing=plan.json profile=file profile.path=my.npz output=json
metis place problem=FOLDER seconds=300 out=plan.csv     nodes.csv, apps.csv, rules.yaml, existing.csv
metis place problem=FOLDER arrivals.staying=true out=plan.csv     arrivals.csv: each container as it arrives
metis place problem=FOLDER profile=file profile.path=my.npz scheduler=columns     by measured interference

With `existing=` (a file, or the id of an MLflow run) the group is placed beside what runs already: the plan
of `out=` then holds both, while output=json prints the new containers alone. On a live
cluster what others run on its nodes takes slots, and nodes that are drained, paused or down get nothing.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flows.command.placed import SPREAD, Placed, place
from flows.command.request import Request, Verb
from flows.command.result import Column, Facts, Line, Result, Table, View
from flows.command.stated import stated_views
from flows.placing.known import unmeasured_line
from flows.stages.chain import open_memo
from metis.errors import InputError
from metis.problem.counts import IntArray, describe_colocation

ENDINGS = (".json", ".csv", ".npz")


def run(request: Request) -> Result:
    """See the module's text."""
    settings = request.settings
    if settings.problem is not None:
        from flows.command.problem_folder import by_worth, placed_problem, stated_in_folder

        if not by_worth(request.overrides):
            return placed_problem(request)
        settings = stated_in_folder(request)
    else:
        refuse_without_problem(request)
    if settings.out and Path(settings.out).suffix not in ENDINGS:
        raise InputError(
            f"out {settings.out!r}: a placement is read again by its ending; use {', '.join(ENDINGS)}"
        )
    with request.progress() as progress:
        memo = open_memo(settings, progress, request.command)
        placed = place(memo, chosen=request.typed("scheduler"))
    document, views = placed.document, _views(placed)
    if settings.out:
        placed.save(Path(settings.out))
        document["out"] = settings.out
        before = int(placed.before.sum())
        held = f", with the {before} containers that ran before" if before else ""
        views.append(Line(f"written: {settings.out}{held}"))
    return Result(document, views)


def refuse_without_problem(request: Request) -> None:
    """Refuse settings that only a problem folder gives an effect.

    Raises:
        InputError: names the setting.
    """
    for word in request.overrides:
        key = word.partition("=")[0].lstrip("+~")
        if key.partition(".")[0] in ("seconds", "load_cost", "arrivals"):
            raise InputError(f"{key}: has no effect without problem=FOLDER")


def _views(placed: Placed) -> list[View]:
    found, cluster = placed.document, placed.cluster
    told_apart = placed.stated is not None and bool(placed.stated.measured)
    where = " on the best type of node" if told_apart else ""
    facts = {
        "mean RPS": f"{found['rps']:.4f} of stand-alone{where}",
        **_error_facts(placed),
        "objective": f"{found['objective']}: {found['value']:.4f}, {found['bound']:.4f} at most",
        "gap": f"{found['gap']:.3%}" + (f", bound {placed.bound_kind}" if placed.bound_kind else ""),
        "seconds": f"{found['seconds']:.4f}, {found['cpu_seconds']:.4f} of CPU",
        "free nodes": f"{found['free_nodes']} of {cluster.nodes}",
        "SLO": ", ".join(f"{share:.1%} at {level}" for level, share in found["slo"].items()),
    }
    types = _types(placed) if told_apart else [""] * len(placed.placement)
    columns, rows = _alike(placed.placement, placed.before, cluster.space.apps, types)
    return [
        Facts(f"Placement by {found['scheduler']}", facts),
        Table("Nodes", columns, rows),
        *(stated_views(placed.stated) if placed.stated else []),
        *(Line(f"in the way: {line}") for line in placed.room.notes),
        *(Line(unmeasured_line(placed.unmeasured), "red") for _ in placed.unmeasured[:1]),
        Line("output=json prints the placement node by node, out=plan.json writes it", "dim"),
    ]


def _types(placed: Placed) -> list[str]:
    """Return the name of the type of each node."""
    stated = placed.cluster.stated
    assert stated is not None  # where types are distinguished
    return [stated.types[t] for t in stated.type_of]


def _alike(
    new: IntArray, before: IntArray, apps: tuple[str, ...], types: Sequence[str]
) -> tuple[list[Column | str], list[list[str]]]:
    """Return columns and rows of what nodes hold, and of what is new on them where something ran before.

    Args:
        new: containers, int [nodes, apps].
        before: those that ran, int [nodes, apps].
        apps: names of the applications.
        types: names of the types of the nodes, all empty where it does not matter.
    """
    heads: list[Column | str] = [Column("nodes", right=True), "type", "each holds", "of these new"]
    shown = [True, any(types), True, bool(before.any())]
    both = Counter(
        (of, describe_colocation(total, apps), describe_colocation(added, apps) if added.any() else "")
        for of, total, added in zip(types, new + before, new, strict=True)
    )
    rows = [[str(nodes), *cells] for cells, nodes in both.most_common()]
    columns = [head for head, there in zip(heads, shown, strict=True) if there]
    return columns, [[cell for cell, there in zip(row, shown, strict=True) if there] for row in rows]


def _error_facts(placed: Placed) -> dict[str, str]:
    sign = "\N{PLUS-MINUS SIGN}"
    if placed.error is None:
        return {}
    facts = {"simulator's error": f"{sign}{placed.error:.4f} of the objective (95 %)"}
    if placed.gain is not None:
        gain, half = placed.gain
        within = ": predicted gain within the simulator's error" if abs(gain) <= half else ""
        facts[f"gain over {SPREAD}"] = f"{gain:+.1%} {sign} {half:.1%}{within}"
    return facts


VERB = Verb(
    run,
    settings=(
        *("scheduler", "out", "existing", "group", "groups", "cluster.nodes", "rules", "objective"),
        *("problem", "seconds", "load_cost", "arrivals"),
    ),
    stages=("simulator", "subscheduler", "highlevel", "baselines"),
    site=True,
    one_group=True,
)
