"""Stage report: one self-contained page of tables and figures."""

from collections.abc import Mapping

import pandas as pd

from baselines.constraints import read_constraints
from flows.configuration.objects import make_cluster, make_groups, make_objective
from flows.engine.work import Work, read_json
from flows.placing.decisions import OPTIMUM
from flows.report import ReportData, Section, write_report
from flows.report.explanation import explained_section
from flows.report.exploration import exploration_section
from flows.stages.constraints import APPLIST
from flows.stages.evaluate import read_decisions
from metis.problem.cluster import Cluster
from metis.problem.counts import IntArray
from metis.problem.evaluation import evaluate
from metis.problem.tables import Tables
from metis.simulate.simulator import FittedSimulator


def run(work: Work) -> None:
    """Write `report.html`."""
    settings = work.settings
    fitted = FittedSimulator.load(work.inputs["simulator"] / "simulator.npz")
    tables = fitted.tables
    groups = make_groups(settings, tables.space.apps)
    results = pd.read_csv(work.inputs["evaluate"] / "results.csv")
    cluster = make_cluster(settings, tables.space)
    worth = make_objective(settings).bind(groups[0], cluster, tables)
    decisions = read_decisions(work)
    example = {name: decided.placements[0] for name, decided in decisions.items()}
    containers = {
        name: evaluate(placement, cluster, tables, worth).container_rps for name, placement in example.items()
    }
    described = read_json(work.inputs["profile"] / "profile.json")
    data = ReportData(
        title="Where to place long-running containers",
        subtitle=_subtitle(work, groups, tables.space.slots),
        facts=_facts(work, described, fitted.report),
        apps=tables.space.apps,
        results=results,
        placements={name: placement + cluster.existing for name, placement in example.items()},
        container_rps=containers,
        command=work.command,
        sections=[*_explained(work, results, example, tables, cluster), *_explored(work)],
    )
    write_report(data, work.folder / "report.html")


def _explained(
    work: Work, results: pd.DataFrame, example: Mapping[str, IntArray], tables: Tables, cluster: Cluster
) -> list[Section]:
    """The section that explains the placement of the best scheduler, the optimum aside."""
    others = results[results["scheduler"] != OPTIMUM]
    values = (others if len(others) else results).groupby("scheduler", sort=False)["value"].mean()
    best = str(values.idxmax())
    path = work.inputs["constraints"] / APPLIST
    constraints = read_constraints(path, tables.space.apps, tables.space.slots)
    violated = constraints.node_extents(example[best], cluster)
    return [explained_section(best, example[best], cluster, tables, violated)]


def _explored(work: Work) -> list[Section]:
    """What exploring bought, where the profile comes from it."""
    folder = work.inputs.get("explore")
    if folder is None:
        return []
    path = folder / "calibration.csv"
    calibration = pd.read_csv(path) if path.is_file() else None
    measured = read_json(folder / "measured.json")["measured"]
    return [exploration_section(pd.read_csv(folder / "history.csv"), measured, calibration)]


def _subtitle(work: Work, groups: IntArray, slots: int) -> str:
    sizes = sorted({int(group.sum()) for group in groups})
    size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    nodes, objective = work.settings.cluster.nodes, work.settings.objective.kind
    return f"{nodes} nodes of {slots} slots, {len(groups)} groups of {size} containers, objective {objective}"


def _facts(work: Work, described: dict[str, object], fit: dict[str, float]) -> dict[str, str]:
    settings = work.settings
    quality = f", R² {fit['r2']:.4f} on rows held out" if "r2" in fit else ", exact where measured"
    return {
        "profile": f"{described['colocations']:,} of {described['space']:,} co-locations measured "
        f"({described.get('source', 'file')})",
        "simulator": f"{settings.simulator.made().kind}{quality}",
        "testbed": settings.testbed.path or f"{settings.testbed.kind}, noise {settings.testbed.noise:g}",
        "seed": str(settings.seed),
        "MLflow run": work.recording.run_id,
    }
