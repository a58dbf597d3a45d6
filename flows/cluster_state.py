"""Where a live cluster keeps what it must find again: inventory, known hosts, keys, what was launched."""

from pathlib import Path

from flows.settings import Settings


def cluster_state(settings: Settings) -> Path:
    """The folder `cluster.state`, else `cluster/NAME` beside the tracking store; absolute."""
    given = settings.cluster.state
    return Path(given or Path(settings.tracking.path) / "cluster" / settings.cluster.name).absolute()
