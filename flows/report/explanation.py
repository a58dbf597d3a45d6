"""The report section that explains a placement: who helps or costs whom, and what is violated."""

from collections.abc import Mapping
from html import escape

import numpy as np

from flows.report import ReportSection
from flows.report.elements import html_table
from metis.explain import explain
from metis.problem.cluster import Cluster
from metis.problem.counts import FloatArray, IntArray
from metis.problem.tables import Tables

HEADINGS = ("nodes", "each holds", "application", "RPS", "if one of a neighbour left", "violated")


def explained_section(
    name: str,
    placement: IntArray,
    cluster: Cluster,
    tables: Tables,
    violated: Mapping[str, FloatArray],
    *,
    true: bool = False,
) -> ReportSection:
    """Explain the placement of the scheduler `name`, one row per kind of node and application.

    Args:
        name: the scheduler.
        placement: new containers, [nodes, apps].
        cluster: where.
        tables: the testbed's where `true`, else the simulator's.
        violated: extent per node of each interference constraint.
        true: whether the tables are the truth.
    """
    explanation = explain(placement, cluster, tables, violated)
    stated = cluster.stated if tables.by_type else None
    types = np.zeros(cluster.nodes, dtype=np.int64) if stated is None else stated.type_of
    kinds = np.column_stack([types, explanation.counts])
    _, first, alike = np.unique(kinds, axis=0, return_index=True, return_counts=True)
    order = np.argsort(-alike, kind="stable")
    rows = []
    for nodes, index in zip(alike[order], first[order], strict=True):
        entry = explanation.node(int(index))
        broken = ", ".join(f"{rule} ({extent:g})" for rule, extent in entry["violated"].items())
        for i, app in enumerate(entry["applications"]):
            effects = ", ".join(f"{other} {-change:+.2f}" for other, change in app["from_one"].items())
            name_of_type = f" {stated.types[types[index]]}" if stated is not None else ""
            lead = (f"{nodes}{name_of_type}", entry["holds"]) if i == 0 else ("", "")
            rows.append((*lead, app["application"], f"{app['rps']:.2f}", effects, broken if i == 0 else ""))
    total = sum(float(extents.sum()) for extents in violated.values())
    text = (
        f"<p>Group 0 alone, as {escape(name)} placed it, nodes that hold the same shown once; RPS as the "
        f"{'testbed knows' if true else 'simulator predicts'} it. The last "
        "columns say how the RPS of one container would change if one container of a neighbour left, and "
        f"which interference constraints the node breaks (extent; {total:g} over all nodes). "
        "Breaking one may be worth it: a constraint knows pairs, not the whole.</p>"
    )
    return ReportSection("Why these neighbours", text + html_table(HEADINGS, rows))
