"""A placement as a file for others: a Swarm stack, Kubernetes manifests, a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cluster.backend import BACKENDS, renderer
from cluster.images.catalog import PACKAGED, SUPPORT, Workload, image_tag
from cluster.settings import BuildSettings, ExportSettings, LaunchSettings
from cluster.spec import Layout, Node, check_placement, refuse_alike
from metis.errors import InputError
from metis.problem.counts import IntArray

CSV = "csv"
FORMATS = (*BACKENDS, CSV)
NODE_COLUMN = "node"


def render_placement(
    kind: str,
    placement: IntArray,
    nodes: Sequence[str],
    workloads: Sequence[Workload],
    images: BuildSettings,
    launch: LaunchSettings,
    settings: ExportSettings | None = None,
    origin: str | None = None,
) -> str:
    """What `kind` of backend would run for a placement, as text; nothing is started.

    Args:
        kind: a key of `cluster.backend.BACKENDS`.
        placement: int [nodes, apps].
        nodes: hostnames.
        workloads: the applications.
        images: how images are built; it decides their tags.
        launch: limits and ports.
        settings: where nodes pull images from, without which they must have them, and what is reserved.
        origin: hostname of the node where the origin of files runs; None for the first.

    Raises:
        InputError: no container, another shape, or names that the backend cannot distinguish.
    """
    apps = [one.name for one in workloads]
    check_placement(placement, nodes, apps)
    refuse_alike("application", apps)
    refuse_alike("node", nodes)
    if not np.any(placement):
        raise InputError("placement holds no container: there is nothing to run")
    chosen = settings or ExportSettings()
    beside = origin or nodes[0]
    layout = Layout(
        nodes=tuple(Node(name, name) for name in nodes),
        workloads=tuple(workloads),
        images=_references(workloads, images, chosen.registry),
        settings=launch,
        origin_node=Node(beside, beside),
        cpu_share=chosen.cpu_share,
    )
    return renderer(kind)(layout.cluster(placement))


def placement_csv(placement: IntArray, nodes: Sequence[str], apps: Sequence[str]) -> str:
    """The placement as a table: a column `node` and one per application, as `existing=` reads it."""
    check_placement(placement, nodes, apps)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow([NODE_COLUMN, *apps])
    for node, counts in zip(nodes, placement, strict=True):
        table.writerow([node, *map(int, counts)])
    return written.getvalue()


def _references(workloads: Sequence[Workload], images: BuildSettings, registry: str | None) -> dict[str, str]:
    """Tags of the images of applications and support services, as the stage build makes them."""
    folders: dict[str, Path] = {one.name: one.folder for one in workloads}
    folders |= {name: PACKAGED / name for name in SUPPORT}
    prefix = f"{registry}/" if registry else ""
    return {name: prefix + image_tag(folder, images) for name, folder in folders.items()}
