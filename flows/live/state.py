"""Where a live cluster keeps what it must find again: inventory, known hosts, keys, what was launched."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from flows.configuration.settings import Settings
from flows.engine.console import say

if TYPE_CHECKING:
    from cluster.backend import Backend
    from cluster.images.build import Image
    from cluster.images.catalog import Workload
    from cluster.provision.inventory import Inventory

INVENTORY = "inventory.json"
MOVES = "moves.json"  # the moves that were made last, or are under way
TRIAL = "trial.json"  # what ran before a trial that is under way, or was killed


def say_indented(line: str) -> None:
    """Report what happens on hosts."""
    say(f"  {line}")


def cluster_state(settings: Settings) -> Path:
    """Return the folder `cluster.state`, else `cluster/NAME` beside the tracking store; absolute."""
    given = settings.cluster.state
    return Path(given or Path(settings.tracking.path) / "cluster" / settings.cluster.name).absolute()


@contextmanager
def opened(
    settings: Settings,
    inventory: "Inventory",
    doing: str,
    workloads: "Sequence[Workload]" = (),
    images: "Sequence[Image]" = (),
) -> "Iterator[Backend]":
    """Open the backend of a live cluster, kept from others meanwhile; waiting for them is reported at once.

    Args:
        settings: of the run.
        inventory: its hosts.
        doing: what for, in a word: others see it; empty only to look, which keeps no other out.
        workloads: in the order of the applications.
        images: of the applications and of what they need.

    Raises:
        SurroundingsError: a host does not respond, or another measures or changes what runs for longer than
            `connect.lock_wait`.
    """
    from cluster.backend import open_backend
    from cluster.provision.hosts import Fleet

    with Fleet(inventory, settings.connect, say_indented) as fleet:
        backend = open_backend(settings.cluster.backend, fleet, workloads, images, settings.launch)
        with exclusive(backend, settings, doing) if doing else nullcontext():
            yield backend


def exclusive(backend: "Backend", settings: Settings, doing: str) -> AbstractContextManager[None]:
    """Return what keeps others from measuring or changing what runs; see `Backend.exclusive`."""
    return backend.exclusive(doing, say_indented, settings.connect.lock_wait)
