"""What runs on the live cluster, as the placement that `existing=live` names."""

from dataclasses import replace
from pathlib import Path

from flows.configuration.settings import Settings
from flows.live.node_types import refuse_unequal
from flows.live.session import check_live
from flows.live.state import INVENTORY, TRIAL, cluster_state, opened
from metis.errors import InputError, SurroundingsError
from metis.problem.placement_files import write_plan

LIVE = "live"
FILE = "running.json"  # in the folder of the cluster's state


def with_live(settings: Settings) -> Settings:
    """Return settings in which `existing=live` is replaced by a file of what runs, and the nodes counted.

    With a problem folder its nodes are those that count.

    Only containers of the deployment (`deploy.session`) on the cluster's workers are in it.

    Raises:
        InputError: no live cluster, nothing of the deployment runs, or hosts differ and no types say how.
        SurroundingsError: it is not set up, or a host does not respond.
    """
    if settings.existing != LIVE or Path(LIVE).is_file():
        return settings
    check_live(settings)
    from cluster.deployment import placement_of
    from cluster.provision.inventory import Inventory

    state, apps = cluster_state(settings), tuple(settings.apps.names or ())
    if not (state / INVENTORY).is_file():
        raise SurroundingsError(
            f"existing=live: {state / INVENTORY}: there is none, so cluster {settings.cluster.name!r} is not "
            "set up"
        )
    if (state / TRIAL).is_file():
        raise SurroundingsError(
            "existing=live: a trial is under way here, or was killed, so that what runs is not what ran "
            "before it: the same `metis trial` goes on with it and puts that back"
        )
    session = settings.deploy.session
    with opened(settings, Inventory.load(state / INVENTORY), "") as backend:
        nodes = tuple(host.name for host in backend.inventory.workers)
        if settings.problem is None:
            refuse_unequal(backend.inventory, settings.cluster.types, settings.slots)
        placement = placement_of(backend.standing(session), nodes, apps)
    if not placement.any():
        raise InputError(
            f"existing=live: nothing of {session} runs on {', '.join(nodes)}; deploy a placement first"
        )
    write_plan(state / FILE, placement, apps, nodes)
    running = replace(settings, existing=str(state / FILE))
    if settings.problem is not None:  # the folder says which nodes there are
        return running
    return replace(running, cluster=replace(settings.cluster, nodes=len(nodes)))
