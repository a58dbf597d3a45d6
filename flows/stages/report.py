"""Stage report: one self-contained page of tables and figures."""

from collections.abc import Mapping
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from flows.configuration.objects import knows_truth, make_cluster, make_groups, make_truth
from flows.configuration.settings import Settings
from flows.engine.declaration import Stage
from flows.engine.links import run_link, ui_address
from flows.engine.provenance import machine, provenance
from flows.engine.secrets import masked
from flows.engine.work import Work, read_json
from flows.placing.tables import known_in, tables_of
from flows.stages.constraints import APPLIST, has_constraints
from flows.stages.evaluate import placing_steps, read_decisions, read_notes, read_results
from flows.stages.rebalance import RESULT, has_moves
from flows.stages.sample import has_sample, in_words
from flows.stages.shared import PROBLEM, TESTBED, is_profiled, packaged_coefficients
from flows.stages.week import has_week, read_week
from metis.problem.counts import IntArray
from metis.problem.oracle import Oracle, worth_of
from metis.problem.tables import Tables
from metis.wording import amount

if TYPE_CHECKING:
    import pandas as pd

    from flows.placing.decisions import Decisions
    from flows.report import ReportData, ReportSection
    from metis.problem.cluster import Cluster

PAGE = "report.html"
MOST_SPENT = 3  # steps whose CPU seconds the footer names


def run(work: Work) -> None:
    """Write `report.html`."""
    from flows.report import write_report

    write_report(report_data(work), work.folder / PAGE)


def report_data(work: Work) -> "ReportData":
    """Return what the page shows."""
    from flows.placing.decisions import cluster_before
    from flows.report import ReportData
    from flows.report.data import read_as_truth
    from metis.problem.evaluation import evaluate

    settings = work.settings
    tables = tables_of(known_in(work.inputs["simulator"]))
    fit = read_json(work.inputs["simulator"] / "report.json")
    groups = make_groups(settings, tables.space.apps)
    results = read_results(work.inputs["evaluate"])
    exact = settings.simulator.kind == "testbed"
    if exact:
        results = read_as_truth(results)
    cluster = make_cluster(settings, tables.space)
    truth = make_truth(settings) if work.derived["truth"] else None
    judging = tables if truth is None else truth
    worth = worth_of(settings.objective, groups[0], cluster, judging)
    decisions = read_decisions(work.inputs)
    containers = {
        name: [
            evaluate(new, cluster_before(decided, i, settings, tables), judging, worth).container_rps
            for i, new in enumerate(decided.placements)
        ]
        for name, decided in decisions.items()
    }
    example = {name: decided.placements[0] for name, decided in decisions.items()}
    described = _described(work)
    return ReportData(
        title="Where to place long-running containers",
        subtitle=_subtitle(settings, groups, tables.space.slots),
        facts=_facts(settings, described, fit),
        apps=tables.space.apps,
        results=results,
        placements={name: placement + cluster.existing for name, placement in example.items()},
        container_rps=containers,
        command=masked(work.command),
        sections=[
            *_explained(work, results, example, judging, cluster, true=exact or truth is not None),
            *_nodes(work, results, decisions, groups[0], cluster, tables),
            *_explored(work),
            *_circumstances(described or {}),
            *_sample(work),
            *_moves(work),
            *_week(work),
        ],
        made=_made(work),
        notes=read_notes(work.inputs["evaluate"]),
    )


def _described(work: Work) -> Mapping[str, Any] | None:
    """Return what is known of the profile; None where schedulers read the truth, and nothing is profiled."""
    folder = work.inputs.get("profile")
    return None if folder is None else dict(read_json(folder / "profile.json"))


def _made(work: Work) -> dict[str, str]:
    """Return what differs each time the page is made; no part of the key of this stage.

    Returns:
        Texts by name, for the page's footer.
    """
    known = provenance()
    spent = {name: seconds for name, seconds in work.spent.items() if seconds == seconds}
    most = sorted(spent, key=lambda name: -spent[name])[:MOST_SPENT]
    steps = ", ".join(f"{name} {spent[name]:.1f}" for name in most)
    run = work.recording.run_id
    return {
        "commit": known.get("metis.commit", "unknown: not run from a checkout"),
        "version": f"metis {known['metis.version']}",
        "date": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "machine": machine(),
        "CPU seconds": f"{sum(spent.values()):.1f} in {len(spent)} steps, most in {steps}"
        if spent
        else "unknown",
        "MLflow run": run,
        "in MLflow (metis ui)": run_link(work.settings.tracking, work.recording.experiment, run),
    }


def _nodes(
    work: Work,
    results: "pd.DataFrame",
    decisions: "Mapping[str, Decisions]",
    group: IntArray,
    cluster: "Cluster",
    tables: "Tables | Oracle",
) -> "list[ReportSection]":
    """Return the section on nodes that differ, as the best scheduler uses them; none where all are alike."""
    if cluster.stated is None:
        return []
    from flows.placing.stated import stated_of
    from flows.placing.wide import Bound, known_bound
    from flows.report.nodes import nodes_section
    from flows.report.words import best_rival

    best = best_rival(results)
    bound = known_bound(decisions, 0) or Bound(0.0, "")
    stated = stated_of(decisions[best].placements[0], group, cluster, tables, bound, work.settings)
    assert stated is not None  # as the cluster is
    return [nodes_section(best, stated.heads, stated.uses(), stated.lines(), stated.gains())]


def _explained(
    work: Work,
    results: "pd.DataFrame",
    example: Mapping[str, IntArray],
    tables: "Tables | Oracle",
    cluster: "Cluster",
    *,
    true: bool,
) -> "list[ReportSection]":
    """Return the section that explains the placement of the best scheduler, the optimum aside.

    None where co-locations are too many to tabulate, and with them the constraints that it may violate.
    """
    if "constraints" not in work.inputs:
        return []
    assert isinstance(tables, Tables)
    from baselines.constraints import read_constraints
    from flows.report.explanation import explained_section
    from flows.report.words import best_rival

    best = best_rival(results)
    path = work.inputs["constraints"] / APPLIST
    constraints = read_constraints(path, tables.space.apps, tables.space.slots)
    violated = constraints.node_extents(example[best], cluster)
    return [explained_section(best, example[best], cluster, tables, violated, true=true)]


def _explored(work: Work) -> "list[ReportSection]":
    """Return the section on the exploration, where the profile comes from one."""
    folder = work.inputs.get("explore")
    if folder is None:
        return []
    import pandas as pd

    from flows.report.exploration import exploration_section

    path = folder / "calibration.csv"
    calibration = pd.read_csv(path) if path.is_file() else None
    measured = read_json(folder / "measured.json")["measured"]
    return [exploration_section(pd.read_csv(folder / "history.csv"), measured, calibration)]


def _circumstances(described: Mapping[str, Any]) -> "list[ReportSection]":
    """Return the section on what else went on while measuring, where that is known."""
    from flows.report.circumstances import circumstances_section

    if "circumstances" not in described:
        return []
    return [circumstances_section(described["circumstances"], described.get("not_available", ()))]


def _sample(work: Work) -> "list[ReportSection]":
    """Return the section on the paper's way to profile, where it was tried beside the exploration."""
    from flows.report import ReportSection

    folder = work.inputs.get("sample")
    if folder is None:
        return []
    return [ReportSection("A random share instead", f"<p>{escape(in_words(folder))}</p>")]


def _moves(work: Work) -> "list[ReportSection]":
    """Return the section on few moves, where what runs was rebalanced."""
    from flows.report.frontier import frontier_section

    folder = work.inputs.get("rebalance")
    return [] if folder is None else [frontier_section(read_json(folder / RESULT))]


def _week(work: Work) -> "list[ReportSection]":
    """Return the section on a simulated week, where there was one."""
    from flows.report.week import week_section

    folder = work.inputs.get("week")
    return [] if folder is None else [week_section(read_week(folder))]


def _subtitle(settings: Settings, groups: IntArray, slots: int) -> str:
    sizes = sorted({int(group.sum()) for group in groups})
    size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    nodes, objective = settings.cluster.nodes, settings.objective.kind
    cluster, counted = f"{amount(nodes, 'node')} of {amount(slots, 'slot')}", amount(len(groups), "group")
    return f"{cluster}, {counted} of {size} containers, objective {objective}"


def _facts(
    settings: Settings, described: Mapping[str, Any] | None, fit: Mapping[str, float]
) -> dict[str, str]:
    quality = ", exact where measured"
    if described is None:
        quality = ": the truth, nothing is predicted"
    elif "r2" in fit:
        quality = f", R² {fit['r2']:.4f} on rows held out"
    elif "coverage80" in fit:
        quality = f", {fit['coverage80']:.0%} of left-out measurements in their 80 % intervals"
    profile = "none: schedulers read the testbed itself"
    if described is not None:
        profile = (
            f"{described['colocations']:,} of {described['space']:,} co-locations measured "
            f"({described.get('source', 'file')})"
        )
    return {
        "profile": profile,
        "simulator": f"{settings.simulator.kind}{quality}",
        "testbed": settings.testbed.path or f"{settings.testbed.kind}, noise {settings.testbed.noise:g}",
        "seeds": f"seed {settings.seed}; " + ", ".join(f"{name} {seed}" for name, seed in _seeds(settings)),
    }


def _seeds(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("groups.seed", settings.groups.seed),
        ("profile.seed", settings.profile.seed),
        ("simulator.seed", settings.simulator.seed),
    ]


def _inputs(settings: Settings, part: str) -> tuple[str, ...]:
    del part
    profile = ("profile",) if is_profiled(settings) else ()
    explored = ("explore",) if profile and settings.profile.explored else ()
    sample = ("sample",) if has_sample(settings) else ()
    moves = ("rebalance",) if has_moves(settings) else ()
    week = ("week",) if has_week(settings) else ()
    constraints = ("constraints",) if has_constraints(settings) else ()
    placed = (*placing_steps(settings), "evaluate")
    return ("simulator", *profile, *constraints, *placed, *explored, *sample, *moves, *week)


def _mlflow(settings: Settings) -> str:
    return ui_address(settings.tracking)


STAGE = Stage(
    name="report",
    about="Write the page of tables and figures.",
    run=run,
    settings=(*PROBLEM, *TESTBED, "optimum", "simulator.kind", "seed"),
    # that of the profile and of the simulator are in the keys of what this reads
    unkeyed=("profile.seed", "simulator.seed", "tracking.port", "tracking.uri", "tracking.ui"),
    # a page links to MLflow: one of another address or port is another page
    derived={"truth": knows_truth, "coefficients": packaged_coefficients, "mlflow": _mlflow},
    inputs=_inputs,
    modules=(
        "flows.report",
        "flows.report.explanation",
        "flows.report.exploration",
        "flows.report.frontier",
        "flows.report.week",
    ),
    doing="written",
)
