"""Write a placement for others: a Swarm stack file, Kubernetes manifests, or a table.

metis export placement=plan.json format=swarm out=stack.yaml          docker stack deploy -c stack.yaml apps
metis export placement=plan.json format=kubernetes out=plan.yaml      kubectl apply -f plan.yaml
metis export placement=0f3a... format=csv out=plan.csv                of an MLflow run; `existing=` reads it
metis export placement=plan.csv cluster=hosts cluster.inventory=h.yaml    for the hosts of that cluster

Nodes are called as in the cluster's inventory, else as in the placement's file, else node-1, node-2...
Without out= it is printed.
"""

from collections.abc import Sequence
from pathlib import Path

from cluster.export import CSV, placement_csv, render_placement
from flows.command.request import Request, Verb
from flows.command.result import Line, Result
from flows.configuration.objects import app_names, make_testbed
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.store import Store
from flows.live.state import cluster_state
from flows.placing.given import given_placement, with_files
from metis.errors import InputError
from metis.files import written_whole
from metis.problem.counts import IntArray
from metis.problem.placement_files import named_nodes, node_names
from metis.problem.space import ColocationSpace

SLOTS = 8  # of a node, where no setting says another number


def run(request: Request) -> Result:
    """See the module's text."""
    settings = with_files(request.settings, Store(request.settings.tracking))
    space = _space(settings)
    placement = given_placement(settings, space)
    nodes, registry = _nodes(settings, len(placement), space.apps)
    text = export(settings, placement, nodes, space, registry)
    if settings.out:
        with written_whole(Path(settings.out)) as file:
            file.write(text.encode())
        say(f"{settings.format}: {len(placement)} nodes, {placement.sum()} containers → {settings.out}")
    document = {"format": settings.format, "nodes": list(nodes), "path": settings.out, "text": text}
    return Result(document, [] if settings.out else [Line(text.rstrip("\n"))])


def export(
    settings: Settings,
    placement: IntArray,
    nodes: Sequence[str],
    space: ColocationSpace,
    registry: str | None = None,
) -> str:
    """Return the placement in `settings.format`.

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
    built, launch = settings.images, settings.launch
    return render_placement(settings.format, placement, nodes, workloads, built, launch, registry)


def _space(settings: Settings) -> ColocationSpace:
    """Return the applications that the columns are: those named, of the profile, or of the testbed."""
    if settings.profile.path:
        from metis.measure.profile_files import load_profile

        return load_profile(Path(settings.profile.path), app_names(settings), settings.cluster.slots).space
    if settings.apps.names:
        return ColocationSpace(tuple(settings.apps.names), settings.cluster.slots or SLOTS)
    return make_testbed(settings).space


def _nodes(settings: Settings, rows: int, apps: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    """Return names for that many nodes, and the registry that they pull from."""
    inventory = cluster_state(settings) / "inventory.json"
    if settings.cluster.live and inventory.is_file():
        from cluster.provision.inventory import Inventory

        known = Inventory.load(inventory)
        names = [str(known.facts.get(host.name, {}).get("hostname", host.name)) for host in known.workers]
        if rows > len(names):
            raise InputError(f"placement: has {rows} nodes, cluster {known.name!r} has {len(names)} workers")
        return tuple(names[:rows]), known.registry
    return named_nodes(Path(settings.placement or ""), apps) or node_names(rows), None


VERB = Verb(
    run,
    settings=("placement", "format", "out", "apps", "cluster", "images", "launch", "profile.path", "testbed"),
    site=True,
)
