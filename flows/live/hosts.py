"""The hosts of a live cluster made one, looked at, and released again, by its backend."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.provision.inventory import Inventory
from flows.configuration.settings import Settings
from flows.live.preflight import findings
from flows.live.state import opened, say_indented

if TYPE_CHECKING:
    from cluster.backend import Backend, Departure, HostState

Report = Callable[[str], None]


def joined(inventory: Inventory, settings: Settings, report: Report) -> Inventory:
    """Return the inventory with the facts of each host, once all are one cluster.

    Args:
        inventory: hosts that are up.
        settings: of the run.
        report: called with a line for each thing that was changed.

    Raises:
        InputError: hosts that cannot be one cluster.
        SurroundingsError: a host does not respond, or a step failed there.
    """
    say_indented(f"looking at the {len(inventory.hosts)} hosts of cluster {inventory.name}")
    with _backend(inventory, settings) as backend:
        prepared = backend.prepare(report)
    with _backend(prepared, settings) as backend:  # by the hostnames that it found
        own = {one.name for one in backend.standing()}
        for line in findings(backend.occupancy(), settings.cluster.slots or 1, settings.launch, own):
            report(line)
    return prepared


def host_states(inventory: Inventory, settings: Settings) -> "dict[str, HostState]":
    """Return how each host takes part in the cluster, by name."""
    say_indented(f"looking at the {len(inventory.hosts)} hosts of cluster {inventory.name}")
    with _backend(inventory, settings) as backend:
        return backend.host_states()


def departure(inventory: Inventory, settings: Settings) -> "Departure":
    """Return what `disband` would change.

    Raises:
        SurroundingsError: the manager does not respond.
    """
    say_indented(f"looking at the {len(inventory.hosts)} hosts of cluster {inventory.name}")
    with _backend(inventory, settings) as backend:
        return backend.departure()


def disband(inventory: Inventory, settings: Settings, report: Report) -> None:
    """Take the hosts out of the cluster; what was there before stays.

    Raises:
        InputError: others run something on a host that would leave, and `force` is not set.
        SurroundingsError: the manager does not respond.
    """
    with opened(settings, inventory, "cluster down") as backend:
        backend.disband(report, settings.force)


@contextmanager
def _backend(inventory: Inventory, settings: Settings) -> "Iterator[Backend]":
    # the docker SDK and Fabric are slow to import
    from cluster.backend import open_backend
    from cluster.provision.hosts import Fleet

    with Fleet(inventory, settings.connect, say_indented) as fleet:
        yield open_backend(settings.cluster.backend, fleet, (), ())
