"""Write a placement for others: a Swarm stack file, Kubernetes manifests, or a table.

metis export placement=plan.json format=swarm out=stack.yaml          docker stack deploy -c stack.yaml apps
metis export placement=plan.json format=kubernetes out=plan.yaml      kubectl apply -f plan.yaml
metis export placement=0f3a... format=csv out=plan.csv                of an MLflow run; `existing=` reads it
metis export placement=plan.csv cluster=hosts cluster.inventory=h.yaml    for the hosts of that cluster
metis export placement=plan.csv format=kubernetes export.registry=registry.example:5000 export.cpu_share=0.25

Nodes are called as in the cluster's inventory, else as in the placement's file, else node-1, node-2...
Without out= it is printed.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.export import CSV, placement_csv, render_placement
from flows.command.request import Request, Verb
from flows.command.result import Line, Result
from flows.configuration.objects import app_names, make_testbed
from flows.configuration.settings import Settings
from flows.engine.console import say
from flows.engine.store import Store
from flows.live.inventory import known_inventory
from flows.live.state import INVENTORY, cluster_state
from flows.placing.given import given_placement, with_files
from metis.errors import InputError
from metis.files import written_whole
from metis.problem.counts import IntArray
from metis.problem.placement_files import named_apps, named_nodes, node_names
from metis.problem.space import ColocationSpace
from metis.wording import amount

if TYPE_CHECKING:
    from cluster.provision.inventory import Host, Inventory

SLOTS = 8  # of a node, where no setting says another number


def run(request: Request) -> Result:
    """See the module's text."""
    settings = with_files(request.settings, Store(request.settings.tracking))
    space = _space(settings)
    placement = given_placement(settings, space)
    nodes, inventory = _nodes(settings, len(placement), space.apps)
    text = export(settings, placement, nodes, space, inventory)
    if settings.out:
        with written_whole(Path(settings.out)) as file:
            file.write(text.encode())
        held = f"{amount(len(placement), 'node')}, {amount(placement.sum(), 'container')}"
        say(f"{settings.format}: {held} → {settings.out}")
    document = {"format": settings.format, "nodes": list(nodes), "path": settings.out, "text": text}
    return Result(document, [] if settings.out else [Line(text.rstrip("\n"))])


def export(
    settings: Settings,
    placement: IntArray,
    nodes: Sequence[str],
    space: ColocationSpace,
    inventory: "Inventory | None" = None,
) -> str:
    """Return the placement in `settings.format`.

    Args:
        settings: format, workloads, limits.
        placement: int [nodes, apps].
        nodes: host names.
        space: its applications.
        inventory: of the live cluster, which has a registry and a manager.
    """
    if settings.format == CSV:
        return placement_csv(placement, nodes, space.apps)
    from cluster.images.catalog import load_catalog

    workloads = load_catalog([Path(folder) for folder in settings.apps.workloads], space.apps)
    chosen, origin = settings.export, None
    if inventory is not None:
        chosen = replace(chosen, registry=chosen.registry or inventory.registry)
        origin = _hostname(inventory, inventory.manager)
    built, launch = settings.images, settings.launch
    return render_placement(settings.format, placement, nodes, workloads, built, launch, chosen, origin)


def _space(settings: Settings) -> ColocationSpace:
    """Return the applications that the columns are: of the profile, named, of a plan, or of the testbed."""
    if settings.profile.path:
        from metis.measure.profile_files import load_profile

        return load_profile(Path(settings.profile.path), app_names(settings), settings.cluster.slots).space
    names = settings.apps.names or named_apps(Path(settings.placement or ""))
    if names:
        return ColocationSpace(tuple(names), settings.cluster.slots or SLOTS)
    return make_testbed(settings).space


def _nodes(
    settings: Settings, rows: int, apps: tuple[str, ...]
) -> "tuple[tuple[str, ...], Inventory | None]":
    """Return names for that many nodes, and the inventory that they are from."""
    known = _inventory(settings)
    if known is not None:
        names = [_hostname(known, host) for host in known.workers]
        if rows > len(names):
            raise InputError(f"placement: has {rows} nodes, cluster {known.name!r} has {len(names)} workers")
        return tuple(names[:rows]), known
    return named_nodes(Path(settings.placement or ""), apps) or node_names(rows), None


def _inventory(settings: Settings) -> "Inventory | None":
    """Return the hosts of the live cluster, as setup found them, else as they are written down."""
    if not settings.cluster.live:
        return None
    from cluster.provision.inventory import Inventory

    found = cluster_state(settings) / INVENTORY
    if found.is_file():
        return Inventory.load(found)
    return known_inventory(settings) if settings.cluster.kind == "hosts" else None


def _hostname(inventory: "Inventory", host: "Host") -> str:
    return str(inventory.facts.get(host.name, {}).get("hostname", host.name))


VERB = Verb(
    run,
    settings=(
        "placement",
        "format",
        "out",
        "apps",
        "cluster",
        "images",
        "launch",
        "profile.path",
        "testbed",
        "export",
    ),
    site=True,
)
