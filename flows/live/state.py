"""Where a live cluster keeps what it must find again: inventory, known hosts, keys, what was launched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.configuration.settings import Settings

INVENTORY = "inventory.json"


def cluster_state(settings: Settings) -> Path:
    """Return the folder `cluster.state`, else `cluster/NAME` beside the tracking store; absolute."""
    given = settings.cluster.state
    return Path(given or Path(settings.tracking.path) / "cluster" / settings.cluster.name).absolute()


@contextmanager
def in_use(settings: Settings) -> Iterator[None]:
    """Keep others on this machine from measuring or changing what runs on the cluster meanwhile.

    Raises:
        SurroundingsError: another process does already: its measurements would be disturbed.
    """
    from cluster.provision.lock import exclusive_use

    with exclusive_use(cluster_state(settings)):
        yield
