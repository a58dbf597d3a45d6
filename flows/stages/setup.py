"""Stage setup: who takes part. A local run has no hosts to prepare."""

from flows.cluster_state import cluster_state
from flows.console import say
from flows.reaching import INVENTORY, reached, refuse_too_small
from flows.work import Work


def run(work: Work) -> None:
    """Write `inventory.json`: hosts that are up, joined to one Swarm, with what each has.

    Done again before each use: nothing changes where all is as it should be, and what changed is told.
    """
    if not work.settings.cluster.live:
        work.write_json(INVENTORY, {"kind": work.settings.cluster.kind, "hosts": []})
        return
    # the docker SDK and Fabric, which a local run does not need
    from cluster.provision.hosts import Fleet
    from cluster.swarm import membership as swarm

    settings = work.settings
    inventory = reached(settings, _tell)
    with Fleet(inventory, settings.connect.made()) as fleet:
        inventory = swarm.prepare(fleet, _tell)
    refuse_too_small(inventory, settings.cluster.slots or 1, settings.launch.made(), _tell)
    inventory.save(cluster_state(settings) / INVENTORY)
    work.write_json(INVENTORY, inventory.as_json())


def _tell(line: str) -> None:
    say(f"  {line}")
