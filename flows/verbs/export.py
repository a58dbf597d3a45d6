"""Write a placement for others: a Swarm stack file, Kubernetes manifests, or a table.

metis export placement=plan.json format=swarm out=stack.yaml          docker stack deploy -c stack.yaml apps
metis export placement=plan.json format=kubernetes out=plan.yaml      kubectl apply -f plan.yaml
metis export placement=0f3a... format=csv out=plan.csv                of an MLflow run; `existing=` reads it
metis export placement=plan.csv cluster=hosts cluster.inventory=h.yaml    for the hosts of that cluster

Nodes are called as in the cluster's inventory, else as in the table's column `node`, else node-1, node-2, ...
Without out= it is printed.
"""

from collections.abc import Sequence
from pathlib import Path

from cluster.export import CSV, NODE_COLUMN, placement_csv, render_placement
from flows.build import app_names, make_testbed
from flows.cluster_state import cluster_state
from flows.compose import compose_plain
from flows.console import say
from flows.output import only_json
from flows.placements import given_placement
from flows.settings import Settings, validated
from metis.errors import InputError
from metis.files import written_whole
from metis.measure.profile import load_profile
from metis.problem.counts import IntArray
from metis.problem.space import ColocationSpace

SLOTS = 8  # of a node, where nothing says another number


def run(arguments: Sequence[str]) -> int:
    """See the module's text."""
    settings = validated(compose_plain(arguments))
    with only_json(settings.output == "json") as answer:
        space = _space(settings)
        placement = given_placement(settings, space)
        nodes, registry = _nodes(settings, len(placement))
        text = export(settings, placement, nodes, space, registry)
        if settings.out:
            with written_whole(Path(settings.out)) as file:
                file.write(text.encode())
            say(f"{settings.format}: {len(placement)} nodes, {placement.sum()} containers → {settings.out}")
        if settings.output == "json":
            answer({"format": settings.format, "nodes": list(nodes), "path": settings.out, "text": text})
        elif not settings.out:
            print(text, end="")
    return 0


def export(
    settings: Settings,
    placement: IntArray,
    nodes: Sequence[str],
    space: ColocationSpace,
    registry: str | None = None,
) -> str:
    """The placement in `settings.format`.

    Args:
        settings: format, workloads, limits.
        placement: int [nodes, apps].
        nodes: host names.
        space: its applications.
        registry: where nodes pull images from.
    """
    if settings.format == CSV:
        return placement_csv(placement, nodes, space.apps)
    from cluster.images.catalog import load_catalog

    workloads = load_catalog([Path(folder) for folder in settings.apps.workloads], space.apps)
    built, launch = settings.images.made(), settings.launch.made()
    return render_placement(settings.format, placement, nodes, workloads, built, launch, registry)


def _space(settings: Settings) -> ColocationSpace:
    """The applications that a placement's columns are: those named, of the profile, or of the testbed."""
    if settings.profile.path:
        return load_profile(Path(settings.profile.path), app_names(settings), settings.cluster.slots).space
    if settings.apps.names:
        return ColocationSpace(tuple(settings.apps.names), settings.cluster.slots or SLOTS)
    return make_testbed(settings).space


def _nodes(settings: Settings, rows: int) -> tuple[tuple[str, ...], str | None]:
    """Names for that many nodes, and the registry they pull from."""
    inventory = cluster_state(settings) / "inventory.json"
    if settings.cluster.live and inventory.is_file():
        from cluster.provision.inventory import Inventory

        known = Inventory.load(inventory)
        names = [str(known.facts.get(host.name, {}).get("hostname", host.name)) for host in known.workers]
        if rows > len(names):
            raise InputError(f"placement: has {rows} nodes, cluster {known.name!r} has {len(names)} workers")
        return tuple(names[:rows]), known.registry
    return _named_in_table(settings) or tuple(f"node-{i + 1}" for i in range(rows)), None


def _named_in_table(settings: Settings) -> tuple[str, ...] | None:
    """The column `node` of a table, where it holds names and not numbers."""
    path = Path(settings.placement or "")
    if path.suffix != ".csv":
        return None
    import pandas as pd

    frame = pd.read_csv(path, dtype={NODE_COLUMN: str})
    names = [str(name) for name in frame.get(NODE_COLUMN, [])]
    return tuple(names) if names and not all(name.isdigit() for name in names) else None
