"""Where a live cluster keeps what it must find again: inventory, known hosts, keys, what was launched."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.provision.lock import exclusive_use
from flows.settings import Settings


def cluster_state(settings: Settings) -> Path:
    """The folder `cluster.state`, else `cluster/NAME` beside the tracking store; absolute."""
    given = settings.cluster.state
    return Path(given or Path(settings.tracking.path) / "cluster" / settings.cluster.name).absolute()


@contextmanager
def in_use(settings: Settings) -> Iterator[None]:
    """Nobody else on this machine measures or changes what runs on the cluster meanwhile.

    Raises:
        SurroundingsError: somebody does already: what he measures would be disturbed, and swept away.
    """
    with exclusive_use(cluster_state(settings)):
        yield
